"""Networks that were evaluated: records and per-example results, checked against each other.

Every count is made again from the per-example results. A record that disagrees with them, with the
weights or with the data stops what is made of it: a table cannot show that its source was edited.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.config.experiment import Experiment
from bench.results.attack_result import AttackResult
from bench.results.changes import ELSE, differences, flat, listed, remake
from bench.results.examples import read_examples
from bench.results.origin import read_origin
from bench.results.paths import Paths, RunPaths
from bench.results.records import (
    AttackRecord,
    EvaluationRecord,
    MergedRecord,
    OriginRecord,
    TrainRecord,
    UnavailableRecord,
)
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json
from bench.runtime.places import SNAKEMAKE

Pair = tuple[str, int]  # label of the method, and seed


Results = Mapping[str, Mapping[str, AttackResult]]  # by checkpoint, then by attack


@dataclass(frozen=True, eq=False)
class EvaluatedRun:
    """One label and seed; `training` is where its weights come from, ours or not."""

    paths: RunPaths
    training: OriginRecord
    evaluation: EvaluationRecord
    results: Results


@dataclass(frozen=True, eq=False)
class EvaluatedReference:
    """One of RobustBench's models, evaluated on the images of `beside`, a run of ours."""

    paths: RunPaths
    evaluation: EvaluationRecord
    results: Results
    beside: OriginRecord


def read_run(paths: RunPaths) -> EvaluatedRun:
    """Read the run in models/<method>/seed<k> and check its records against each other.

    Raises
    ------
    BenchError
        Naming the file that is missing, edited, or at odds with another, and how to make it again.
    """
    trained_at, evaluated_at = paths.origin_record, paths.evaluation_record
    training = read_origin(paths, remake(trained_at))
    evaluation = EvaluationRecord.read(evaluated_at, remake(evaluated_at))
    if paths.folder.parts[-2:] != (training.method, f"seed{training.seed}"):
        raise BenchError(
            f"{trained_at}: it is the record of {training.method} seed {training.seed}; "
            f"{remake(trained_at)}"
        )
    check_same(
        evaluated_at,
        {
            "method": (evaluation.method, training.method),
            "seed": (evaluation.seed, training.seed),
            "experiment": (evaluation.experiment, training.experiment),
            "data fingerprint": (evaluation.data.fingerprint, training.data.fingerprint),
        },
        trained_at.name,
    )
    for name, checkpoint in evaluation.checkpoints.items():
        check_weights(evaluated_at, name, checkpoint.weights_sha256, training)
    results = read_results(paths, evaluation, training.data.test_images)
    return EvaluatedRun(paths, training, evaluation, results)


def read_runs(paths: Paths, expected: Iterable[Pair] | None = None) -> tuple[EvaluatedRun, ...]:
    """Read and check the runs of an experiment, sorted by method and seed.

    Parameters
    ----------
    expected
        The (method, seed) pairs to read. Other runs in the folder, left by an earlier
        configuration, are then ignored. Without it, every run that is there is read.

    Raises
    ------
    BenchError
        As `read_run`; also where two runs are of different experiments or images, cannot share a
        table because ball, evaluation or, of one method, the network differ, or there is none.
    """
    found = paths.runs() if expected is None else [paths.run(*pair) for pair in set(expected)]
    runs = sorted(map(read_run, found), key=lambda run: (run.training.method, run.training.seed))
    if not runs:
        raise BenchError(
            f"{paths.folder}: no trained models; make them with `{SNAKEMAKE}` and their config"
        )
    first = runs[0].training
    where = f"{first.method} seed {first.seed}"
    of_method: dict[str, OriginRecord] = {}
    of_part: dict[str, EvaluatedRun] = {}
    apart = _kept_apart(paths)
    for run in runs:
        training = run.training
        # Methods may have networks of their own, and all seeds of one have the same.
        same = of_method.setdefault(training.method, training)
        # A part of a merged experiment that is kept apart may be of another machine.
        beside = of_part.setdefault(apart.get(training.method, ""), run)
        attacked, machine = _evaluation(run)
        check_same(
            run.paths.origin_record,
            {
                "experiment": (training.experiment, first.experiment),
                "data fingerprint": (training.data.fingerprint, first.data.fingerprint),
            },
            where,
        )
        trained_at, evaluated_at = run.paths.origin_record, run.paths.evaluation_record
        for path, ours, theirs, whose in (
            (trained_at, _architecture(training), _architecture(same), same),
            (trained_at, {"threat": training.spec.threat}, {"threat": first.spec.threat}, first),
            (evaluated_at, attacked, _evaluation(runs[0])[0], first),
            (evaluated_at, machine, _evaluation(beside)[1], beside.training),
        ):
            if different := differences(theirs, ours):
                raise BenchError(
                    f"{path}: its {listed(different)} is not that of {whose.method} seed "
                    f"{whose.seed}; they cannot share a table, so {remake(path)}"
                )
    return tuple(runs)


def read_references(
    paths: Paths, names: Iterable[str] | None, *, beside: OriginRecord
) -> tuple[EvaluatedReference, ...]:
    """Read the RobustBench models that were evaluated, sorted by name.

    A model whose checkpoint could not be fetched is left out, and a printed line says so.

    Parameters
    ----------
    names
        RobustBench's names of the models to read; None takes every one in the folder.
    beside
        A run of the experiment, whose images they must have been evaluated on.
    """
    if names is None:
        names = [found.folder.name for found in paths.references()]
    found = (_read_reference(paths.reference(name), beside) for name in sorted(set(names)))
    return tuple(filter(None, found))


def check_settings(
    experiment: Experiment,
    runs: Iterable[EvaluatedRun],
    references: Iterable[EvaluatedReference] = (),
) -> None:
    """Raise BenchError unless every record was made under the settings of `experiment`."""
    evaluation = experiment.evaluation_spec()
    for run in runs:
        path, training = run.paths.origin_record, run.training
        if training.experiment != experiment.experiment:
            raise BenchError(
                f"{path}: it is of the experiment {training.experiment!r}, the config of "
                f"{experiment.experiment!r}; {remake(path)}"
            )
        spec = experiment.origin_spec(training.method, training.seed)
        _check_spec(path, differences(spec, training.spec))
    every: list[EvaluatedRun | EvaluatedReference] = [*runs, *references]
    for one in every:
        path = one.paths.evaluation_record
        _check_spec(path, differences(evaluation, one.evaluation.spec.shared))


def check_same(path: Path, values: Mapping[str, tuple[Any, Any]], where: str) -> None:
    """Raise BenchError where a value of the record `path` is another than in `where`."""
    for what, (theirs, ours) in values.items():
        if theirs != ours:
            raise BenchError(
                f"{path}: its {what} is {theirs}, in {where} it is {ours}; {remake(path)}"
            )


def check_weights(path: Path, checkpoint: str, digest: str, training: OriginRecord) -> None:
    """Raise BenchError unless the weights that the record `path` is about are those trained."""
    trained = training.checkpoints.get(checkpoint)
    if trained is None or trained.weights_sha256 != digest:
        raise BenchError(
            f"{path}: it is about other weights than the checkpoint {checkpoint!r} of "
            f"{training.method} seed {training.seed}; {remake(path)}"
        )


def _read_reference(paths: RunPaths, beside: OriginRecord) -> EvaluatedReference | None:
    path = paths.evaluation_record
    hint = remake(path)
    if path.is_file() and "unavailable" in read_json(path, hint):
        absent = UnavailableRecord.read(path, hint)
        print(f"{absent.method} has no rows: {absent.unavailable}", flush=True)
        return None
    evaluation = EvaluationRecord.read(path, hint)
    if evaluation.method != paths.folder.name:
        raise BenchError(f"{path}: it is the record of {evaluation.method}; {hint}")
    fingerprints = (evaluation.data.fingerprint, beside.data.fingerprint)
    where = f"{beside.method} seed {beside.seed}"
    check_same(path, {"data fingerprint": fingerprints}, where)
    results = read_results(paths, evaluation, beside.data.test_images)
    return EvaluatedReference(paths, evaluation, results, beside)


def read_results(paths: RunPaths, evaluation: EvaluationRecord, test_images: int) -> Results:
    """Return the per-example results of a record, if they bear it out; see `read_run`."""
    hint = remake(paths.evaluation_record)
    return {
        name: {
            attack: _read_result(paths.examples(name, attack), record, test_images, hint)
            for attack, record in sorted(checkpoint.attacks.items())
        }
        for name, checkpoint in sorted(evaluation.checkpoints.items())
    }


def _read_result(path: Path, record: AttackRecord, test_images: int, hint: str) -> AttackResult:
    examples = read_examples(path, hint, record.sha256)
    counted = (int(examples["robust"].sum()), len(examples))
    if counted != (record.correct, record.n):
        raise BenchError(
            f"{path}: it holds {counted[0]} robust of {counted[1]} images, evaluation.json says "
            f"{record.correct} of {record.n}; {hint}"
        )
    if not examples["index"].between(0, test_images - 1).all():
        raise BenchError(f"{path}: an index is outside the {test_images} test images; {hint}")
    return AttackResult(record, examples)


def _kept_apart(paths: Paths) -> dict[str, str]:
    """Return the parts of a merged experiment that are kept apart, by label."""
    path = paths.merged_record
    return MergedRecord.read(path, "merge the parts again").apart if path.is_file() else {}


def _evaluation(run: EvaluatedRun) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the settings of an evaluation, and how its machine carried them out, by key."""
    settings: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    for key, value in flat(run.evaluation.spec.shared).items():
        of_machine = key.startswith("compute.") or key == "evaluation.engine"
        (machine if of_machine else settings)[key] = value
    return settings, machine


def _architecture(training: OriginRecord) -> dict[str, Any]:
    """Return what tells one architecture from another, by the key of the config."""
    if isinstance(training, TrainRecord):
        return {"model": training.spec.model}
    return {"architecture": training.model.label}


def _check_spec(path: Path, keys: list[str]) -> None:
    if keys:
        raise BenchError(
            f"{path}: made with another {listed(keys)} than the config has; {remake(path)}, {ELSE}"
        )
