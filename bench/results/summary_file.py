"""Reads summary.csv, and believes no row that contradicts itself or another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.results.csv_file import cell_eps, cell_number, read_table
from bench.results.published import ROBUSTBENCH
from bench.runtime.errors import BenchError

KEY = ("experiment", "dataset", "model", "method", "seed", "checkpoint", "attack")
NUMBERS = ("n", "correct", "accuracy", "eps", "reported")
OPTIONAL = ("eps", "reported")  # empty where there is none
ROUNDING = 0.0051  # of an accuracy with two digits, and of the sum that tells it


def read_summary_file(path: Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Return the lines of summary.csv, which must have `columns`, by column.

    Raises
    ------
    BenchError
        It is missing, lacks a column, or was edited: a row is there twice, a number is none, or an
        accuracy is not that of its counts. It names file, row, column and remedy.
    """
    make = f"make it with `python -m bench summarize --folder {path.parent}`"
    rows = read_table(path, dict.fromkeys((*columns, *KEY, *NUMBERS)), make)
    seen: dict[tuple[str, ...], int] = {}
    for line, row in enumerate(rows, 1):
        key = tuple(row[name] for name in KEY)
        if key in seen:
            raise BenchError(
                f"{path}: row {line} is of the same network, checkpoint and attack as row "
                f"{seen[key]}; remove one of the two or {make}"
            )
        seen[key] = line
        if said := _wrong(row, path):
            raise BenchError(f"{path}: {said}, in row {line}; restore the file or {make}")
    return rows


def _wrong(row: dict[str, str], path: Path) -> str:
    """Return what is wrong with the numbers of a row, empty where nothing is."""
    for name in NUMBERS:
        if row[name] or name not in OPTIONAL:
            cell_number(row, name, path)
    if row["eps"]:
        cell_eps(row, path)
    counts = ("n", "correct") if row["model"] == ROBUSTBENCH else ("n", "correct", "seed")
    for name in counts:
        if not row[name].isdecimal():
            return f"{name} holds {row[name]!r} where a whole number was expected"
    n, correct = int(row["n"]), int(row["correct"])
    if not 0 < n >= correct:
        return f"correct holds {correct} of n = {n} images"
    accuracy = 100 * correct / n
    if abs(cell_number(row, "accuracy", path) - accuracy) > ROUNDING:
        return (
            f"accuracy holds {row['accuracy']}, where {correct} of {n} images make {accuracy:.2f}"
        )
    return ""
