"""Plain data (from YAML or JSON) into frozen dataclasses, with errors that name the key.

Standard library only: the process that plans the workflow has neither torch nor pydantic.
"""

from __future__ import annotations

import difflib
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from bench.runtime.errors import ConfigError, Problems

T = TypeVar("T")


class Unit:
    """Marks a number by what it may be; `check` returns it or says what was expected."""

    def __init__(self, expected: str, *, low: float, high: float, whole: bool = False) -> None:
        self.expected = expected
        self.low, self.high, self.whole = low, high, whole

    def check(self, value: Any, where: str) -> float | int:
        """Return `value` as a number within the bounds, or raise ConfigError naming `where`."""
        try:
            number = _number(value)
        except (TypeError, ValueError, ArithmeticError):
            number = math.nan
        fits = math.isfinite(number) and self.low <= number <= self.high
        if not fits or (self.whole and number != int(number)):
            above = self.whole and number > self.high
            most = f" and at most {self.high}" if above else ""
            raise ConfigError(f"{where}: expected {self.expected}{most}, got {value!r}")
        return int(number) if self.whole else number


class MethodLabel:
    """Marks a text by being the label of another method of the same experiment."""

    def check(self, value: Any, where: str) -> str:
        """Return `value`, or raise ConfigError naming `where`."""
        if not isinstance(value, str) or not value:
            raise ConfigError(f"{where}: expected the label of a method, got {value!r}")
        return value


def _number(value: Any) -> float:
    # YAML 1.1 takes 5e-4 for text, and eps is best written 8/255.
    if isinstance(value, str):
        above, slash, below = value.partition("/")
        return float(above) / float(below) if slash else float(above)
    if isinstance(value, bool):
        raise TypeError
    return float(value)


TINY = 1e-12
LARGEST = 2**53 - 1  # beyond it a float skips whole numbers
Pixels = Annotated[
    float, Unit("a distance in (0, 1] such as 8/255 (divide by 255?)", low=TINY, high=1.0)
]
Count = Annotated[int, Unit("a whole number of at least 1", low=1, high=LARGEST, whole=True)]
Whole = Annotated[int, Unit("a whole number of at least 0", low=0, high=LARGEST, whole=True)]
Amount = Annotated[float, Unit("a number of at least 0", low=0.0, high=math.inf)]
Positive = Annotated[float, Unit("a number above 0", low=TINY, high=math.inf)]
Share = Annotated[float, Unit("a share in [0, 1]", low=0.0, high=1.0)]
Percent = Annotated[float, Unit("an accuracy in percent", low=0.0, high=100.0)]
Degrees = Annotated[float, Unit("an angle in [0, 180] degrees", low=0.0, high=180.0)]
Label = Annotated[str, MethodLabel()]
ANY_NUMBER = Unit("a number", low=-math.inf, high=math.inf)
MEANT = {"gpu": "cuda"}  # what is spelt most alike is another word
EXPECTED = {str: "text (in quotes)", bool: "true or false", int: "a whole number"}


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the known word that `name` is likely meant to be, never itself; empty if none is."""
    words = sorted({*map(str, known)} - {str(name)})
    meant = MEANT.get(str(name))
    close = [meant] if meant in words else difflib.get_close_matches(str(name), words, 1, 0.5)
    return close[0] if close else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the sentence that names the known word nearest to `name`, and all known words."""
    words = sorted(map(str, known))
    word = suggestion(name, words)
    hint = f"did you mean {word!r}? " if word else ""
    # A word with a comma of its own would read as two.
    return f"{hint}known: {', '.join(repr(word) if ',' in word else word for word in words)}"


def parse(kind: type[T], raw: Any, *, where: str) -> T:
    """Build the dataclass `kind` from the mapping `raw`.

    Raises
    ------
    ConfigError
        Naming the dotted key: unknown, missing, of the wrong type, or refused by `kind` itself,
        whose ValueError begins with the key.
    """
    raw = _mapping(raw, where)
    hints = get_type_hints(kind, include_extras=True)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    problems = Problems()
    required = [
        name
        for name, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]
    check_keys(raw, known, required, problems, where=where)
    values = {}
    for name in known:
        if name in raw:
            with problems.collecting():
                values[name] = value_of(hints[name], raw[name], f"{where}.{name}")
    problems.settle()
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"{where}.{error}") from None


def check_keys(
    raw: Mapping[Any, Any],
    known: Iterable[str],
    required: Iterable[str],
    problems: Problems,
    *,
    where: str,
) -> None:
    """Add every key of `raw` that is not known, and every required one that it lacks."""
    words, meant = list(known), set[str]()
    for key in raw:
        if key not in words:
            problems.add(f"{where}: unknown key {key!r}; {nearest(str(key), words)}")
            meant.add(suggestion(str(key), words))
    for name in required:
        # A misspelt key is one mistake, not two.
        if name not in raw and name not in meant:
            problems.add(f"{where}: the key {name!r} is missing")


def _mapping(raw: Any, where: str) -> Mapping[Any, Any]:
    if not isinstance(raw, Mapping):
        fix = "; remove the key or give it some" if raw is None else ""
        raise ConfigError(f"{where}: expected keys and values, got {raw!r}{fix}")
    return raw


def value_of(hint: Any, raw: Any, where: str) -> Any:
    """Return `raw` as the type that `hint` asks for, or raise ConfigError naming `where`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return arguments[1].check(raw, where)
    if origin in (Union, types.UnionType):
        # Snakemake's --config hands what is nested over as text.
        if raw in (None, "null") and type(None) in arguments:
            return None
        inner = [option for option in arguments if option is not type(None)]
        return value_of(inner[0], raw, where)
    if origin is Literal:
        if raw not in arguments:
            raise ConfigError(f"{where}: {raw!r} is unknown; {nearest(str(raw), arguments)}")
        return raw
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise ConfigError(f"{where}: expected a list, got {raw!r}")
        return tuple(_each(arguments[0], [(f"{where}[{i}]", item) for i, item in enumerate(raw)]))
    if origin is dict:
        items = _mapping(raw, where)
        values = _each(arguments[1], [(f"{where}.{key}", item) for key, item in items.items()])
        return dict(zip(map(str, items), values, strict=True))
    if hint is Any:
        return raw
    if is_dataclass(hint):
        return parse(hint, raw, where=where)  # type: ignore[arg-type]
    if hint is float:
        return ANY_NUMBER.check(raw, where)
    if hint is bool and raw in ("true", "false"):
        return raw == "true"
    if not isinstance(raw, hint) or (hint is not bool and isinstance(raw, bool)):
        raise ConfigError(f"{where}: expected {EXPECTED.get(hint, hint.__name__)}, got {raw!r}")
    return raw


def _each(hint: Any, items: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return the typed values of `items` (place, value), or raise for all that are wrong."""
    problems, values = Problems(), []
    for where, item in items:
        with problems.collecting():
            values.append(value_of(hint, item, where))
    problems.settle()
    return values


def plain(value: Any) -> Any:
    """Return dataclasses, tuples and mappings as what JSON can hold, in declared order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
