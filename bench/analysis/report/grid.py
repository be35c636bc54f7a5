"""Tables of the page: cells that know what they are sorted by, and rows that filters find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MINUS = "−"
ABSENT = "–"


@dataclass(frozen=True)
class Mark:
    """A remark beside a number, with what it means."""

    text: str
    meaning: str


@dataclass(frozen=True)
class Cell:
    """What a cell shows; `order` is what it is sorted by if that is not its text.

    `title` is shown on hover, `style` is a class of the style sheet, `below` a second line.
    """

    text: str
    order: float | str = ""
    title: str = ""
    style: str = ""
    below: str = ""
    marks: Sequence[Mark] = ()


@dataclass(frozen=True)
class Column:
    """A column: its heading, whether it holds numbers, and what it means, on hover."""

    name: str
    numeric: bool = False
    title: str = ""


@dataclass(frozen=True)
class Choice:
    """A filter: `key` of the rows, and what may be chosen, value by text; "" shows all."""

    key: str
    name: str
    values: Mapping[str, str]
    chosen: str = ""


@dataclass(frozen=True)
class Line:
    """A row; `keys` are what filters look at."""

    cells: Sequence[Cell]
    keys: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """A table; `name` tells it from others of the page, `notes` go below."""

    name: str
    caption: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    filters: Sequence[Choice] = ()
    notes: Sequence[str] = ()

    @property
    def marks(self) -> list[Mark]:
        """Every remark of the table once, so that its meaning can be read without hovering."""
        cells = (cell for line in self.lines for cell in line.cells)
        return sorted(
            {mark for cell in cells for mark in cell.marks},
            key=lambda mark: (mark.text, mark.meaning),
        )


def number(value: float | None, digits: int = 2, unit: str = "") -> Cell:
    """Return a number as readers see it, or that there is none."""
    if value is None:
        return Cell(ABSENT)
    return Cell(f"{plain(value, digits)}{unit}", value)


def plain(value: float, digits: int = 2) -> str:
    """Return a number as text, with a minus sign that is one."""
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def between(low: float | None, high: float | None, digits: int = 2) -> str:
    """Return an interval as text, empty where it is not known."""
    if low is None or high is None:
        return ""
    return f"[{plain(low, digits)}, {plain(high, digits)}]"


def chosen_from(
    key: str, name: str, lines: Sequence[Line], names: Mapping[str, str], chosen: str = ""
) -> Choice:
    """Return the filter over what the rows have under `key`, in their order."""
    values = dict.fromkeys(line.keys[key] for line in lines)
    return Choice(key, name, {v: names.get(v, v) for v in values if v}, chosen)
