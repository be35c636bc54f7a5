"""A claim as a file states it: what is claimed, where, and the rule that decides it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from bench.analysis.statistics.outcomes import WORST
from bench.config.loading import read_yaml
from bench.config.method_options import declared_options
from bench.config.parsing import Pixels, Unit, nearest, parse
from bench.results.options import options_text
from bench.results.published import METRICS
from bench.results.text import eps_text
from bench.runtime.errors import ConfigError

HARMONIC = "harmonic_mean"
KNOWN_METRICS = (*METRICS, WORST, HARMONIC)
Number = Annotated[float, Unit("a number", low=-math.inf, high=math.inf)]
Margin = Annotated[float, Unit("a number above 0", low=1e-12, high=math.inf)]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The results that a claim is stated for."""

    dataset: str
    model: str
    eps: Pixels
    checkpoint: Literal["best", "last"] = "best"

    def __str__(self) -> str:
        """Return it as sentences name it."""
        return f"{self.dataset}, {self.model}, eps {eps_text(self.eps)}"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A method by what is trained: its registered name and all of its options.

    `label` chooses among the labels of a configuration that stand for the same method and options
    but differ in their training. Without it the one trained by the shared recipe is meant.
    """

    method: str
    options: str
    given: str
    label: str | None = None

    def __str__(self) -> str:
        """Return it as sentences name it, with the options that the file gives."""
        return f"{self.method} ({self.given})" if self.given else self.method


@dataclass(frozen=True)
class Region:
    """The values at which a claim is true, between two ends that do not belong to it."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def ends(self) -> tuple[float, ...]:
        """Its finite ends."""
        return tuple(end for end in (self.low, self.high) if math.isfinite(end))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement; a rule adds the methods that it is about.

    It is true within `margin` of `expected`, or `above` or `below` a bound. A claim of the kind
    "number" holds for its scope alone; one of the kind "order" can be looked at on other data.
    """

    id: str
    text: str
    source: str
    kind: Literal["number", "order"]
    rule: str
    scope: Scope
    expected: Number | None = None
    margin: Margin | None = None
    above: Number | None = None
    below: Number | None = None

    # Keys of a claim that hold names of the file's methods.
    about: ClassVar[tuple[str, ...]] = ("method",)

    def __post_init__(self) -> None:
        """Refuse a claim that does not say in one way when it is true."""
        given = [key for key in ("expected", "above", "below") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected: a claim has one of expected (with margin), above and below, this has "
                f"{' and '.join(given) or 'none'}"
            )
        if (self.expected is None) != (self.margin is None):
            raise ValueError("margin: it belongs to expected, and expected needs it")

    @property
    def region(self) -> Region:
        """Where the claim is true."""
        if self.expected is not None and self.margin is not None:
            return Region(self.expected - self.margin, self.expected + self.margin)
        if self.above is not None:
            return Region(low=self.above)
        return Region(high=math.inf if self.below is None else self.below)

    @property
    def claimed(self) -> str:
        """The region as a table shows it."""
        if self.expected is not None:
            return f"{self.expected:g} ± {self.margin:g}"
        return f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that it is about, `clean` among them; none where it is of no test image."""
        metric = getattr(self, "metric", None)
        if metric is None:
            return ()
        return ("clean", "autoattack") if metric == HARMONIC else (metric,)

    @property
    def names(self) -> tuple[str, ...]:
        """The file's names of the methods that it is about."""
        found: list[str] = []
        for key in self.about:
            value = getattr(self, key)
            found += [value] if isinstance(value, str) else value
        return tuple(dict.fromkeys(found))


C = TypeVar("C", bound=Claim)


@dataclass(frozen=True)
class Claims(Generic[C]):
    """A file of claims, in its order, and the methods it names."""

    methods: Mapping[str, Trained]
    claims: tuple[C, ...]


def read_claims(path: Path, rules: Mapping[str, type[C]], attacks: Iterable[str]) -> Claims[C]:
    """Return the claims of a YAML file.

    Parameters
    ----------
    rules
        The class of each rule, by name.
    attacks
        The names of attacks that may be metrics beside the known ones.

    Raises
    ------
    BenchError
        Naming the file and the key: unknown (with the nearest known one), missing or wrong.
    """
    raw = read_yaml(path, flag="--claims")
    try:
        return _claims(raw, rules, {*KNOWN_METRICS, *attacks})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _claims(raw: Any, rules: Mapping[str, type[C]], metrics: set[str]) -> Claims[C]:
    raw = _mapping(raw, "the file")
    for key in raw:
        if key not in ("scope", "methods", "claims"):
            raise ConfigError(
                f"unknown key {key!r}; {nearest(str(key), ('scope', 'methods', 'claims'))}"
            )
    methods = {
        str(name): _trained(given, f"methods.{name}")
        for name, given in _mapping(raw.get("methods"), "methods").items()
    }
    listed = raw.get("claims")
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"claims: expected a list of claims, got {listed!r}")
    shared = raw.get("scope") or {}
    claims = [_claim(one, i, _mapping(shared, "scope"), rules) for i, one in enumerate(listed)]
    for claim in claims:
        _check_names(claim, methods, metrics)
        if sum(other.id == claim.id for other in claims) > 1:
            raise ConfigError(f"claims.{claim.id}: two claims have this id; give one another")
    return Claims(methods, tuple(claims))


def _claim(raw: Any, place: int, scope: Mapping[str, Any], rules: Mapping[str, type[C]]) -> C:
    raw = _mapping(raw, f"claims[{place}]")
    where = f"claims.{raw.get('id', place)}"
    if "rule" not in raw:
        raise ConfigError(f"{where}: the key 'rule' is missing; {nearest('', rules)}")
    if raw["rule"] not in rules:
        raise ConfigError(
            f"{where}.rule: {raw['rule']!r} is unknown; {nearest(str(raw['rule']), rules)}"
        )
    own = _mapping(raw.get("scope") or {}, f"{where}.scope")
    return parse(rules[raw["rule"]], {**raw, "scope": {**scope, **own}}, where=where)


def _check_names(claim: Claim, methods: Mapping[str, Trained], metrics: set[str]) -> None:
    for name in claim.names:
        if name not in methods:
            raise ConfigError(
                f"claims.{claim.id}: the method {name!r} is not among this file's methods; "
                f"{nearest(name, methods)}"
            )
    metric = getattr(claim, "metric", None)
    if metric is not None and metric not in metrics and not re.fullmatch(r"pgd\d+", metric):
        raise ConfigError(
            f"claims.{claim.id}.metric: {metric!r} is unknown; {nearest(metric, metrics)}"
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
