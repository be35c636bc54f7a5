"""What attacks of `evaluation.attacks` declare, read from their source as methods' options are."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.config.method_options import (
    PACKAGE,
    Declared,
    Option,
    checked_options,
    declared_in,
    options_in,
    registered,
)
from bench.config.parsing import nearest
from bench.runtime.errors import ConfigError, Problems

FOLDER = PACKAGE / "attacks"
# Keys of every attack, beside which its options stand in a config.
KEYS = ("attack", "seed", "images", "checkpoints")


@cache
def attack_names() -> tuple[str, ...]:
    """Return the names of all registered attacks, sorted."""
    return tuple(sorted(registered(FOLDER)))


@cache
def attack_options(name: str) -> dict[str, Option]:
    """Return every option of the attack `name`, in declared order.

    Raises
    ------
    ConfigError
        As `options_in` and `check_attack` do.
    """
    attack = registered(FOLDER)[name]
    check_attack(FOLDER / f"{name}.py", attack)
    return options_in(name, attack, kind="attack")


@cache
def attack_declares(name: str, what: str) -> bool:
    """Return whether the class of the attack `name` assigns True to `what`."""
    return bool(declared_in(registered(FOLDER)[name], what))


@cache
def attack_about(name: str) -> str:
    """Return what tables and figures say of the attack `name`: its docstring's first line."""
    said = ast.get_docstring(registered(FOLDER)[name]) or ""
    return said.partition("\n")[0]


def check_attack(path: Path, attack: Declared) -> None:
    """Raise ConfigError where the class `attack` in `path` is no attack that can be run."""
    problems, where = Problems(), f"{path}, line {attack.lineno}"
    functions = [node.name for node in attack.body if isinstance(node, ast.FunctionDef)]
    bases = [ast.unparse(base).rpartition(".")[2] for base in getattr(attack, "bases", [])]
    if bases == ["Attack"] and "search" not in functions:
        problems.add(f"{where}: the attack has no `search`; docs/new-attack.md has a whole one")
    if not any("dataclass" in ast.unparse(node) for node in attack.decorator_list):
        problems.add(f"{where}: put @dataclass(frozen=True, kw_only=True) below @register")
    if not ast.get_docstring(attack):
        problems.add(f"{where}: give the class a docstring; tables show its first line")
    for name in options_in(path.stem, attack, kind="attack"):
        if name in KEYS:
            problems.add(f"{where}: every attack has the key {name!r}; rename the option")
    problems.settle()


def declared_attack(label: str, given: Any, *, where: str) -> dict[str, Any]:
    """Return the attack `label` of a config with its options apart from the keys of every attack.

    Raises
    ------
    ConfigError
        The attack or an option is unknown, an option without a default is missing, or a value is
        not of the option's type.
    """
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise ConfigError(f"{where}: expected options such as steps: 30, got {given!r}")
    name = given.get("attack", label)
    if name not in attack_names():
        raise ConfigError(f"{where}.attack: {name!r} is unknown; {nearest(name, attack_names())}")
    if label in attack_names() and name != label:
        raise ConfigError(f"{where}: {label!r} is another attack than {name!r}; rename the label")
    own = {key: value for key, value in given.items() if key not in KEYS}
    path, whose = FOLDER / f"{name}.py", f"the attack {name!r}"
    options = checked_options(whose, path, attack_options(name), own, KEYS, where=where)
    shared = {key: given[key] for key in KEYS if key in given}
    return {**shared, "attack": name, "options": options}
