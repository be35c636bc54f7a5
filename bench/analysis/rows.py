"""The rows of summary.csv: one for each network, checkpoint and attack, and their worst case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from bench.analysis.across_attacks import above_another, at_chance, robust_to_all
from bench.analysis.statistics.accuracy import wilson
from bench.data.published import difference
from bench.diagnostics.checks import flag
from bench.results.diagnostics import Failures
from bench.results.flags import (
    ABOVE_PGD,
    ATTACKED_IN,
    CHANCE,
    ON_TEST,
    OTHER_IMAGES,
    SUBSET,
    TEST_IN_TRAIN,
    TRAIN_SUBSET,
    WARNED,
    WITH_TF32,
)
from bench.results.options import options_text
from bench.results.published import ROBUSTBENCH, Reported, find, find_card
from bench.results.records import AttackRecord
from bench.results.references import Reference
from bench.results.runs import Result, Run

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

    `base_method` and `options` are what the label `method` stands for, `selected_by` the accuracy
    that chose the checkpoint; `warnings` are the attack's own, joined by " | "; `attack_engine` is
    what adversarial images were searched on, empty where nothing was searched in one way.
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
    base_method: str
    options: str
    selected_by: str
    warnings: str
    attack_engine: str


@dataclass(frozen=True, eq=False)
class Judged:
    """A network that was judged, ours or not: what its rows have in common.

    `test_images` are those of the source, judged or not, and `train_subset` says whether ours
    trained on a part of its training images, `test_in_train` whether some of both are equal.

    `weights`, `results` and `failed`, the diagnostics that it did not pass, are by checkpoint;
    `published` returns the reported number for a checkpoint, an attack and its radius, and
    `other_images` says that there is none as the images are not those that others report of.
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
    train_subset: bool
    code_digest: str
    base_method: str
    options: str
    selected_by: str
    weights: Mapping[str, str]
    results: Mapping[str, Mapping[str, Result]]
    failed: Mapping[str, Sequence[str]]
    published: Callable[[str, str, float], Reported | None]
    other_images: bool
    test_in_train: bool = False


def run_rows(
    run: Run, reported: Sequence[Reported] = (), failures: Failures = MappingProxyType({})
) -> list[Row]:
    """Return the rows of one of our runs beside what papers report and where diagnostics failed."""
    trained = run.training
    trained_eps = trained.spec.threat.eps
    base, options = trained.spec.method, options_text(trained.spec.method, trained.spec.options)

    def published(checkpoint: str, attack: str, eps: float) -> Reported | None:
        # A paper's radius is that of its training too, so clean accuracy is compared by it as well.
        if attack != "clean" and abs(eps - trained_eps) >= 1e-6:
            return None
        # The name of an attack is the configuration's.
        details = run.results[checkpoint][attack].record.details
        if attack == "pgd20" and not details.is_pgd20:
            return None
        return find(
            reported,
            dataset=trained.data.name,
            model=trained.model.label,
            method=base,
            options=options,
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
            test_images=trained.data.all_test_images,
            train_subset=trained.data.train_subset,
            test_in_train=bool(trained.data.train_test_duplicates),
            code_digest=run.evaluation.code_digest,
            base_method=base,
            options=options,
            selected_by=trained.selected_by,
            weights={name: kept.weights_sha256 for name, kept in trained.checkpoints.items()},
            results=run.results,
            failed={
                name: failures.get((trained.method, trained.seed, name), ())
                for name in trained.checkpoints
            },
            published=published,
            other_images=bool(difference(trained.data)),
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
            test_images=reference.data.all_test_images,
            train_subset=False,  # Others trained it, on what its card says.
            code_digest=evaluation.code_digest,
            base_method="",
            options="",
            selected_by="",
            weights={name: one.weights_sha256 for name, one in evaluation.checkpoints.items()},
            results=reference.results,
            failed={},
            published=published,
            other_images=bool(difference(reference.data)),
        )
    )


def _rows(judged: Judged) -> list[Row]:
    rows = []
    for checkpoint, results in judged.results.items():
        found = [_attack_row(judged, checkpoint, attack, results) for attack in results]
        found += _worst_case(judged, checkpoint, results)
        if at_chance(results):
            found = [replace(row, flags=tuple(sorted({*row.flags, CHANCE}))) for row in found]
        rows += found
    return rows


def _attack_row(judged: Judged, checkpoint: str, attack: str, results: Mapping[str, Result]) -> Row:
    record = results[attack].record
    flags = _flags(record)
    if attack == "autoattack" and above_another(results):
        flags.add(ABOVE_PGD)
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
        warnings=record.details.warnings,
        engine=record.details.search_engine,
        published=judged.published(checkpoint, attack, record.eps),
    )


def _worst_case(judged: Judged, checkpoint: str, results: Mapping[str, Result]) -> list[Row]:
    attacks = [result for attack, result in results.items() if attack != "clean"]
    if len(attacks) < 2:
        return []
    first = attacks[0]
    if any(abs(first.record.eps - other.record.eps) > 1e-6 for other in attacks):
        return []
    robust_N = robust_to_all(attacks)
    if not len(robust_N):
        return []
    return [
        _row(
            judged,
            checkpoint,
            WORST,
            source="all attacks",
            seed=None,
            eps=first.record.eps,
            n=len(robust_N),
            correct=int(robust_N.sum()),
            flags=set().union(*(_flags(attack.record) for attack in attacks)),
            published=None,
        )
    ]


def _flags(record: AttackRecord) -> set[str]:
    flags = set(record.flags)
    if record.precision != "float32":
        flags.add(f"{ATTACKED_IN}{record.precision}")
    if record.tf32:
        flags.add(WITH_TF32)
    if record.details.warnings:
        flags.add(WARNED)
    return flags


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
    warnings: tuple[str, ...] = (),
    engine: str = "",
    published: Reported | None,
) -> Row:
    accuracy = 100 * correct / n
    low, high = wilson(correct, n)
    if judged.selected_on == "test":
        flags = flags | {ON_TEST}
    flags = flags | ({SUBSET} if n < judged.test_images else set())
    flags = flags | ({TRAIN_SUBSET} if judged.train_subset else set())
    flags = flags | ({TEST_IN_TRAIN} if judged.test_in_train else set())
    # Nothing that misleads an attack touches an accuracy without one.
    if attack != "clean":
        flags = flags | {flag(check) for check in judged.failed.get(checkpoint, ())}
    if judged.other_images:
        flags = flags | {OTHER_IMAGES}
    # Papers and cards tell of all images: a difference from them would be of something else.
    if flags & {SUBSET, TRAIN_SUBSET, OTHER_IMAGES}:
        published = None
    # Some authors attack the first thousand test images alone.
    if published is not None and published.n not in (None, n):
        published = None
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
        base_method=judged.base_method,
        options=judged.options,
        selected_by=judged.selected_by,
        warnings=" | ".join(" ".join(text.split()) for text in warnings),
        attack_engine=engine,
    )
