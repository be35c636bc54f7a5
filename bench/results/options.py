"""A method's options as the one text by which runs and reported numbers are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.config.method_options import REQUIRED, declared_options, method_names, method_options
from bench.config.parsing import Label
from bench.runtime.errors import ConfigError


def options_text(method: str, given: Mapping[str, Any]) -> str:
    """Return all options of `method` as "variant=v1;beta=3", defaults included.

    What another method is labelled is left out: it says nothing of the method. A method that this
    version does not know has the options that are given.
    """
    known = method_options(method) if method in method_names() else {}
    labels = {name for name, option in known.items() if option.type is Label}
    values = {k: v for k, v in {**_defaults(method), **given}.items() if k not in labels}
    order = [*(name for name in known if name in values), *sorted(set(values) - set(known))]
    return ";".join(f"{name}={_text(values[name])}" for name in order)


def chosen(method: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the options that are not at a default of `method`, as text."""
    defaults = {name: _text(value) for name, value in _defaults(method).items()}
    return {name: text for name in given if (text := _text(given[name])) != defaults.get(name)}


def options_of(text: str) -> dict[str, str]:
    """Return the options of a text such as "variant=v1;beta=3"."""
    found = {}
    for part in filter(None, text.split(";")):
        name, sign, value = part.partition("=")
        if not (name and sign and value):
            raise ConfigError(f"options are written as variant=v1;beta=3, got {text!r}")
        found[name.strip()] = value.strip()
    return found


def stated(method: str, text: str, where: str) -> str:
    """Return `options_text` of what a source states; what it leaves open is at its default."""
    given = declared_options(method, options_of(text), where=where)
    return options_text(method, given)


def _defaults(method: str) -> dict[str, Any]:
    known = method_options(method) if method in method_names() else {}
    return {name: known[name].default for name in known if known[name].default is not REQUIRED}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.10g}"
    return str(value)
