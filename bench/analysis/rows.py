"""The rows of summary.csv: one for each network, checkpoint and attack, and their worst case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.analysis.collect import Result, Run
from bench.analysis.references import Reference
from bench.analysis.reported import ROBUSTBENCH, Reported, find, find_card
from bench.analysis.run_records import AttackRecord
from bench.analysis.statistics import wilson

WORST = "worst_case"


@dataclass(frozen=True)
class Row:
    """One line of summary.csv, in the order of its columns; accuracies in percent.

    `accuracy` is not rounded here, so that what is computed from it is exact. `precision`,
    `engine` and `tf32` say how the weights were trained; an attack run otherwise than in float32
    has a flag. `code_digest` is that of the code that judged, since `weights_sha256` already names
    the model.

    Where RobustBench lists the weights, `model` and `engine` are "robustbench", `method` is its
    name of the model, and what only a training of ours would have is None or empty.
    """

    experiment: str
    dataset: str
    model: str
    method: str
    seed: int | None
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
    tf32: bool | None
    flags: tuple[str, ...]
    code_digest: str
    weights_sha256: str


@dataclass(frozen=True, eq=False)
class Judged:
    """A network that was judged, ours or not: what its rows have in common.

    `weights` and `results` are by checkpoint; `published` returns the reported number for a
    checkpoint, an attack and its radius.
    """

    experiment: str
    dataset: str
    model: str
    method: str
    seed: int | None
    selected_on: str
    precision: str
    engine: str
    tf32: bool | None
    test_images: int
    code_digest: str
    weights: Mapping[str, str]
    results: Mapping[str, Mapping[str, Result]]
    published: Callable[[str, str, float], Reported | None]


def run_rows(run: Run, reported: Sequence[Reported] = ()) -> list[Row]:
    """Return the rows of one of our runs beside what papers report."""
    trained = run.training
    trained_eps = trained.spec.threat.eps

    def published(checkpoint: str, attack: str, eps: float) -> Reported | None:
        # A paper's radius is that of its training too, so clean accuracy is compared by it as well.
        if attack != "clean" and abs(eps - trained_eps) >= 1e-6:
            return None
        return find(
            reported,
            dataset=trained.data.name,
            model=trained.model.label,
            method=trained.method,
            metric=attack,
            eps=trained_eps,
            checkpoint=checkpoint,
        )

    return _rows(
        Judged(
            experiment=trained.experiment,
            dataset=trained.data.name,
            model=trained.model.label,
            method=trained.method,
            seed=trained.seed,
            selected_on=trained.selected_on,
            precision=trained.precision,
            engine=trained.engine,
            tf32=trained.tf32,
            test_images=trained.data.test_images,
            code_digest=run.evaluation.code_digest,
            weights={name: kept.weights_sha256 for name, kept in trained.checkpoints.items()},
            results=run.results,
            published=published,
        )
    )


def reference_rows(reference: Reference, cards: Sequence[Reported] = ()) -> list[Row]:
    """Return the rows of one of RobustBench's models beside what its card says."""
    evaluation = reference.evaluation

    def published(_: str, attack: str, eps: float) -> Reported | None:
        return find_card(
            cards, dataset=reference.data.name, name=evaluation.method, metric=attack, eps=eps
        )

    return _rows(
        Judged(
            experiment=reference.experiment,
            dataset=reference.data.name,
            model=ROBUSTBENCH,
            method=evaluation.method,
            seed=None,
            selected_on="",
            precision="",
            engine=ROBUSTBENCH,
            tf32=None,
            test_images=reference.data.test_images,
            code_digest=evaluation.code_digest,
            weights={name: one.weights_sha256 for name, one in evaluation.checkpoints.items()},
            results=reference.results,
            published=published,
        )
    )


def _rows(judged: Judged) -> list[Row]:
    rows = []
    for checkpoint, results in judged.results.items():
        rows += [_attack_row(judged, checkpoint, attack, results) for attack in results]
        rows += _worst_case(judged, checkpoint, results)
    return rows


def _attack_row(judged: Judged, checkpoint: str, attack: str, results: Mapping[str, Result]) -> Row:
    record = results[attack].record
    flags = _flags(record)
    if attack == "autoattack" and _above_pgd(results):
        flags.add("autoattack_above_pgd")
    return _row(
        judged,
        checkpoint,
        attack,
        source=record.source,
        seed=record.seed,
        eps=record.eps,
        n=record.n,
        correct=record.correct,
        flags=flags,
        published=judged.published(checkpoint, attack, record.eps),
    )


def _worst_case(judged: Judged, checkpoint: str, results: Mapping[str, Result]) -> list[Row]:
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
            judged,
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
    judged: Judged,
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
    accuracy = 100 * correct / n
    low, high = wilson(correct, n)
    if judged.selected_on == "test":
        flags = flags | {"selected_on_test"}
    if n < judged.test_images:
        flags = flags | {"subset"}
    return Row(
        experiment=judged.experiment,
        dataset=judged.dataset,
        model=judged.model,
        method=judged.method,
        seed=judged.seed,
        checkpoint=checkpoint,
        selected_on=judged.selected_on,
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
        precision=judged.precision,
        engine=judged.engine,
        tf32=judged.tf32,
        flags=tuple(sorted(flags)),
        code_digest=judged.code_digest,
        weights_sha256=judged.weights[checkpoint],
    )
