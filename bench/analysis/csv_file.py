"""The CSV files of the suite: reading them, and the numbers in them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

from bench.parsing import BenchError


def read_table(
    path: Path, columns: Iterable[str], remedy: str, *, empty: bool = False
) -> list[dict[str, str]]:
    """Return the rows of a CSV file that must have `columns`, and rows unless it may be `empty`.

    Raises
    ------
    BenchError
        If the file is missing or damaged or lacks rows or a column; it names file and remedy.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or [])]
            if missing:
                raise BenchError(f"{path}: the column {missing[0]!r} is missing; {remedy}")
            rows = list(reader)
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; {remedy}") from None
    except NotADirectoryError:
        raise BenchError(
            f"{path.parent} is a file; name the folder of an experiment, such as results/digits"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path}: it is damaged, no CSV text ({error}); {remedy}") from None
    for line, row in enumerate(rows, 1):
        # What is beyond the header is under None, and what is missing is None.
        if None in row or None in row.values():
            raise BenchError(
                f"{path}: row {line} has not as many cells as the header; it was cut or edited: "
                f"{remedy}"
            )
    if not rows and not empty:
        raise BenchError(f"{path} has no rows; {remedy}")
    return rows


def cell_number(row: Mapping[str, str], column: str, path: Path) -> float:
    """Return a cell of a row that `read_table` read from `path` as a number; `8/255` is one."""
    text = row[column]
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError):
        raise BenchError(
            f"{path}: {column} holds {text!r} where a number was expected, in row "
            f"{_place(row, path)}; restore the file or make it again"
        ) from None


def _place(row: Mapping[str, str], path: Path) -> int:
    """Return which row of a file this is, from 1; of equal ones the first."""
    return 1 + read_table(path, (), "make it again").index(dict(row))


def decimal(value: float, digits: int = 2, sign: str = "") -> str:
    """Return a number as a cell has it, rounded; "+" as `sign` marks all that is not negative."""
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # the sum turns -0.0 into 0.0
