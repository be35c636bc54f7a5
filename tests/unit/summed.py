"""summary.csv of a results folder: its table, its rows, and the file that the command writes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.__main__ import main
from bench.analysis.summary import summary_table
from bench.results.diagnosed import read_diagnosis
from bench.results.evaluated import read_references, read_runs
from bench.results.paths import Paths
from bench.results.published import COLUMNS, Reported

CONFIG = Path(__file__).parents[2] / "config"
HEADER = ",".join(COLUMNS)


def table(
    folder: Path,
    reported: Sequence[Reported] = (),
    *,
    runs: Iterable[tuple[str, int]] | None = None,
    references: Iterable[str] | None = None,
    cards: Sequence[Reported] = (),
    diagnosed: Iterable[tuple[str, int]] | None = None,
) -> pd.DataFrame:
    """Return the table of these runs and models, None for all that are there."""
    paths = Paths(folder)
    found = read_runs(paths, runs)
    others = read_references(paths, references, beside=found[0].training)
    return summary_table(found, reported, others, cards, read_diagnosis(paths, found, diagnosed))


def rows_of(folder: Path, reported: Sequence[Reported] = (), **of: Any) -> dict[Any, Any]:
    """Return the rows of one run by checkpoint and attack."""
    rows = table(folder, reported, **of).itertuples(index=False)
    return {(row.checkpoint, row.attack): row for row in rows}


def reported_file(folder: Path, *lines: str) -> Path:
    """Write a file of reported numbers."""
    path = folder / "reported.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def written(
    folder: Path, reported: Path = CONFIG / "reported.csv", cards: Path | None = None
) -> list[dict[str, str]]:
    """Return the rows of the summary.csv that the command writes, as text."""
    places = ["--folder", str(folder), "--reported", str(reported)]
    places += ["--reference", str(cards)] if cards else []
    assert main(["summarize", *places]) == 0
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
