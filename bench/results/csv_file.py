"""Reads CSV files as spreadsheets leave them, too."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.runtime.errors import BenchError

# What a spreadsheet separates cells by where the decimal point is a comma.
SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_table(
    path: Path, columns: Iterable[str], fix: str, *, empty: bool = False
) -> list[dict[str, str]]:
    """Return the rows of a CSV file that must have `columns`, and rows unless it may be `empty`.

    Of what a spreadsheet adds, a byte-order mark and empty rows and columns at the end are left
    out.

    Raises
    ------
    BenchError
        If the file is missing or damaged or lacks rows or a column; it names file and fix.
    """
    text = _text(path, fix)
    try:
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
    except csv.Error as error:
        raise BenchError(f"{path}: it is damaged, no CSV text ({error}); {fix}") from None
    lines = _without_empty_ends(lines)
    header = lines[0] if lines else []
    if said := _wrong_header(header, columns):
        raise BenchError(f"{path}: {said}; {fix}")
    for line, cells in enumerate(lines[1:], 1):
        if not any(cells):
            raise BenchError(f"{path}: row {line} is empty; remove it or {fix}")
        if len(cells) != len(header):
            raise BenchError(
                f"{path}: row {line} has not as many cells as the header; it was cut or edited: "
                f"{fix}"
            )
    if len(lines) < 2 and not empty:
        raise BenchError(f"{path} has no rows; {fix}")
    return [dict(zip(header, cells, strict=True)) for cells in lines[1:]]


def _text(path: Path, fix: str) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BenchError(f"{path} is missing; {fix}") from None
    except NotADirectoryError:
        raise BenchError(
            f"{path.parent} is a file; name the folder of an experiment, such as results/digits"
        ) from None
    # UTF-16 of plain text is UTF-8 as well, with a zero beside every letter.
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content:
        raise BenchError(
            f"{path}: it is damaged or in UTF-16; save it as CSV in UTF-8, separated by commas, or "
            f"{fix}"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BenchError(
            f"{path}: it is damaged or not in UTF-8, but perhaps in cp1252 ({error}); save it as "
            f"CSV in UTF-8, separated by commas, or {fix}"
        ) from None


def _without_empty_ends(lines: Sequence[Sequence[str]]) -> list[list[str]]:
    """Leave out rows without text at the end, and columns to the right without text."""
    filled = [len(cells) for cells in lines if any(cells)]
    last = max((at for at, cells in enumerate(lines) if any(cells)), default=-1)
    # A column of the header is kept, though all of its cells may be empty.
    width = max((1 + at for at, name in enumerate(lines[0]) if name), default=0) if lines else 0
    kept = [list(cells) for cells in lines[: last + 1]]
    if filled and all(not any(cells[width:]) for cells in kept):
        kept = [cells[:width] for cells in kept]
    return kept


def _wrong_header(header: Sequence[str], columns: Iterable[str]) -> str:
    """Return what is wrong with the names of the columns, empty where nothing is."""
    for separator, name in SEPARATORS.items():
        if any(separator in column for column in header):
            return f"its cells are separated by {name}; save it as CSV separated by commas"
    twice = [name for at, name in enumerate(header) if name in header[:at]]
    if twice:
        return f"the column {twice[0]!r} is there twice; remove one of the two"
    missing = [name for name in columns if name not in header]
    return f"the column {missing[0]!r} is missing" if missing else ""


def comma(text: str) -> str:
    """Return a hint where `text` is a number with a comma, as some spreadsheets write it."""
    number = re.fullmatch(r"[+-]?\d+(,\d+)+(\.\d+)?", text.strip())
    return " (write a decimal point, and nothing between thousands)" if number else ""
