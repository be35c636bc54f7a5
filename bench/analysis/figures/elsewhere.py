"""What stands beside our points: numbers that papers report, and RobustBench's models."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from bench.analysis import reported
from bench.analysis.figures.points import Other, number, table
from bench.analysis.reported import Reported

# TRADES and its heirs attack with 0.031, which is 7.9/255: near enough to show, and to be named.
NEAR = 0.001


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
    for row in table(path, needed, "restore it from the repository"):
        fits = re.search(r"(?<!\d)18$", row["architecture"].strip())
        if row["dataset"] != dataset or not fits or not row["eps"]:
            continue
        eps = number(row["eps"], path, "eps")
        if all(abs(eps - ours) > NEAR for ours in radii):
            continue
        clean, robust = (number(row[name], path, name) for name in ("clean", "autoattack"))
        if yes(row["extra_data"]):
            found.append(Other(row["name"], clean, robust, "extra", eps))
        elif yes(row["generated_data"]):
            found.append(Other(row["name"], clean, robust, "generated", eps))
        else:
            found.append(Other(row["name"], clean, robust, "plain", eps))
    return found


def yes(text: str) -> bool:
    """Say whether a cell of a table of facts says yes."""
    return text.strip().lower() in ("true", "yes", "1")
