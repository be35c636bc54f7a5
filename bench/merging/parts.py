"""The folders that are merged: each is read and checked by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from bench.results.changes import check_digest
from bench.results.csv_file import read_table
from bench.results.data_header import header
from bench.results.diagnosed import read_diagnosis
from bench.results.evaluated import read_references, read_run
from bench.results.paths import Paths, RunPaths
from bench.results.records import (
    DataRecord,
    DiagnosticsRecord,
    EvaluationRecord,
    MergedPart,
    MergedRecord,
    OriginRecord,
    TrainRecord,
    TransferRecord,
    UnavailableRecord,
)
from bench.runtime.errors import BenchError

AGAIN = "copy it again from where it was made"
Pair = tuple[str, int]  # label of the method, and seed


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run, with the label that it has in the merged folder in its records.

    `apart` is the part in its label, if it is kept apart; empty where it shares the label.
    `history` are the cells of the learning curve, none of weights that were trained elsewhere.
    """

    apart: str
    paths: RunPaths
    origin: OriginRecord
    evaluation: EvaluationRecord
    diagnostics: DiagnosticsRecord | None
    history: Mapping[str, str]
    made: tuple[MergedPart, ...]

    @property
    def pair(self) -> Pair:
        """Label and seed."""
        return self.origin.method, self.origin.seed

    @property
    def shared_label(self) -> str:
        """The label that it has where nothing is kept apart."""
        label = self.origin.method
        return label.removesuffix(_own("", self.apart)) if self.apart else label

    @property
    def renamed(self) -> bool:
        """Whether its records name another label than its files do."""
        return self.origin.method != self.paths.folder.parent.name


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A RobustBench model; no evaluation where its checkpoint could not be fetched."""

    name: str
    paths: RunPaths
    evaluation: EvaluationRecord | None
    made: tuple[MergedPart, ...]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One folder that is merged; `apart`: its runs get labels of their own."""

    name: str
    apart: bool
    paths: Paths
    data: DataRecord | None
    runs: Sequence[Run]
    references: Sequence[Reference]
    transfers: Sequence[TransferRecord]


def read_part(name: str, folder: Path, *, apart: bool, problems: list[str]) -> Part:
    """Return the results below `folder`; what is wrong with them is added to `problems`."""
    paths, merged, data = Paths(folder), None, None
    runs: list[Run] = []
    transfers: list[TransferRecord] = []
    references: list[Reference] = []
    with collecting(problems):
        data = DataRecord.read(paths.data_record, AGAIN)
        said = header(paths.data)
        if said and said.get("fingerprint") != data.fingerprint:
            raise BenchError(f"{paths.data}: it has other images than data.json names; {AGAIN}")
    with collecting(problems):
        if paths.merged_record.is_file():
            merged = MergedRecord.read(paths.merged_record, AGAIN)
    for run in paths.begun():
        with collecting(problems):
            runs.append(_read_run(paths, run, name, merged))
    for path in paths.transfer_records():
        with collecting(problems):
            transfer = TransferRecord.read(path, AGAIN)
            check_digest(paths.transfer(transfer.seed), transfer.sha256, path)
            transfers.append(transfer)
    for found in paths.begun_references():
        with collecting(problems):
            _check_finished(found, found.evaluation_record)
            if runs:
                references.append(_read_reference(paths, found, name, merged, runs[0].origin))
    if not (runs or problems):
        problems.append(
            f"{folder}: no trained models; give the folder of an experiment, such as results/digits"
        )
    if apart:
        shared = [run.origin.method for run in runs if not run.apart]
        labels = {label: _own(label, name) for label in shared}
        runs = [run if run.apart else _relabelled(run, labels, name) for run in runs]
    return Part(
        name=name,
        apart=apart,
        paths=paths,
        data=data,
        runs=runs,
        references=references,
        transfers=transfers,
    )


@contextmanager
def collecting(problems: list[str]) -> Iterator[None]:
    """Add the BenchError that the block raises, if any, to `problems`; the block ends there."""
    try:
        yield
    except BenchError as error:
        said = str(error)
        # Who made the file can make it again; here it can be copied.
        problems.append(said if "copy it again" in said else f"{said}, or {AGAIN}")


def _own(label: str, part: str) -> str:
    """Return the label of runs of `part` that are kept apart."""
    return f"{label}_at_{part}"


def _read_run(paths: Paths, run: RunPaths, name: str, merged: MergedRecord | None) -> Run:
    diagnosed = [run.diagnostics_record] if run.diagnostics_record.parent.is_dir() else []
    _check_finished(run, run.origin_record, run.evaluation_record, *diagnosed)
    found = read_run(run)
    origin, evaluation = found.training, found.evaluation
    evaluated, trained = list(evaluation.checkpoints), list(origin.checkpoints)
    if sorted(evaluated) != sorted(trained):
        raise BenchError(
            f"{run.evaluation_record}: its checkpoints are {evaluated}, those of "
            f"{run.origin_record.name} are {trained}; finish the evaluation and copy it again"
        )
    for at, one in origin.checkpoints.items():
        check_digest(run.weights(at), one.weights_sha256, run.origin_record)
    for at, attacked in evaluation.checkpoints.items():
        if attacked.witnesses_sha256 is not None:
            check_digest(run.witnesses(at), attacked.witnesses_sha256, run.evaluation_record)
    if isinstance(origin, TrainRecord) and origin.history_sha256 is not None:
        check_digest(run.history, origin.history_sha256, run.train_record)
    diagnosis = read_diagnosis(paths, [found])
    return Run(
        apart=merged.apart.get(origin.method, "") if merged else "",
        paths=run,
        origin=origin,
        evaluation=evaluation,
        diagnostics=diagnosis.records.get((origin.method, origin.seed)),
        history=_history(run.history) if isinstance(origin, TrainRecord) else {},
        made=_made(run, name, merged, label=origin.method, seed=origin.seed),
    )


def _check_finished(run: RunPaths, *records: Path) -> None:
    for path in records:
        if not path.is_file():
            raise BenchError(
                f"{path}: missing, as what makes it is not finished; finish it and copy it again, "
                f"or delete {run.folder} to merge without it"
            )


def _history(path: Path) -> dict[str, str]:
    rows = read_table(path, ["epoch"], AGAIN)
    return {f"epoch {row['epoch']} {name}": cell for row in rows for name, cell in row.items()}


def _read_reference(
    paths: Paths, run: RunPaths, name: str, merged: MergedRecord | None, beside: OriginRecord
) -> Reference:
    model, evaluation = run.folder.name, None
    if UnavailableRecord.find(run.evaluation_record) is None:
        (found,) = read_references(paths, [model], beside=beside)
        evaluation = found.evaluation
    made = _made(run, name, merged, reference=model)
    return Reference(name=model, paths=run, evaluation=evaluation, made=made)


def _made(
    run: RunPaths,
    name: str,
    merged: MergedRecord | None,
    *,
    label: str = "",
    seed: int = 0,
    reference: str = "",
) -> tuple[MergedPart, ...]:
    """Return who made a run or a reference: the parts of an earlier merge, or this part."""
    known = tuple(
        part
        for part in (merged.parts if merged else ())
        if seed in part.seeds.get(label, ()) or reference in part.references
    )
    if known:
        return known
    time = run.evaluation_record.stat().st_mtime
    day = datetime.fromtimestamp(time, UTC).date().isoformat()
    return (MergedPart(name=name, seeds={}, references=(), first=day, last=day, apart=""),)


def _relabelled(run: Run, labels: Mapping[str, str], part: str) -> Run:
    """Return `run`, kept apart for `part`, with new `labels` by the old ones in its records."""
    label, evaluation = labels[run.origin.method], run.evaluation
    networks = tuple(labels.get(other, other) for other in evaluation.spec.networks)
    others = {labels.get(other, other): one for other, one in evaluation.others_sha256.items()}
    return replace(
        run,
        apart=part,
        origin=replace(run.origin, method=label),
        evaluation=replace(
            evaluation,
            method=label,
            spec=replace(evaluation.spec, networks=networks),
            others_sha256=others,
        ),
        diagnostics=run.diagnostics and replace(run.diagnostics, method=label),
    )
