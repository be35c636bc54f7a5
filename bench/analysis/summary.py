"""summary.csv, one line per method, seed, checkpoint and attack, and costs.csv beside it.

Nothing in summary.csv depends on the clock: the same records and verdicts give the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType

from bench.analysis.labels import attack_order, checkpoint_order, eps_text
from bench.analysis.recipes import flagged, own_recipes
from bench.analysis.rows import Row, reference_rows, run_rows
from bench.config.experiment import Experiment
from bench.data.published import difference
from bench.results.agreement import check_alike, check_settings
from bench.results.collect import collect
from bench.results.csv_file import decimal
from bench.results.diagnostics import DiagnosticsRecord, Failures, collect_diagnostics
from bench.results.published import Reported, read_cards, read_reported
from bench.results.references import Reference, collect_references
from bench.results.runs import Result, Run
from bench.runtime.files import write_text


@dataclass(frozen=True)
class Cost:
    """One line of costs.csv: wall time in seconds, the device's peak memory in MB if known.

    `images_per_second` counts an image once an epoch, or once an attack; passes are those of one
    image in one training step.
    """

    experiment: str
    method: str
    seed: int | None
    stage: str
    checkpoint: str
    attack: str
    seconds: float
    peak_memory_mb: float | None
    device: str
    images_per_second: float | None = None
    forward_passes: int | None = None
    backward_passes: int | None = None


def summarize(
    folder: Path,
    *,
    expected: Iterable[tuple[str, int]] | None,
    reported: Path,
    references: Iterable[str] | None = None,
    cards: Path | None = None,
    experiment: Experiment | None = None,
    diagnosed: Iterable[tuple[str, int]] | None = None,
) -> tuple[Row, ...]:
    """Write summary.csv and costs.csv of the experiment in `folder`; return the summary's rows.

    Parameters
    ----------
    folder
        results/<experiment>.
    expected
        The (method, seed) pairs of the configuration; None takes every run in the folder.
    reported
        The CSV file of reported numbers.
    references
        RobustBench's models of the configuration; None takes every one in the folder. One that was
        unavailable when it should have been judged has no rows.
    cards
        The CSV file of RobustBench's model cards, read where one of its models was judged; None
        compares with none.
    experiment
        Whose settings every record must have been made under, and whose `training` is the recipe
        from which a method's own differs. Without it the runs are compared with each other alone.
    diagnosed
        The (method, seed) pairs whose diagnostics count; None takes all that are in the folder.

    Raises
    ------
    BenchError
        Naming the file that is missing or does not agree with another, and the remedy.
    """
    known = read_reported(reported)
    runs = collect(folder, expected)
    others = collect_references(folder, references, beside=runs[0].training)
    check_alike(runs)
    if experiment:
        names = [other.evaluation.method for other in others]
        check_settings(folder, experiment, runs, names)
    listed = read_cards(cards) if cards and others else ()
    diagnosis = collect_diagnostics(folder, runs, diagnosed)
    own = own_recipes(runs, experiment)
    rows = summary_rows(runs, known, others, listed, diagnosis.failures, own)
    for name, said in {
        run.training.data.name: difference(run.training.data) for run in runs
    }.items():
        if said:
            print(f"{folder}: no reported number stands beside {name}: {said}", flush=True)
    write_text(folder / "summary.csv", to_csv(Row, map(_cells, rows)))
    costs = [
        tuple(_cell(value) for value in vars(cost).values())
        for cost in cost_rows(runs, others, diagnosis.records)
    ]
    write_text(folder / "costs.csv", to_csv(Cost, costs))
    return rows


def summary_rows(
    runs: Iterable[Run],
    reported: Sequence[Reported] = (),
    references: Iterable[Reference] = (),
    cards: Sequence[Reported] = (),
    failures: Failures = MappingProxyType({}),
    own: Collection[tuple[str, int]] = (),
) -> tuple[Row, ...]:
    """Return the rows of summary.csv, sorted by method, seed, checkpoint and attack.

    RobustBench's models come after all of ours. `own` are the (method, seed) pairs that were
    trained by a recipe of their own.
    """
    ours = [row for run in runs for row in run_rows(run, reported, failures)]
    ours = [flagged(row) if (row.method, row.seed) in own else row for row in ours]
    theirs = [row for reference in references for row in reference_rows(reference, cards)]
    return (*sorted(ours, key=_order), *sorted(theirs, key=_order))


def cost_rows(
    runs: Iterable[Run],
    references: Iterable[Reference] = (),
    diagnostics: Iterable[DiagnosticsRecord] = (),
) -> tuple[Cost, ...]:
    """Return what each training, attack and examination took, in the order of `runs`, ours first.

    An examination is one row for all its checks and checkpoints.
    """
    costs = []
    examined = {(record.method, record.seed): record for record in diagnostics}
    for run in runs:
        trained = run.training
        of = Cost(
            experiment=trained.experiment,
            method=trained.method,
            seed=trained.seed,
            stage="train",
            checkpoint="",
            attack="",
            seconds=trained.seconds,
            peak_memory_mb=trained.peak_memory_mb,
            device=trained.device,
        )
        images = (trained.data.train_images or 0) * (trained.spec.training.epochs or 0)
        costs.append(
            replace(
                of,
                images_per_second=_speed(images, trained.seconds),
                forward_passes=trained.passes.forward if trained.passes else None,
                backward_passes=trained.passes.backward if trained.passes else None,
            )
        )
        costs += _evaluations(of, run.results, run.evaluation.device)
        if record := examined.get((trained.method, trained.seed)):
            costs.append(
                replace(
                    of,
                    stage="diagnose",
                    seconds=record.seconds,
                    peak_memory_mb=record.peak_memory_mb,
                    device=record.device,
                )
            )
    for reference in references:
        judged = reference.evaluation
        of = Cost(
            reference.experiment, judged.method, None, "evaluate", "", "", 0.0, None, judged.device
        )
        costs += _evaluations(of, reference.results, judged.device)
    return tuple(costs)


def _evaluations(
    of: Cost, results: Mapping[str, Mapping[str, Result]], device: str
) -> Iterator[Cost]:
    for checkpoint in sorted(results, key=checkpoint_order):
        for attack in sorted(results[checkpoint], key=attack_order):
            record = results[checkpoint][attack].record
            yield replace(
                of,
                stage="evaluate",
                checkpoint=checkpoint,
                attack=attack,
                seconds=record.seconds,
                peak_memory_mb=record.peak_memory_mb,
                device=device,
                images_per_second=_speed(record.n, record.seconds),
            )


def _speed(images: int, seconds: float) -> float | None:
    return images / seconds if images and seconds > 0 else None


def to_csv(kind: type, rows: Iterable[Sequence[str]]) -> str:
    """Return CSV text with the fields of the dataclass `kind` as its header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(kind)])
    writer.writerows(rows)
    return text.getvalue()


def _order(row: Row) -> tuple[object, ...]:
    return (
        row.method,
        -1 if row.seed is None else row.seed,
        checkpoint_order(row.checkpoint),
        attack_order(row.attack),
    )


def _cells(row: Row) -> list[str]:
    values = vars(row) | {"eps": eps_text(row.eps), "flags": ";".join(row.flags)}
    return [_cell(value) for value in values.values()]


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return decimal(value)
    return str(value)
