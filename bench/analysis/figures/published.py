"""What stands beside our points: numbers that papers report, and RobustBench's models."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bench.analysis.figures import caption
from bench.analysis.figures.points import Other, Row
from bench.results import published as reported
from bench.results.csv_file import cell_eps, cell_number, read_table
from bench.results.flags import OTHER_IMAGES
from bench.results.published import Reported
from bench.runtime.errors import BenchError

# TRADES and its heirs attack with 0.031, which is 7.9/255: near enough to show, and to be named.
NEAR = 0.001


def beside(
    rows: Sequence[Row], attack: str, reported: Path | None, reference: Path | None
) -> tuple[list[Other], list[Other]]:
    """Return the papers' points and RobustBench's that may stand beside our `rows`.

    `reported` and `reference` are the files of both; None shows none. Beside images that only have
    the name of a published data set there are none.
    """
    if any(OTHER_IMAGES in row.flags.split(";") for row in rows):
        return [], []
    dataset, model = rows[0].dataset, rows[0].model
    papers, others = [], []
    if reported:
        found = read_reported(reported, dataset=dataset, model=model, attack=attack)
        papers = _of_our_runs(rows, found)
    # RobustBench's robustness is AutoAttack's alone: beside PGD it would look worse than it is.
    if reference and attack == "autoattack":
        ours = caption.our_radii(rows)
        others = read_reference(reference, dataset=dataset, radii=ours)
    return papers, others


def read_reported(path: Path, *, dataset: str, model: str, attack: str) -> list[Other]:
    """Return what papers report of the same dataset and model, where both numbers are known.

    A number that a source gives for its last epoch is left out: the figures show `best`.
    """
    pairs: dict[tuple[str, str], dict[str, Reported]] = {}
    for row in reported.read_reported(path):
        if (row.dataset, row.model) == (dataset, model) and row.allows("best"):
            pairs.setdefault((row.method, row.source), {})[row.metric] = row
    return [
        Other(
            method,
            pair["clean"].value,
            pair[attack].value,
            pair[attack].kind,
            pair[attack].eps,
            pair[attack].spec_method,
            pair[attack].options,
        )
        for (method, _), pair in pairs.items()
        if "clean" in pair and attack in pair
    ]


def read_reference(path: Path, *, dataset: str, radii: Collection[float]) -> list[Other]:
    """Return RobustBench's 18-layer models of the same dataset, for about one of our `radii`."""
    columns = ("dataset", "name", "architecture", "clean", "autoattack", "extra_data")
    needed = (*columns, "generated_data", "eps")
    found = []
    for row in read_table(path, needed, "restore it from the repository"):
        fits = re.search(r"(?<!\d)18$", row["architecture"].strip())
        if row["dataset"] != dataset or not fits or not row["eps"]:
            continue
        eps = cell_eps(row, path)
        if all(abs(eps - ours) > NEAR for ours in radii):
            continue
        clean, robust = (cell_number(row, name, path) for name in ("clean", "autoattack"))
        extra, generated = (yes(row, name, path) for name in ("extra_data", "generated_data"))
        if extra:
            found.append(Other(row["name"], clean, robust, "extra", eps))
        elif generated:
            found.append(Other(row["name"], clean, robust, "generated", eps))
        else:
            found.append(Other(row["name"], clean, robust, "plain", eps))
    return found


def yes(row: Mapping[str, str], column: str, path: Path) -> bool:
    """Say whether a cell of a table of facts says yes; BenchError where it says neither."""
    if (text := row[column].strip().lower()) in ("true", "yes", "1"):
        return True
    if text in ("false", "no", "0", ""):
        return False
    raise BenchError(
        f"{path}: {column} of {row['name']} holds {row[column]!r}; write true or false"
    )


def _of_our_runs(rows: Sequence[Row], papers: Sequence[Other]) -> list[Other]:
    """Return the reported points under the label of the run that they are about, if there is one.

    A run by a recipe of its own is not what a paper's number is about. Where a run of ours has the
    point's label but stands for something else, the point is renamed.
    """
    ours: dict[tuple[str, str], str] = {}
    # Of runs with the same options and recipe the point's label wins.
    for row in sorted(rows, key=lambda row: row.method in {paper.name for paper in papers}):
        if row.base_method and not row.own_recipe:
            ours[row.base_method, row.options] = row.method
    taken = {row.method for row in rows if row.base_method}
    renamed = []
    for paper in papers:
        own = f"{paper.name}_reported" if paper.name in taken else paper.name
        renamed.append(replace(paper, name=ours.get((paper.base_method, paper.options), own)))
    return renamed
