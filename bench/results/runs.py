"""Reads what a run left behind, and believes none of it unchecked.

Every count is made again from the verdicts, one line per image. A record that disagrees with them,
the weights or the data stops what is made of it: a table cannot show that its source was edited.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from bench.results.records import AttackRecord, EvaluationRecord, TrainRecord, typed
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256

T = TypeVar("T")
COLUMNS = ["index", "label", "clean", "robust", "broken_by"]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """One judgement per image, ordered by index; each array is [N]."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    clean: NDArray[np.bool_]
    robust: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Result:
    """One attack on one checkpoint: the record, and the verdicts that bear it out."""

    record: AttackRecord
    verdicts: Verdicts


@dataclass(frozen=True, eq=False)
class Run:
    """One method and seed: `results` by checkpoint, then by attack."""

    folder: Path
    training: TrainRecord
    evaluation: EvaluationRecord
    results: dict[str, dict[str, Result]]


def read_run(folder: Path) -> Run:
    """Read the run in models/<method>/seed<k> and check its records against each other."""
    train_path, evaluation_path = folder / "train.json", folder / "evaluation.json"
    training = read_record(TrainRecord, train_path, remake(train_path))
    evaluation = read_record(EvaluationRecord, evaluation_path, remake(evaluation_path))
    place = f"{folder.parent.name}/{folder.name}"
    if place != f"{training.method}/seed{training.seed}":
        raise BenchError(
            f"{train_path}: it is the record of {training.method} seed {training.seed}; "
            f"{remake(train_path)}"
        )
    for what, ours, theirs in (
        ("method", training.method, evaluation.method),
        ("seed", training.seed, evaluation.seed),
        ("experiment", training.experiment, evaluation.experiment),
        ("data fingerprint", training.data.fingerprint, evaluation.data.fingerprint),
    ):
        if ours != theirs:
            raise BenchError(
                f"{evaluation_path}: its {what} is {theirs}, in train.json it is {ours}; "
                f"{remake(evaluation_path)}"
            )
    results = {}
    for name, checkpoint in sorted(evaluation.checkpoints.items()):
        trained = training.checkpoints.get(name)
        if trained is None or trained.weights_sha256 != checkpoint.weights_sha256:
            raise BenchError(
                f"{evaluation_path}: it judged other weights than the checkpoint {name!r} of "
                f"train.json; {remake(evaluation_path)}"
            )
        verdicts = folder / "verdicts" / name
        results[name] = {
            attack: read_result(
                verdicts / f"{attack}.csv",
                record,
                test_images=training.data.test_images,
                remedy=remake(evaluation_path),
            )
            for attack, record in sorted(checkpoint.attacks.items())
        }
    return Run(folder, training, evaluation, results)


def read_verdicts(path: Path, remedy: str = "remake it") -> Verdicts:
    """Read a verdict file, ordered by image index.

    Raises
    ------
    BenchError
        If the file is missing, or is not a list of 0/1 verdicts with each image once.
    """
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (FileNotFoundError, UnicodeDecodeError):
        raise BenchError(f"{path}: missing or not text; {remedy}") from None
    try:
        if rows[0] != COLUMNS:
            raise ValueError
        values = np.array([[int(cell) for cell in row[:4]] for row in rows[1:]], dtype=np.int64)
        values = values[np.argsort(values[:, 0], kind="stable")]
    except (ValueError, IndexError):
        raise BenchError(f"{path}: not a file of verdicts; {remedy}") from None
    index_N, label_N, clean_N, robust_N = values.T
    if len(np.unique(index_N)) != len(index_N):
        raise BenchError(f"{path}: an image is judged twice; {remedy}")
    if not np.isin(values[:, 2:], (0, 1)).all() or (robust_N > clean_N).any():
        raise BenchError(
            f"{path}: clean and robust must be 0 or 1, and a robust image clean; {remedy}"
        )
    return Verdicts(index_N, label_N, clean_N.astype(np.bool_), robust_N.astype(np.bool_))


def read_result(path: Path, record: AttackRecord, *, test_images: int, remedy: str) -> Result:
    """Read the verdicts that `record` is about.

    Raises
    ------
    BenchError
        If the file changed since, does not bear out the record's counts, or holds an image beyond
        the `test_images` of the data.
    """
    verdicts = read_verdicts(path, remedy)
    if sha256(path) != record.sha256:
        raise BenchError(f"{path}: changed since evaluation.json was written; {remedy}")
    counted = (int(verdicts.robust.sum()), len(verdicts.robust))
    if counted != (record.correct, record.n):
        raise BenchError(
            f"{path}: it holds {counted[0]} robust of {counted[1]} images, evaluation.json says "
            f"{record.correct} of {record.n}; {remedy}"
        )
    if verdicts.index.min() < 0 or verdicts.index.max() >= test_images:
        raise BenchError(f"{path}: an index is outside the {test_images} test images; {remedy}")
    return Result(record, verdicts)


def read_record(kind: type[T], path: Path, remedy: str) -> T:
    """Read the record `kind` from a JSON file; BenchError if it is missing or incomplete."""
    if not path.is_file():
        raise BenchError(f"{path}: missing; {remedy}")
    found = read_json(path, remedy)
    try:
        return typed(kind, found, where=path.name)
    except (BenchError, ValueError) as error:
        raise BenchError(f"{path}: not a complete record ({error}); {remedy}") from None


def remake(path: Path) -> str:
    """Return the remedy for a record that is to be made again, with all that follows from it."""
    return (
        f"remake it with `snakemake --cores all --forcerun {path}` and the --configfile of this "
        "experiment"
    )
