"""What methods and models declare, read from their source: planning cannot import torch."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.parsing import ConfigError, nearest

PACKAGE = Path(__file__).parent
# Annotations of options whose value is a real number: 6 and 6.0 are the same option then.
REAL = {"float", "Amount", "Positive", "Share", "Pixels"}
REQUIRED = object()


def registered(folder: Path) -> dict[str, ast.ClassDef | ast.FunctionDef]:
    """Return what the modules of `folder` decorate with ``@register("name")``, by name."""
    found: dict[str, ast.ClassDef | ast.FunctionDef] = {}
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
            if not isinstance(node, ast.ClassDef | ast.FunctionDef):
                continue
            for decorator in node.decorator_list:
                match decorator:
                    case ast.Call(func=ast.Name(id="register"), args=[ast.Constant(value=name)]):
                        found[str(name)] = node
    return found


@cache
def model_names() -> tuple[str, ...]:
    """Return the names of all architectures, sorted."""
    return tuple(sorted(registered(PACKAGE / "models")))


@cache
def method_fields(name: str) -> dict[str, tuple[str, Any]]:
    """Return annotation and default (or REQUIRED) of every option of the method `name`."""
    methods = registered(PACKAGE / "methods")
    if name not in methods:
        raise ConfigError(f"the method {name!r} is unknown; {nearest(name, methods)}")
    found: dict[str, tuple[str, Any]] = {}
    for node in methods[name].body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        annotation = ast.unparse(node.annotation)
        if not annotation.startswith("ClassVar"):
            default = REQUIRED if node.value is None else ast.literal_eval(node.value)
            found[node.target.id] = (annotation, default)
    return found


def declared_options(name: Any, given: Mapping[str, Any], *, where: str) -> dict[str, Any]:
    """Return every option of the method `name`, defaults filled in, in declared order.

    Raises
    ------
    ConfigError
        The method or an option is unknown, or one without a default is missing.
    """
    try:
        known = method_fields(str(name))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{where}: the method {name!r} has no option {key!r}; "
                f"{nearest(str(key), (*known, 'method', 'training'))}"
            )
    options = {}
    for key, (annotation, default) in known.items():
        value = given.get(key, default)
        if value is REQUIRED:
            raise ConfigError(f"{where}: the method {name!r} needs the option {key!r}")
        whole = isinstance(value, int) and not isinstance(value, bool)
        options[key] = float(value) if whole and annotation in REAL else value
    return options
