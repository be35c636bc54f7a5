"""Which images every method and seed got right, from summary.csv and the files of verdicts.

Where summary.csv stands alone, without any verdicts, what needs images is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.analysis.labels import attack_order, checkpoint_order, method_order
from bench.analysis.rows import WORST
from bench.analysis.tables import read_rows
from bench.results.agreement import check_verdicts, has_verdicts
from bench.results.published import ROBUSTBENCH
from bench.results.records import EvaluationRecord
from bench.results.runs import Verdicts, read_record, read_verdicts, remake
from bench.runtime.errors import BenchError

Run = tuple[str, int]  # method and seed


@dataclass(frozen=True, eq=False)
class Judged:
    """One attack on one checkpoint of all runs, every one on the same images.

    `accuracy` is in percent, by run. `index` [N] names the images, and `correct` says by run which
    of them [N] were got right; both are empty where there are no files of verdicts.
    """

    images: int
    accuracy: Mapping[Run, float]
    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    correct: Mapping[Run, NDArray[np.bool_]] = field(default_factory=dict)

    def seeds(self, methods: Iterable[str]) -> tuple[int, ...]:
        """Return the seeds that all of `methods` have, in order."""
        having = [{seed for name, seed in self.accuracy if name == method} for method in methods]
        return tuple(sorted(set.intersection(*having))) if having else ()

    def on(self, index_M: NDArray[np.int64]) -> Judged:
        """Return the part about the images `index_M`, which must be among these."""
        if len(index_M) == len(self.index):
            return self
        kept_N = np.isin(self.index, index_M)
        correct = {run: of_N[kept_N] for run, of_N in self.correct.items()}
        accuracy = {run: 100 * float(of_M.mean()) for run, of_M in correct.items()}
        return Judged(len(index_M), accuracy, index_M, correct)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What an experiment's folder says: rows of our runs, and by checkpoint and attack verdicts."""

    folder: Path
    rows: Sequence[Mapping[str, str]]
    judged: Mapping[str, Mapping[str, Judged]]

    @property
    def methods(self) -> list[str]:
        """Every method's label, baselines first."""
        base = {row["method"]: row["base_method"] for row in self.rows}
        return sorted(base, key=lambda label: method_order(label, base[label]))


def read_evidence(folder: Path) -> Evidence:
    """Read summary.csv in `folder`, and the verdicts that its rows of our runs are counts of.

    Raises
    ------
    BenchError
        Naming the file that is missing, is of other images than its like, or is not what
        summary.csv counted.
    """
    path = folder / "summary.csv"
    rows = [row for row in read_rows(path) if row["model"] != ROBUSTBENCH]
    if not rows:
        raise BenchError(
            f"{path}: it has no run of ours; train one with `snakemake --cores all` and "
            "the --configfile of an experiment"
        )
    reader = _Reader(folder, rows)
    found: dict[str, dict[str, list[Mapping[str, str]]]] = {}
    for row in rows:
        found.setdefault(row["checkpoint"], {}).setdefault(row["attack"], []).append(row)
    judged = {
        checkpoint: {
            attack: reader.judged(found[checkpoint][attack])
            for attack in sorted(found[checkpoint], key=attack_order)
        }
        for checkpoint in sorted(found, key=checkpoint_order)
    }
    return Evidence(folder, rows, judged)


def common_images(indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the images that all of `indices`, at least one and each in order, have."""
    first_N = indices[0]
    if all(np.array_equal(other_N, first_N) for other_N in indices[1:]):
        return first_N
    return reduce(np.intersect1d, indices)


class _Reader:
    """Reads verdicts once each, and holds them against summary.csv and each other."""

    def __init__(self, folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
        self.folder = folder
        self.attacks: dict[tuple[Run, str], list[str]] = {}
        for row in rows:
            if row["attack"] not in ("clean", WORST):
                run = (row["method"], int(row["seed"]))
                self.attacks.setdefault((run, row["checkpoint"]), []).append(row["attack"])
        self.with_images = has_verdicts(folder)
        self.read: dict[Path, Verdicts] = {}
        self.records: dict[Path, EvaluationRecord] = {}
        self.labels: dict[int, int] = {}

    def judged(self, rows: Sequence[Mapping[str, str]]) -> Judged:
        """Return what `rows`, at least one and all of one checkpoint and attack, are counts of."""
        accuracy, correct = {}, {}
        first, images, index_N = "", 0, np.empty(0, np.int64)
        for row in rows:
            run, own_N = (row["method"], int(row["seed"])), np.empty(0, np.int64)
            place = f"{run[0]} seed {run[1]}, {row['checkpoint']}, {row['attack']}"
            accuracy[run] = 100 * int(row["correct"]) / int(row["n"])
            if self.with_images:
                own_N, correct[run] = self.counted(run, row)
            if not first:
                first, images, index_N = place, int(row["n"]), own_N
            if int(row["n"]) != images or not np.array_equal(own_N, index_N):
                raise BenchError(
                    f"{self.folder}: {place}, was judged on other images than {first}; judge both "
                    "with one configuration: `snakemake --cores all --forcerun evaluate` and the "
                    "--configfile of this experiment"
                )
        return Judged(images, accuracy, index_N, correct)

    def counted(
        self, run: Run, row: Mapping[str, str]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the images that a row counts and which of them were got right."""
        attacks = [row["attack"]]
        if row["attack"] == WORST:
            attacks = self.attacks[run, row["checkpoint"]]
        paths = [self.path(run, row["checkpoint"], attack) for attack in attacks]
        verdicts = [self.verdicts(path) for path in paths]
        index_N = common_images([one.index for one in verdicts])
        correct_N = np.all([one.robust[np.isin(one.index, index_N)] for one in verdicts], axis=0)
        if (len(index_N), int(correct_N.sum())) != (int(row["n"]), int(row["correct"])):
            raise BenchError(
                f"{paths[0]}: it has {int(correct_N.sum())} of {len(index_N)} images right, "
                f"summary.csv says {row['correct']} of {row['n']} ({row['attack']}); make the "
                f"summary anew with `python -m bench summarize --folder {self.folder}`"
            )
        return index_N, correct_N

    def path(self, run: Run, checkpoint: str, attack: str) -> Path:
        verdicts = self.folder / "models" / run[0] / f"seed{run[1]}" / "verdicts"
        return verdicts / checkpoint / f"{attack}.csv"

    def verdicts(self, path: Path) -> Verdicts:
        if path not in self.read:
            remedy = remake(path.parents[2] / "evaluation.json")
            verdicts = read_verdicts(path, remedy)
            self.unchanged(path)
            for index, label in zip(verdicts.index.tolist(), verdicts.label.tolist(), strict=True):
                if self.labels.setdefault(index, label) != label:
                    raise BenchError(
                        f"{path}: it was judged on other images: number {index} has label {label}, "
                        f"elsewhere {self.labels[index]}; {remedy}"
                    )
            self.read[path] = verdicts
        return self.read[path]

    def unchanged(self, path: Path) -> None:
        """Raise BenchError if evaluation.json tells of other verdicts than those at `path`."""
        judged = path.parents[2] / "evaluation.json"
        if judged not in self.records:
            self.records[judged] = read_record(EvaluationRecord, judged, remake(judged))
        checkpoint = self.records[judged].checkpoints.get(path.parent.name)
        attack = checkpoint.attacks.get(path.stem) if checkpoint else None
        # One that evaluation.json has not heard of is left to the counts of summary.csv.
        if attack is not None:
            check_verdicts(path, attack.sha256)
