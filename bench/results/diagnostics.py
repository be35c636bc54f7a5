"""What the diagnostics of an experiment found, checked against the runs that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from bench.analysis.labels import checkpoint_order
from bench.results.records import JudgedData
from bench.results.runs import Run, read_record, remake
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256

R = TypeVar("R", bound=Mapping[str, str])
# By (method label, seed, checkpoint): the names of the checks that failed.
Failures = Mapping[tuple[str, int, str], tuple[str, ...]]


@dataclass(frozen=True)
class CheckRecord:
    """What a record says of one check."""

    passed: bool


@dataclass(frozen=True)
class Examined:
    """The checks on one network."""

    weights_sha256: str
    checks: dict[str, CheckRecord]


@dataclass(frozen=True)
class DiagnosticsRecord:
    """The part of diagnostics/record.json that the analysis needs; digests are of the tables."""

    experiment: str
    method: str
    seed: int
    data: JudgedData
    device: str
    seconds: float
    sha256: dict[str, str]
    checkpoints: dict[str, Examined]
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class TransferRecord:
    """The part of transfer/seed<k>.json that the analysis needs; checkpoints hold every method."""

    experiment: str
    seed: int
    data: JudgedData
    sha256: str
    checkpoints: dict[str, dict[str, Examined]]


@dataclass(frozen=True)
class Diagnosis:
    """All that was examined: the records of runs in their order, and what failed."""

    records: tuple[DiagnosticsRecord, ...]
    failures: Failures


def record_path(folder: Path, method: str, seed: int) -> Path:
    """Return where the record of a run's diagnostics is in an experiment's `folder`."""
    return folder / "models" / method / f"seed{seed}" / "diagnostics" / "record.json"


def transfer_path(folder: Path, seed: int, suffix: str = ".json") -> Path:
    """Return where the record, or with ``.csv`` the table, of a seed's transfer is."""
    return folder / "transfer" / f"seed{seed}{suffix}"


def shown_checkpoint(examined: Iterable[str]) -> str:
    """Return of the checkpoints that were examined, at least one, that which figures show."""
    return min(examined, key=checkpoint_order)


def shown_rows(rows: Sequence[R]) -> list[R]:
    """Return the rows of a table of the diagnostics that are of the checkpoint to show."""
    shown = shown_checkpoint({row["checkpoint"] for row in rows}) if rows else ""
    return [row for row in rows if row["checkpoint"] == shown]


def present(
    folder: Path, runs: Iterable[tuple[str, int]], diagnosed: Iterable[tuple[str, int]] | None
) -> list[tuple[str, int]]:
    """Return those of `runs` whose diagnostics count: `diagnosed`, or where None all there are."""
    if diagnosed is None:
        return [run for run in runs if record_path(folder, *run).is_file()]
    wanted = set(diagnosed)
    return [run for run in runs if run in wanted]


def collect_diagnostics(
    folder: Path, runs: Sequence[Run], diagnosed: Iterable[tuple[str, int]] | None = None
) -> Diagnosis:
    """Read and check what the diagnostics of `runs` left in `folder`, results/<experiment>.

    Parameters
    ----------
    diagnosed
        The (method, seed) pairs that must have diagnostics; those of other runs are ignored. None
        takes every run that has some. The transfer of a seed counts where it is there.

    Raises
    ------
    BenchError
        Naming the file that is missing, edited, or about other weights or images, and the remedy.
    """
    by_name = {(run.training.method, run.training.seed): run for run in runs}
    chosen = present(folder, by_name, diagnosed)
    failures: dict[tuple[str, int, str], list[str]] = {}
    records = []
    for run in (by_name[name] for name in chosen):
        record, failed = _of_run(folder, run)
        records.append(record)
        for place, checks in failed:
            failures.setdefault(place, []).extend(checks)
    for seed in sorted({seed for _, seed in chosen}):
        if transfer_path(folder, seed).is_file():
            for place, checks in _of_seed(folder, seed, by_name):
                failures.setdefault(place, []).extend(checks)
    return Diagnosis(tuple(records), {place: tuple(names) for place, names in failures.items()})


def _of_run(
    folder: Path, run: Run
) -> tuple[DiagnosticsRecord, list[tuple[tuple[str, int, str], list[str]]]]:
    trained = run.training
    path = record_path(folder, trained.method, trained.seed)
    remedy = remake(path)
    record = read_record(DiagnosticsRecord, path, remedy)
    if (record.method, record.seed) != (trained.method, trained.seed):
        raise BenchError(
            f"{path}: it is the record of {record.method} seed {record.seed}; {remedy}"
        )
    _check_origin(path, record, run, remedy)
    for name, digest in record.sha256.items():
        _check_table(path.with_name(f"{name}.csv"), digest, remedy)
    failed = []
    for checkpoint, examined in record.checkpoints.items():
        _check_weights(path, checkpoint, examined, run, remedy)
        failed.append(((trained.method, trained.seed, checkpoint), _failed(examined)))
    return record, failed


def _of_seed(
    folder: Path, seed: int, runs: Mapping[tuple[str, int], Run]
) -> Iterator[tuple[tuple[str, int, str], list[str]]]:
    path = transfer_path(folder, seed)
    remedy = remake(path)
    record = read_record(TransferRecord, path, remedy)
    _check_table(transfer_path(folder, seed, ".csv"), record.sha256, remedy)
    for checkpoint, networks in record.checkpoints.items():
        for method, examined in networks.items():
            run = runs.get((method, seed))
            if run is None:
                # A run of an earlier configuration was among those that images were tried on.
                continue
            _check_origin(path, record, run, remedy)
            _check_weights(path, checkpoint, examined, run, remedy)
            yield (method, seed, checkpoint), _failed(examined)


def _failed(examined: Examined) -> list[str]:
    return [name for name, check in examined.checks.items() if not check.passed]


def _check_origin(
    path: Path, record: DiagnosticsRecord | TransferRecord, run: Run, remedy: str
) -> None:
    for what, theirs, ours in (
        ("experiment", record.experiment, run.training.experiment),
        ("data fingerprint", record.data.fingerprint, run.training.data.fingerprint),
    ):
        if theirs != ours:
            raise BenchError(
                f"{path}: its {what} is {theirs}, in train.json it is {ours}; {remedy}"
            )


def _check_weights(path: Path, checkpoint: str, examined: Examined, run: Run, remedy: str) -> None:
    trained = run.training.checkpoints.get(checkpoint)
    if trained is None or trained.weights_sha256 != examined.weights_sha256:
        raise BenchError(
            f"{path}: it examined other weights than the checkpoint {checkpoint!r} of "
            f"{run.training.method} seed {run.training.seed}; {remedy}"
        )


def _check_table(path: Path, digest: str, remedy: str) -> None:
    if not path.is_file():
        raise BenchError(f"{path}: missing; {remedy}")
    if sha256(path) != digest:
        raise BenchError(f"{path}: changed since its record was written; {remedy}")
