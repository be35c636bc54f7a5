"""What the figures show, read from CSV files alone. Accuracies and shares are in percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Literal, Protocol, TypeVar

from bench.analysis import robust
from bench.results import published as reported
from bench.results.csv_file import cell_eps, cell_number, read_table
from bench.results.flags import OWN_RECIPE
from bench.results.summary_file import read_summary_file
from bench.runtime.errors import BenchError

Kind = Literal["paper", "secondary", "plain", "extra", "generated"]
OPTIONAL = ("base_method", "options", "selected_by", "flags")  # of older files
NOT_ATTACKS = ("clean", "worst_case")  # the worst case is one of several attacks


@dataclass(frozen=True)
class Row:
    """One row of summary.csv, as far as a figure needs it."""

    dataset: str
    model: str
    method: str
    seed: int
    checkpoint: str
    selected_on: str
    attack: str
    eps: float
    n: int
    accuracy: float
    base_method: str = ""
    options: str = ""
    selected_by: str = ""
    flags: str = ""
    own_recipe: bool = False


@dataclass(frozen=True)
class Point:
    """One trained model: its accuracy on clean and on attacked images."""

    method: str
    seed: int
    clean: float
    robust: float


@dataclass(frozen=True)
class Mean:
    """A method's mean over seeds, with the seeds that it is the mean of."""

    method: str
    clean: float
    robust: float
    seeds: tuple[Point, ...]


@dataclass(frozen=True)
class Other:
    """A model that was not trained here: a paper's number or one of RobustBench's."""

    name: str
    clean: float
    robust: float
    kind: Kind
    eps: float | None = None
    base_method: str = ""
    options: str = ""


@dataclass(frozen=True)
class Curve:
    """One run's accuracy on the validation images after each epoch (None: not measured)."""

    epochs: tuple[int, ...]
    clean: tuple[float | None, ...]
    robust: tuple[float | None, ...]
    attacked: bool = True

    @property
    def best(self) -> tuple[int, float]:
        """The epoch kept as `best`, and the accuracy that chose it.

        PGD accuracy decides, then clean accuracy, then age; for a method that trains against no
        attack clean accuracy alone.
        """
        robust = self.robust if self.attacked else (None,) * len(self.epochs)
        merits = [
            (-1.0 if pgd is None else pgd, -1.0 if clean is None else clean)
            for pgd, clean in zip(robust, self.clean, strict=True)
        ]
        first = merits.index(max(merits))
        return self.epochs[first], merits[first][robust[first] is None]


class Located(Protocol):
    """Anything with a place on the frontier's axes."""

    @property
    def clean(self) -> float:
        """Accuracy without attack."""

    @property
    def robust(self) -> float:
        """Accuracy under attack."""


L = TypeVar("L", bound=Located)


def read_summary(path: Path) -> list[Row]:
    """Return the rows of summary.csv that belong to runs of this suite."""
    columns = ["dataset", "model", "method", "seed", "checkpoint", "selected_on"]
    raw = read_summary_file(path, columns)
    return [
        Row(
            **{name: row[name] for name in columns if name != "seed"},
            seed=int(cell_number(row, "seed", path)),
            attack=row["attack"],
            eps=cell_eps(row, path) if row["eps"] else 0.0,
            n=int(cell_number(row, "n", path)),
            accuracy=cell_number(row, "accuracy", path),
            **{name: row.get(name, "") for name in OPTIONAL},
            own_recipe=OWN_RECIPE in row.get("flags", "").split(";"),
        )
        for row in raw
        if row["model"] != reported.ROBUSTBENCH
    ]


def strongest(rows: Iterable[Row]) -> str:
    """Return the attack that stands for robustness at `best`; BenchError where there is none."""
    left: dict[str, list[float]] = {}
    for row in rows:
        if row.checkpoint == "best":
            left.setdefault(row.attack, []).append(row.accuracy)
    found = robust.strongest(left)
    if found is None:
        raise BenchError(
            "no attack has judged a `best` checkpoint; add evaluation.pgd or evaluation.autoattack"
        )
    return found


def means(rows: Iterable[Row], attack: str, checkpoint: str = "best") -> list[Mean]:
    """Return each method's mean over those seeds whose `checkpoint` was judged by `attack`."""
    found: dict[str, dict[int, dict[str, float]]] = {}
    for row in rows:
        if row.checkpoint == checkpoint and row.attack in ("clean", attack):
            found.setdefault(row.method, {}).setdefault(row.seed, {})[row.attack] = row.accuracy
    groups = [
        tuple(
            Point(method, seed, values["clean"], values[attack])
            for seed, values in sorted(seeds.items())
            if len(values) == 2
        )
        for method, seeds in found.items()
    ]
    return [
        Mean(group[0].method, fmean(p.clean for p in group), fmean(p.robust for p in group), group)
        for group in groups
        if group
    ]


def front(points: Iterable[L]) -> list[L]:
    """Return the corners of the front of mixtures, from least to most clean accuracy.

    No mixture of the others is as good as a corner in both accuracies; the front itself is the
    straight lines between them (bench.analysis.statistics.front).
    """
    corners: list[L] = []
    for point in sorted(points, key=lambda p: (-p.clean, -p.robust)):
        if corners and point.robust <= corners[-1].robust:
            continue
        while len(corners) > 1 and _mixed(point, corners[-1], corners[-2]):
            corners.pop()
        corners.append(point)
    return corners[::-1]


def _mixed(left: Located, middle: Located, right: Located) -> bool:
    """Say whether mixing the outer two gives what the middle one has, or better."""
    share = (middle.clean - left.clean) / (right.clean - left.clean)
    return middle.robust <= left.robust + share * (right.robust - left.robust)


def strays(points: Sequence[L]) -> list[L]:
    """Return the few points so far below all others that showing them would squeeze the rest.

    On either axis, at most a quarter of the points may go, and only over a gap of more than ten
    points of accuracy and half of what the rest spans.
    """
    away: list[L] = []
    for axis in ("robust", "clean"):
        ordered = sorted(points, key=lambda p: -float(getattr(p, axis)))
        values = [float(getattr(p, axis)) for p in ordered]
        fewest = max(2, len(values) - max(1, len(values) // 4))
        for keep in range(fewest, len(values)):
            span, gap = values[0] - values[keep - 1], values[keep - 1] - values[keep]
            if gap > max(10.0, span / 2):
                away += [point for point in ordered[keep:] if point not in away]
                break
    return away


Series = tuple[list[int], list[float]]


@dataclass(frozen=True)
class Remembered:
    """What became of a method's adversarial examples, means over seeds: epochs and values.

    `by_age` has ages in epochs and losses at the end of training.
    """

    fooling: Series
    forgotten: Series
    cosine: Series
    by_age: Series


def read_curves(results: Path, runs: Iterable[tuple[str, int]]) -> dict[str, list[Curve]]:
    """Return the learning curves of each method, one for each of the (method, seed) `runs`."""
    curves: dict[str, list[Curve]] = {}
    for method, seed in runs:
        path = results / "models" / method / f"seed{seed}" / "history.csv"
        columns = ("epoch", "validation_clean", "validation_pgd")
        rows = read_table(path, columns, f"train {method} with seed {seed} again")
        epochs, clean, robust = (
            [cell_number(row, name, path) if row[name] else None for row in rows]
            for name in columns
        )
        whole = tuple(int(epoch) for epoch in epochs if epoch is not None)
        # A method that trains against no attack has no robust accuracy on its training images.
        attacked = any(row.get("train_robust", "?") for row in rows)
        curve = Curve(whole, tuple(clean), tuple(robust), attacked)
        curves.setdefault(method, []).append(curve)
    return curves


def read_remembered(results: Path, runs: Iterable[tuple[str, int]]) -> dict[str, Remembered]:
    """Return what became of adversarial examples, for every method that has any, over seeds."""
    found: dict[str, list[list[dict[str, str]]]] = {}
    for method, seed in runs:
        path = results / "models" / method / f"seed{seed}" / "history.csv"
        rows = read_table(path, ("epoch",), f"train {method} with seed {seed} again")
        if any(row.get("remembered_loss_age0") for row in rows):
            found.setdefault(method, []).append(rows)
    return {method: _remembered(seeds) for method, seeds in found.items()}


def _remembered(seeds: list[list[dict[str, str]]]) -> Remembered:
    def series(column: str) -> Series:
        values: dict[int, list[float]] = {}
        for rows in seeds:
            for row in rows:
                if row.get(column):
                    values.setdefault(int(row["epoch"]), []).append(float(row[column]))
        return list(values), [fmean(of_seeds) for of_seeds in values.values()]

    head = "remembered_loss_age"
    ages = {
        int(column.removeprefix(head)): fmean(float(rows[-1][column]) for rows in seeds)
        for column in seeds[0][-1]
        if column.startswith(head) and all(rows[-1].get(column) for rows in seeds)
    }
    return Remembered(
        fooling=series("remembered_fooling"),
        forgotten=series("remembered_forgotten"),
        cosine=series("remembered_cosine"),
        by_age=(list(ages), list(ages.values())),
    )


def read_breakage(
    results: Path, runs: Iterable[tuple[str, int]], attack: str
) -> dict[str, dict[str, float]]:
    """Return, for each method, the share of test images by what broke them, averaged over seeds.

    The keys are those of `broken_by` in the verdicts of `attack`: "" for images never broken.
    """
    shares: dict[str, list[Mapping[str, float]]] = {}
    for method, seed in runs:
        path = results / "models" / method / f"seed{seed}" / "verdicts" / "best" / f"{attack}.csv"
        rows = read_table(path, ["broken_by"], f"evaluate {method} with seed {seed} again")
        count = Counter(row["broken_by"] for row in rows)
        shares.setdefault(method, []).append(
            {name: 100 * hits / len(rows) for name, hits in count.items()}
        )
    return {
        method: {
            name: fmean(seed.get(name, 0.0) for seed in seeds)
            for name in sorted({name for seed in seeds for name in seed})
        }
        for method, seeds in shares.items()
    }
