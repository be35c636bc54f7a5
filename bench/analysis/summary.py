"""summary.csv, one line per method, seed, checkpoint and attack, and costs.csv beside it.

Nothing in summary.csv depends on the clock: the same records and verdicts give the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from bench.analysis.collect import Result, Run, collect
from bench.analysis.labels import attack_order, checkpoint_order, eps_text
from bench.analysis.reported import Reported, find, read_reported
from bench.analysis.run_records import AttackRecord
from bench.analysis.statistics import wilson
from bench.records import write_text

WORST = "worst_case"


@dataclass(frozen=True)
class Row:
    """One line of summary.csv, in the order of its columns; accuracies in percent.

    `accuracy` is not rounded here, so that what is computed from it is exact. `precision`,
    `engine` and `tf32` say how the weights were trained; an attack run otherwise than in float32
    has a flag. `code_digest` is that of the code that judged, since `weights_sha256` already names
    the model.
    """

    experiment: str
    dataset: str
    model: str
    method: str
    seed: int
    checkpoint: str
    selected_on: str
    attack: str
    attack_source: str
    attack_seed: int | None
    eps: float
    n: int
    correct: int
    accuracy: float
    ci_low: float
    ci_high: float
    reported: float | None
    reported_source: str
    difference: float | None
    precision: str
    engine: str
    tf32: bool
    flags: tuple[str, ...]
    code_digest: str
    weights_sha256: str


@dataclass(frozen=True)
class Cost:
    """One line of costs.csv: wall time in seconds, the device's peak memory in MB if known."""

    experiment: str
    method: str
    seed: int
    stage: str
    checkpoint: str
    attack: str
    seconds: float
    peak_memory_mb: float | None
    device: str


def summarize(
    folder: Path, *, expected: Iterable[tuple[str, int]] | None, reported: Path
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

    Raises
    ------
    BenchError
        Naming the file that is missing or does not agree with another, and the remedy.
    """
    known = read_reported(reported)
    runs = collect(folder, expected)
    rows = summary_rows(runs, known)
    write_text(folder / "summary.csv", to_csv(Row, map(_cells, rows)))
    costs = [tuple(_cell(value) for value in vars(cost).values()) for cost in cost_rows(runs)]
    write_text(folder / "costs.csv", to_csv(Cost, costs))
    return rows


def summary_rows(runs: Iterable[Run], reported: Sequence[Reported] = ()) -> tuple[Row, ...]:
    """Return the rows of summary.csv, sorted by method, seed, checkpoint and attack."""
    rows = []
    for run in runs:
        for checkpoint, results in run.results.items():
            rows += [_attack_row(run, checkpoint, attack, results, reported) for attack in results]
            rows += _worst_case(run, checkpoint, results)
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                row.method,
                row.seed,
                checkpoint_order(row.checkpoint),
                attack_order(row.attack),
            ),
        )
    )


def cost_rows(runs: Iterable[Run]) -> tuple[Cost, ...]:
    """Return what each training and each attack took, in the order of `runs`."""
    costs = []
    for run in runs:
        trained = run.training
        took: list[tuple[str, str, str, float, float | None, str]] = [
            ("train", "", "", trained.seconds, trained.peak_memory_mb, trained.device)
        ]
        for checkpoint in sorted(run.results, key=checkpoint_order):
            for attack in sorted(run.results[checkpoint], key=attack_order):
                record = run.results[checkpoint][attack].record
                spent = (record.seconds, record.peak_memory_mb, run.evaluation.device)
                took.append(("evaluate", checkpoint, attack, *spent))
        costs += [Cost(trained.experiment, trained.method, trained.seed, *what) for what in took]
    return tuple(costs)


def to_csv(kind: type, rows: Iterable[Sequence[str]]) -> str:
    """Return CSV text with the fields of the dataclass `kind` as its header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(kind)])
    writer.writerows(rows)
    return text.getvalue()


def _attack_row(
    run: Run,
    checkpoint: str,
    attack: str,
    results: Mapping[str, Result],
    reported: Sequence[Reported],
) -> Row:
    trained, record = run.training, results[attack].record
    eps_trained = trained.spec.threat.eps
    published = None
    # A paper's radius is that of its training too, so a clean accuracy is compared by it as well.
    if attack == "clean" or abs(record.eps - eps_trained) < 1e-6:
        published = find(
            reported,
            dataset=trained.data.name,
            model=trained.model.label,
            method=trained.method,
            metric=attack,
            eps=eps_trained,
            checkpoint=checkpoint,
        )
    flags = _flags(record)
    if attack == "autoattack" and _above_pgd(results):
        flags.add("autoattack_above_pgd")
    return _row(
        run,
        checkpoint,
        attack,
        source=record.source,
        seed=record.seed,
        eps=record.eps,
        n=record.n,
        correct=record.correct,
        flags=flags,
        published=published,
    )


def _worst_case(run: Run, checkpoint: str, results: Mapping[str, Result]) -> list[Row]:
    attacks = [result for attack, result in results.items() if attack != "clean"]
    if len(attacks) < 2:
        return []
    first, *others = attacks
    index_N, robust_N = first.verdicts.index, first.verdicts.robust
    for other in others:
        same_images = np.array_equal(index_N, other.verdicts.index)
        if not same_images or abs(first.record.eps - other.record.eps) > 1e-6:
            return []
        robust_N = robust_N & other.verdicts.robust
    return [
        _row(
            run,
            checkpoint,
            WORST,
            source="all attacks",
            seed=None,
            eps=first.record.eps,
            n=len(index_N),
            correct=int(robust_N.sum()),
            flags=set().union(*(_flags(attack.record) for attack in attacks)),
            published=None,
        )
    ]


def _flags(record: AttackRecord) -> set[str]:
    flags = set(record.flags)
    if record.precision != "float32":
        flags.add(f"attacked_in_{record.precision}")
    if record.tf32:
        flags.add("attacked_with_tf32")
    return flags


def _above_pgd(results: Mapping[str, Result]) -> bool:
    """Say whether AutoAttack leaves more images standing than PGD-20 of those both judged."""
    if "pgd20" not in results or results["pgd20"].record.eps != results["autoattack"].record.eps:
        return False
    pgd, auto = results["pgd20"].verdicts, results["autoattack"].verdicts
    _, in_pgd, in_auto = np.intersect1d(pgd.index, auto.index, return_indices=True)
    return int(auto.robust[in_auto].sum()) > int(pgd.robust[in_pgd].sum())


def _row(
    run: Run,
    checkpoint: str,
    attack: str,
    *,
    source: str,
    seed: int | None,
    eps: float,
    n: int,
    correct: int,
    flags: set[str],
    published: Reported | None,
) -> Row:
    trained = run.training
    accuracy = 100 * correct / n
    low, high = wilson(correct, n)
    if trained.selected_on == "test":
        flags = flags | {"selected_on_test"}
    if n < trained.data.test_images:
        flags = flags | {"subset"}
    return Row(
        experiment=trained.experiment,
        dataset=trained.data.name,
        model=trained.model.label,
        method=trained.method,
        seed=trained.seed,
        checkpoint=checkpoint,
        selected_on=trained.selected_on,
        attack=attack,
        attack_source=source,
        attack_seed=seed,
        eps=eps,
        n=n,
        correct=correct,
        accuracy=accuracy,
        ci_low=low,
        ci_high=high,
        reported=None if published is None else published.value,
        reported_source="" if published is None else published.citation,
        difference=None if published is None else accuracy - published.value,
        precision=trained.precision,
        engine=trained.engine,
        tf32=trained.tf32,
        flags=tuple(sorted(flags)),
        code_digest=run.evaluation.code_digest,
        weights_sha256=trained.checkpoints[checkpoint].weights_sha256,
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
        return f"{round(value, 2) + 0.0:.2f}"  # the sum turns -0.0 into 0.0
    return str(value)
