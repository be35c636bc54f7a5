"""Reads CSV files, also those that a spreadsheet has saved."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from bench.runtime.errors import BenchError


def read_table(
    path: Path, columns: Iterable[str], fix: str, *, empty: bool = False
) -> list[dict[str, str]]:
    """Return the rows of a CSV file that must have `columns`, and rows unless it may be `empty`.

    A byte-order mark, rows without text and empty cells at the end of rows are left out.

    Raises
    ------
    BenchError
        The file is missing or damaged, or lacks rows, a column or a cell.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; {fix}") from None
    except NotADirectoryError:
        raise BenchError(
            f"{path.parent} is a file; name the folder of an experiment, such as results/digits"
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise BenchError(f"{path}: damaged or not CSV in UTF-8 ({error}); {fix}") from None
    header, *rows = [cells for cells in lines if any(cells)] or [[]]
    while header and not header[-1]:
        header.pop()
    for name in columns:
        if name not in header:
            raise BenchError(f"{path}: the column {name!r} is missing (separate by commas); {fix}")
    if len(set(header)) < len(header):
        raise BenchError(f"{path}: a column is there twice; remove one of the two")
    for number, cells in enumerate(rows, 1):
        if len(cells) < len(header) or any(cells[len(header) :]):
            raise BenchError(
                f"{path}: row {number} has not as many cells as the header; it was cut or edited: "
                f"{fix}"
            )
    if not rows and not empty:
        raise BenchError(f"{path} has no rows; {fix}")
    return [dict(zip(header, cells, strict=False)) for cells in rows]
