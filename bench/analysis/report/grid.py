"""Tables of the page: from the rows of a frame to cells that can be sorted and filtered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bench.results.flags import WARNED, meaning

MINUS, ABSENT = "−", "–"


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
    """A column: its heading, its cell of a row of the frame, and what it means, on hover."""

    name: str
    cell: Callable[[Any], Cell | str]
    numeric: bool = False
    title: str = ""


@dataclass(frozen=True)
class Filter:
    """A choice among the values of the frame's column `key`; `names` are their texts."""

    key: str
    name: str
    names: Mapping[str, str] = field(default_factory=dict)
    chosen: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """The cells of a row, and the values that filters look at."""

    cells: Sequence[Cell]
    keys: Mapping[str, str]


@dataclass(frozen=True)
class Grid:
    """A table; `name` tells it from others of the page, `notes` are below."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    filters: Sequence[Filter]
    notes: Sequence[str]

    @property
    def marks(self) -> list[Mark]:
        """Every remark of the table once, so that its meaning can be read without hovering."""
        found = {mark for row in self.rows for cell in row.cells for mark in cell.marks}
        return sorted(found, key=lambda mark: (mark.text, mark.meaning))


def make_grid(
    frame: pd.DataFrame,
    name: str,
    caption: str,
    columns: Sequence[Column],
    filters: Sequence[Filter] = (),
    notes: Sequence[str] = (),
) -> Grid:
    """Return the table of `frame`, a row each."""
    rows = []
    for row in frame.itertuples(index=False):
        cells = [column.cell(row) for column in columns]
        keys = {one.key: str(getattr(row, one.key)) for one in filters}
        rows.append(Row([Cell(cell) if isinstance(cell, str) else cell for cell in cells], keys))
    offered = [
        Filter(
            one.key,
            one.name,
            one.names,
            one.chosen if one.chosen in (values := _values(rows, one)) else "",
            values,
        )
        for one in filters
    ]
    return Grid(name, caption, columns, rows, offered, notes)


def _values(rows: Sequence[Row], one: Filter) -> dict[str, str]:
    values = dict.fromkeys(row.keys[one.key] for row in rows)
    return {value: one.names.get(value, value) for value in values if value}


def known(value: Any) -> bool:
    """Say whether a frame has a value there."""
    return not pd.isna(value)


def number(value: Any, digits: int = 2, **cell: Any) -> Cell:
    """Return a number as readers see it, or that there is none."""
    return Cell(plain(value, digits), float(value), **cell) if known(value) else Cell(ABSENT)


def whole(value: Any) -> Cell:
    """Return a whole number, or that there is none."""
    return Cell(str(int(value)), int(value)) if known(value) else Cell(ABSENT)


def plain(value: float, digits: int = 2) -> str:
    """Return a number as text, with a minus sign that is one."""
    return f"{round(float(value), digits) + 0.0:,.{digits}f}".replace("-", MINUS)


def signed(value: float, digits: int = 2) -> str:
    """Return a difference as text: with a plus where it is above zero."""
    return ("+" if round(float(value), digits) > 0 else "") + plain(value, digits)


def between(low: Any, high: Any, digits: int = 2) -> str:
    """Return an interval as text, empty where it is not known."""
    return f"[{plain(low, digits)}, {plain(high, digits)}]" if known(low) and known(high) else ""


def flag_marks(flags: str, warnings: str = "") -> list[Mark]:
    """Return the flags of a row with their meanings, AutoAttack's own warning among them."""
    told = {WARNED: f"{meaning(WARNED)}: {warnings}"} if warnings else {}
    return [Mark(flag, told.get(flag, meaning(flag))) for flag in flags.split(";") if flag]
