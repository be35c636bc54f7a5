"""Reads RobustBench's models that were judged beside ours, and checks them as our runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.results.records import Absence, DataRecord, ReferenceRecord, TrainRecord
from bench.results.runs import Result, read_record, read_result, remake
from bench.runtime.errors import BenchError


@dataclass(frozen=True, eq=False)
class Reference:
    """One of RobustBench's models: `results` by checkpoint, then by attack.

    `experiment` and `data` are those of the runs that it stands beside.
    """

    experiment: str
    data: DataRecord
    evaluation: ReferenceRecord
    results: dict[str, dict[str, Result]]


def collect_references(
    folder: Path, names: Iterable[str] | None, *, beside: TrainRecord
) -> tuple[Reference, ...]:
    """Read the RobustBench models of the experiment in `folder`, sorted by name.

    A model whose checkpoint could not be fetched is left out, and a printed line says so.

    Parameters
    ----------
    folder
        results/<experiment>.
    names
        RobustBench's names of the models to read; None takes every one in the folder.
    beside
        A run of the experiment, whose images they must have been judged on.

    Raises
    ------
    BenchError
        Naming the file that is missing, edited, or at odds with another, and how to remake it.
    """
    if names is None:
        names = [path.parent.name for path in (folder / "reference").glob("*/evaluation.json")]
    found = (_read(folder / "reference" / name, beside) for name in sorted(set(names)))
    return tuple(reference for reference in found if reference is not None)


def _read(folder: Path, beside: TrainRecord) -> Reference | None:
    path = folder / "evaluation.json"
    remedy = remake(path)
    absence = read_record(Absence, path, remedy)
    if absence.method != folder.name:
        raise BenchError(f"{path}: it is the record of {absence.method}; {remedy}")
    if absence.unavailable is not None:
        print(f"{absence.method} has no rows: {absence.unavailable}", flush=True)
        return None
    evaluation = read_record(ReferenceRecord, path, remedy)
    if evaluation.data.fingerprint != beside.data.fingerprint:
        raise BenchError(
            f"{path}: its data fingerprint is {evaluation.data.fingerprint}, that of "
            f"{beside.method} seed {beside.seed} is {beside.data.fingerprint}; {remedy}"
        )
    results = {
        name: {
            attack: read_result(
                folder / "verdicts" / name / f"{attack}.csv",
                record,
                test_images=beside.data.test_images,
                remedy=remedy,
            )
            for attack, record in sorted(checkpoint.attacks.items())
        }
        for name, checkpoint in sorted(evaluation.checkpoints.items())
    }
    return Reference(beside.experiment, beside.data, evaluation, results)
