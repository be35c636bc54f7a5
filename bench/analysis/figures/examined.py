"""What the figures of the diagnostics show, read from their CSV files and records alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.results.csv_file import cell_number, read_table
from bench.results.diagnostics import record_path, shown_checkpoint, shown_rows, transfer_path
from bench.runtime.files import read_json

REMEDY = "run `python -m bench diagnose` for this run again"
TRANSFER_REMEDY = "run `python -m bench transfer` for this seed again"


@dataclass(frozen=True)
class Strength:
    """One network's accuracy in percent by strength of the attack, for each kind of attack.

    `failed` are the checks that it did not pass.
    """

    n: int
    points: Mapping[str, Sequence[tuple[float, float]]]
    failed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plane:
    """The loss in nats around one image and where the network is right, each [along, aside].

    Both directions run from -1 to 1 in units of the radius.
    """

    losses: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Matrix:
    """Mean accuracy over seeds by (source, target) label; `weak` are targets that failed."""

    n: int
    seeds: tuple[int, ...]
    accuracy: Mapping[tuple[str, str], float]
    weak: frozenset[str]


def read_strengths(
    results: Path, runs: Iterable[tuple[str, int]]
) -> dict[str, dict[int, Strength]]:
    """Return what each network lost to stronger attacks, by method and seed."""
    found: dict[str, dict[int, Strength]] = {}
    for method, seed in runs:
        path = record_path(results, method, seed)
        table = path.with_name("curves.csv")
        rows = _rows(table, ("check", "x", "accuracy", "n"))
        points: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            x, accuracy = (cell_number(row, name, table) for name in ("x", "accuracy"))
            points.setdefault(row["check"], []).append((x, accuracy))
        checkpoints = read_json(path)["checkpoints"]
        failed = _failed(checkpoints[shown_checkpoint(checkpoints)])
        if points:
            n = int(cell_number(rows[0], "n", table))
            found.setdefault(method, {})[seed] = Strength(n, points, failed)
    return found


def read_planes(results: Path, runs: Iterable[tuple[str, int]]) -> dict[str, list[Plane]]:
    """Return the loss surfaces of the first of each method's runs that has some."""
    found: dict[str, list[Plane]] = {}
    for method, seed in runs:
        if method in found:
            continue
        path = record_path(results, method, seed).with_name("surfaces.csv")
        by_image: dict[str, list[dict[str, str]]] = {}
        columns = ("index", "along", "aside", "loss", "right")
        for row in _rows(path, columns, empty=True):  # of pictures that nobody asked for
            by_image.setdefault(row["index"], []).append(row)
        planes = [_plane(rows, path) for rows in by_image.values()]
        if planes:
            found[method] = planes
    return found


def read_matrix(results: Path, seeds: Iterable[int], methods: Sequence[str]) -> Matrix | None:
    """Return what transfers between `methods`, over those of `seeds` that have been tried."""
    accuracies: dict[tuple[str, str], list[float]] = {}
    weak: set[str] = set()
    there, n = [], 0
    for seed in seeds:
        path = transfer_path(results, seed, ".csv")
        if not path.is_file():
            continue
        there.append(seed)
        for row in _rows(path, ("source", "target", "accuracy", "n"), TRANSFER_REMEDY):
            if row["source"] in methods and row["target"] in methods:
                pair = (row["source"], row["target"])
                accuracies.setdefault(pair, []).append(cell_number(row, "accuracy", path))
                n = int(cell_number(row, "n", path))
        checkpoints = read_json(path.with_suffix(".json"))["checkpoints"]
        networks = checkpoints[shown_checkpoint(checkpoints)]
        weak |= {method for method, examined in networks.items() if _failed(examined)}
    if not accuracies:
        return None
    means = {pair: fmean(values) for pair, values in accuracies.items()}
    return Matrix(n, tuple(there), means, frozenset(weak))


def _rows(
    path: Path, columns: Sequence[str], remedy: str = REMEDY, *, empty: bool = False
) -> list[dict[str, str]]:
    """Return the rows of the checkpoint that is shown."""
    return shown_rows(read_table(path, ("checkpoint", *columns), remedy, empty=empty))


def _failed(examined: Mapping[str, Any]) -> tuple[str, ...]:
    checks = examined.get("checks", {})
    return tuple(name for name, check in checks.items() if not check["passed"])


def _plane(rows: Sequence[Mapping[str, str]], path: Path) -> Plane:
    along, aside, losses, right = (
        np.array([cell_number(row, name, path) for row in rows])
        for name in ("along", "aside", "loss", "right")
    )
    shape = len(set(along)), len(set(aside))
    order = np.lexsort((aside, along))
    return Plane(losses[order].reshape(shape), right[order].reshape(shape) > 0)
