"""The CSV files of an experiment: the columns of each, and how it is read and written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.results.attack_result import AttackResult
from bench.results.csv_file import read_table
from bench.results.text import decimal, eps_text
from bench.runtime.errors import BenchError
from bench.runtime.files import write_text


@dataclass(frozen=True)
class Column:
    """One column: what it holds, in words for the documents, and whether a cell may be empty.

    `of` makes it of what one attack did to one network; a column without is filled in by whoever
    makes the table. A "number" is written as `form` says, a "radius" as papers do, 8/255. `forms`
    has another column and, for some values of it, another form.
    """

    kind: Literal["text", "whole", "number", "radius", "bool"]
    about: str
    empty: bool = False
    form: str = ".2f"
    forms: tuple[str, Mapping[str, str]] | None = None
    of: Callable[[AttackResult], Any] | None = None

    def cells(self, values: pd.Series, frame: pd.DataFrame) -> list[str]:
        """Return `values` of the rows of `frame` as text."""
        if self.forms is None:
            return [cell(value, self) for value in values]
        name, forms = self.forms
        return [
            cell(value, replace(self, form=forms.get(other, self.form)))
            for value, other in zip(values, frame[name], strict=True)
        ]


@dataclass(frozen=True)
class Table:
    """A CSV file whose columns are known.

    `make` is the command that makes it; `{folder}` in it is the folder of the experiment. `key` are
    the columns that tell one row from all others, `others` is what columns beside these hold.
    """

    columns: Mapping[str, Column]
    make: str
    key: tuple[str, ...] = ()
    others: Column | None = None

    def read(self, path: Path, *, rows: bool = True) -> pd.DataFrame:
        """Return the file with typed columns, in the order of its rows.

        Text is never missing but empty; numbers that are not there are NA. `rows`: at least one.

        Raises
        ------
        BenchError
            The file is missing or damaged, lacks a column, has a row twice, or a cell does not hold
            what its column is for. It names file, row, column and fix.
        """
        hint = f"make it with `{self.make.format(folder=path.parent)}`"
        raw = read_table(path, self.columns, hint, empty=not rows)
        frame = pd.DataFrame(raw, columns=list(raw[0]) if raw else list(self.columns), dtype=str)
        for name in frame:
            column = self.columns.get(name, self.others)
            if column is not None:
                frame[name] = _typed(frame[name], name, column, path, hint)
        twice = frame.duplicated(list(self.key)) if self.key else pd.Series(dtype=bool)
        if twice.any():
            row = int(twice.to_numpy().argmax())
            same = ", ".join(f"{name} {frame[name].iloc[row]}" for name in self.key[-4:])
            raise BenchError(
                f"{path}: row {row + 1} is of the same {same} as a row before it; remove one of "
                f"the two or {hint}"
            )
        return frame

    def text(self, frame: pd.DataFrame) -> str:
        """Return the columns of `frame` as CSV text."""
        cells = {name: column.cells(frame[name], frame) for name, column in self.columns.items()}
        return str(pd.DataFrame(cells, dtype=str).to_csv(index=False, lineterminator="\n"))

    def write(self, path: Path, frame: pd.DataFrame) -> None:
        """Write the columns of `frame`, whole or not at all."""
        write_text(path, self.text(frame))


def from_rows(table: Table, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return `rows` with the typed columns of `table`."""
    frame = pd.DataFrame(rows, columns=list(table.columns))
    for name, column in table.columns.items():
        frame[name] = frame[name].astype(DTYPES[column.kind])
    return frame


DTYPES: Mapping[str, Any] = {
    "text": object,
    "whole": "Int64",
    "number": "float64",
    "radius": "float64",
    "bool": "boolean",
}


def cell(value: Any, column: Column) -> str:
    """Return a value as its column writes it."""
    if value is None or value is pd.NA or value != value:
        return ""
    if column.kind == "number":
        # Rounded first, so that no number is written as -0.00.
        decimals = column.form.removeprefix(".").removesuffix("f")
        return decimal(value, int(decimals)) if decimals.isdigit() else format(value, column.form)
    if column.kind == "radius":
        return eps_text(value)
    return str(value).lower() if column.kind == "bool" else str(value)


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _radius(text: str) -> float:
    value = float(Fraction(text))
    if not 0 <= value <= 1:
        raise ValueError(text)
    return value


def _bool(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]  # spreadsheets write TRUE


PARSERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "whole": (_whole, "a whole number"),
    "number": (_finite, "a number such as 84.52"),
    "radius": (_radius, "a radius in [0, 1] such as 8/255 (divide by 255?)"),
    "bool": (_bool, "true or false"),
}


def _typed(texts: pd.Series, name: str, column: Column, path: Path, hint: str) -> pd.Series:
    if column.kind == "text":
        return texts
    parser, expected = PARSERS[column.kind]
    values: dict[str, Any] = {}
    for text in texts.unique():
        try:
            values[text] = None if column.empty and not text else parser(text.strip())
        except (ValueError, KeyError, ZeroDivisionError):
            row = int((texts == text).to_numpy().argmax()) + 1
            raise BenchError(
                f"{path}: row {row}: {name}: expected {expected}, got {text!r}; restore the file "
                f"or {hint}"
            ) from None
    return texts.map(values).astype(DTYPES[column.kind])
