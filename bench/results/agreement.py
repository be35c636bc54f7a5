"""Whether the records of runs are those of the experiment that they stand in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.config.experiment import EvaluationSpec, Experiment, TrainSpec
from bench.results.changes import ELSE, changes, differences, listed
from bench.results.runs import Run, remake
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256


def check_alike(runs: Iterable[Run]) -> None:
    """Raise BenchError unless all runs have one model and one ball, and were judged alike."""
    first, *others = runs
    for run in others:
        for file, keys in (("train.json", ("model", "threat")), ("evaluation.json", ())):
            here, there = (recorded_spec(one.folder / file, keys) for one in (run, first))
            if different := differences(there, here):
                raise BenchError(
                    f"{run.folder / file}: its {listed(different)} is not that of "
                    f"{first.training.method} seed {first.training.seed}; they cannot share a "
                    f"table, so {remake(run.folder / file)}"
                )


def check_settings(
    folder: Path, experiment: Experiment, runs: Iterable[Run], references: Iterable[str]
) -> None:
    """Raise BenchError unless every record in `folder` was made under the settings of `experiment`.

    `references` are the names of the RobustBench models that were judged.
    """
    judged = experiment.evaluation_spec()
    for run in runs:
        path, training = run.folder / "train.json", run.training
        if training.experiment != experiment.experiment:
            raise BenchError(
                f"{path}: it is of the experiment {training.experiment!r}, the config of "
                f"{experiment.experiment!r}; {remake(path)}"
            )
        _check(path, experiment.train_spec(training.method, training.seed))
        _check(run.folder / "evaluation.json", judged)
    for name in references:
        _check(folder / "reference" / name / "evaluation.json", judged)


def has_verdicts(folder: Path) -> bool:
    """Say whether results/<experiment> has files of verdicts, or CSV files of numbers alone."""
    return any((folder / "models").glob("*/seed*/verdicts/*/*.csv"))


def check_verdicts(path: Path, digest: str) -> None:
    """Raise BenchError unless the verdicts at `path` are those that evaluation.json has counted.

    `digest` is the SHA-256 that stands there. Nothing is parsed, so this is cheap; the sentences
    are those of `collect`, which reads what it checks.
    """
    remedy = remake(path.parents[2] / "evaluation.json")
    if not path.is_file():
        raise BenchError(f"{path}: missing or not text; {remedy}")
    if sha256(path) != digest:
        raise BenchError(f"{path}: changed since evaluation.json was written; {remedy}")


def _check(path: Path, spec: TrainSpec | EvaluationSpec) -> None:
    if keys := changes(spec, recorded_spec(path)):
        raise BenchError(
            f"{path}: made with another {listed(keys)} than the config has; {remake(path)}, {ELSE}"
        )


def recorded_spec(path: Path, keys: Iterable[str] = ()) -> dict[str, object]:
    """Return the spec of a record, or `keys` of it."""
    found = read_json(path).get("spec") or {}
    return {key: found.get(key) for key in keys} if keys else dict(found)
