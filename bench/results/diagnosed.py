"""What the diagnostics of an experiment found, checked against the runs that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.results.changes import check_digest, remake
from bench.results.evaluated import EvaluatedRun, Pair, check_same, check_weights
from bench.results.paths import Paths
from bench.results.records import Checks, DiagnosticsRecord, TransferRecord
from bench.runtime.errors import BenchError

Place = tuple[str, int, str]  # method, seed, checkpoint


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The records of runs, and by network the names of the checks that failed."""

    records: Mapping[Pair, DiagnosticsRecord]
    failures: dict[Place, list[str]] = field(default_factory=dict)


def read_diagnosis(
    paths: Paths, runs: Sequence[EvaluatedRun], diagnosed: Iterable[Pair] | None = None
) -> Diagnosis:
    """Read and check what the diagnostics of `runs` left.

    Parameters
    ----------
    diagnosed
        The (method, seed) pairs that must have diagnostics; those of other runs are ignored. None
        takes every run that has some. The transfer of a seed counts where it is there.
    """
    by_pair = {(run.training.method, run.training.seed): run for run in runs}
    chosen = list(by_pair) if diagnosed is None else [p for p in by_pair if p in set(diagnosed)]
    if diagnosed is None:
        chosen = [pair for pair in chosen if by_pair[pair].paths.diagnostics_record.is_file()]
    found = Diagnosis({pair: _of_run(by_pair[pair], pair) for pair in chosen})
    for (method, seed), record in found.records.items():
        for checkpoint, checks in record.checkpoints.items():
            found.failures.setdefault((method, seed, checkpoint), []).extend(checks.failed)
    for seed in sorted({seed for _, seed in chosen}):
        if paths.transfer_record(seed).is_file():
            for place, failed in _of_seed(paths, seed, by_pair):
                found.failures.setdefault(place, []).extend(failed)
    return found


def _of_run(run: EvaluatedRun, pair: Pair) -> DiagnosticsRecord:
    path = run.paths.diagnostics_record
    record = DiagnosticsRecord.read(path, remake(path))
    if (record.method, record.seed) != pair:
        raise BenchError(
            f"{path}: it is the record of {record.method} seed {record.seed}; {remake(path)}"
        )
    for name, table in (("curves", run.paths.curves), ("surfaces", run.paths.surfaces)):
        check_digest(table, record.sha256.get(name), path)
    for checkpoint, checks in record.checkpoints.items():
        _check_network(path, record, checkpoint, checks, run)
    return record


def _of_seed(
    paths: Paths, seed: int, runs: Mapping[Pair, EvaluatedRun]
) -> list[tuple[Place, list[str]]]:
    path = paths.transfer_record(seed)
    record = TransferRecord.read(path, remake(path))
    check_digest(paths.transfer(seed), record.sha256, path)
    found = []
    for checkpoint, networks in record.checkpoints.items():
        for method, checks in networks.items():
            # A run of an earlier configuration may be among those that images were tried on.
            if run := runs.get((method, seed)):
                _check_network(path, record, checkpoint, checks, run)
                found.append(((method, seed, checkpoint), checks.failed))
    return found


def _check_network(
    path: Path,
    record: DiagnosticsRecord | TransferRecord,
    checkpoint: str,
    checks: Checks,
    run: EvaluatedRun,
) -> None:
    """Raise BenchError unless `checks` are on the images and weights of `run`."""
    training = run.training
    about = {
        "experiment": (record.experiment, training.experiment),
        "data fingerprint": (record.data.fingerprint, training.data.fingerprint),
    }
    check_same(path, about, run.paths.origin_record.name)
    check_weights(path, checkpoint, checks.weights_sha256, training)
