"""Reads a file of claims such as config/claims/memloss.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.analysis.claims.claim import KNOWN_METRICS, Claim, Trained
from bench.analysis.claims.rules import RULES, RuledClaim
from bench.config.loading import read_yaml
from bench.config.method_options import declared_options
from bench.config.parsing import nearest, parse
from bench.results.options import options_text
from bench.runtime.errors import ConfigError

KEYS = ("proposes", "scope", "methods", "claims")


@dataclass(frozen=True)
class Claims:
    """A file of claims, in its order, and the methods it names; `paper` is the file's name."""

    paper: str
    methods: Mapping[str, Trained]
    claims: tuple[RuledClaim, ...]


def read_claims(path: Path, attacks: Iterable[str]) -> Claims:
    """Return the claims of a YAML file.

    Parameters
    ----------
    attacks
        The names of attacks that may be metrics beside the known ones.

    Raises
    ------
    BenchError
        Naming the file and the key: unknown (with the nearest known one), missing or wrong.
    """
    raw = read_yaml(path, flag="--claims")
    try:
        return _claims(path.stem, raw, {*KNOWN_METRICS, *attacks})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _claims(paper: str, raw: Any, metrics: set[str]) -> Claims:
    raw = _mapping(raw, "the file")
    for key in raw:
        if key not in KEYS:
            raise ConfigError(f"unknown key {key!r}; {nearest(str(key), KEYS)}")
    methods = {
        str(name): _trained(given, f"methods.{name}")
        for name, given in _mapping(raw.get("methods"), "methods").items()
    }
    listed = raw.get("claims")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"claims: expected a list of claims, got {listed!r}")
    shared = raw.get("scope") or {}
    claims = [_claim(one, i, _mapping(shared, "scope")) for i, one in enumerate(listed)]
    for claim in claims:
        _check_names(claim, methods, metrics)
        if sum(other.id == claim.id for other in claims) > 1:
            raise ConfigError(f"claims.{claim.id}: two claims have this id; give one another")
    return Claims(paper, methods, tuple(claims))


def _claim(raw: Any, place: int, scope: Mapping[str, Any]) -> RuledClaim:
    raw = _mapping(raw, f"claims[{place}]")
    where = f"claims.{raw.get('id', place)}"
    if "rule" not in raw:
        raise ConfigError(f"{where}: the key 'rule' is missing; {nearest('', RULES)}")
    if raw["rule"] not in RULES:
        raise ConfigError(
            f"{where}.rule: {raw['rule']!r} is unknown; {nearest(str(raw['rule']), RULES)}"
        )
    own = _mapping(raw.get("scope") or {}, f"{where}.scope")
    return parse(RULES[raw["rule"]], {**raw, "scope": {**scope, **own}}, where=where)


def _check_names(claim: Claim, methods: Mapping[str, Trained], metrics: set[str]) -> None:
    for name in claim.names:
        if name not in methods:
            raise ConfigError(
                f"claims.{claim.id}: the method {name!r} is not among this file's methods; "
                f"{nearest(name, methods)}"
            )
    for attack in claim.attacks:
        if attack not in metrics and not re.fullmatch(r"pgd\d+", attack):
            key = next(key for key, value in vars(claim).items() if value == attack)
            raise ConfigError(
                f"claims.{claim.id}.{key}: {attack!r} is unknown; {nearest(attack, metrics)}"
            )


def _trained(raw: Any, where: str) -> Trained:
    given = dict(_mapping(raw, where))
    if "method" not in given:
        raise ConfigError(f"{where}: the key 'method' is missing: name a method of the suite")
    method, label = given.pop("method"), given.pop("label", None)
    options = declared_options(method, given, where=where)
    return Trained(
        method=method,
        options=options_text(method, options),
        given=", ".join(f"{name} {value}" for name, value in given.items()),
        label=None if label is None else str(label),
    )


def _mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{where}: expected keys and values, got {raw!r}")
    return raw
