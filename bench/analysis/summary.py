"""summary.csv: a row for each network, checkpoint and attack; and costs.csv beside it.

Nothing in summary.csv depends on the clock: the same records and results give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.config.experiment import Experiment, TrainSpec
from bench.config.method_options import as_shares, declared, method_names
from bench.config.parsing import plain
from bench.data.published import difference
from bench.diagnostics.checks import flag
from bench.results.attack_result import (
    SAME_EPS,
    WORST,
    AttackResult,
    robust_images,
    worst_case,
)
from bench.results.columns import COSTS, SUMMARY
from bench.results.diagnosed import Diagnosis
from bench.results.evaluated import (
    EvaluatedReference,
    EvaluatedRun,
    Pair,
)
from bench.results.flags import (
    ABOVE_PGD,
    CHANCE,
    EXTERNAL,
    ON_TEST,
    OTHER_IMAGES,
    OWN_RECIPE,
    SUBSET,
    TEST_IN_TRAIN,
    TRAIN_SUBSET,
    WARNED,
)
from bench.results.options import options_text
from bench.results.order import attack_order, checkpoint_order
from bench.results.origin import EXTERNAL_ORIGIN, TRAINED
from bench.results.published import ROBUSTBENCH, Reported, find, find_card
from bench.results.records import AttackRecord, DiagnosticsRecord, NetworkRecord, TrainRecord
from bench.results.tables import from_rows
from bench.results.wilson import wilson

# Beside these no published number is shown: it is of other images, or of another recipe.
INCOMPARABLE = {SUBSET, TRAIN_SUBSET, OTHER_IMAGES, OWN_RECIPE}
# How the same computation is carried out; a recipe is what is computed.
NO_RECIPE = ("engine",)
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Network:
    """A network that was evaluated, ours or not: what its rows have in common.

    `row` are cells that are equal in all of them, `flags` those of all of them. `test_images` are
    those of the source, evaluated or not. `failed` are the diagnostic checks that it did not pass,
    by checkpoint.
    """

    row: Row
    flags: Collection[str]
    test_images: int
    weights: Mapping[str, str]
    results: Mapping[str, Mapping[str, AttackResult]]
    failed: Mapping[str, Sequence[str]]


def summary_table(
    runs: Sequence[EvaluatedRun],
    reported: Sequence[Reported] = (),
    references: Iterable[EvaluatedReference] = (),
    cards: Sequence[Reported] = (),
    diagnosis: Diagnosis | None = None,
    experiment: Experiment | None = None,
) -> pd.DataFrame:
    """Return summary.csv, sorted by method, seed, checkpoint and attack, RobustBench's models last.

    Parameters
    ----------
    reported, cards
        What papers report, and RobustBench's model cards.
    diagnosis
        The checks that count.
    experiment
        Whose section `training` is the shared recipe. Without it that of most labels is.
    """
    own = own_recipes(runs, experiment)
    rows: list[Row] = []
    for run in runs:
        found = (_compared(row, run, reported) for row in _rows(_of_run(run, diagnosis, own)))
        rows += sorted(found, key=_order)
    for reference in sorted(references, key=lambda one: one.evaluation.method):
        found = (_carded(row, cards) for row in _rows(_theirs(reference)))
        rows += sorted(found, key=_order)
    return from_rows(SUMMARY, rows)


def costs_table(
    runs: Iterable[EvaluatedRun],
    references: Iterable[EvaluatedReference] = (),
    diagnosis: Diagnosis | None = None,
) -> pd.DataFrame:
    """Return what each training, attack and diagnosis took, in the order of `runs`, ours first.

    A diagnosis is one row for all its checks and checkpoints.
    """
    rows: list[Row] = []
    diagnosed = {} if diagnosis is None else diagnosis.records
    for run in runs:
        trained = run.training
        of = {"experiment": trained.experiment, "method": trained.method, "seed": trained.seed}
        found = [*_attack_costs(run.results, run.evaluation.device)]
        if isinstance(trained, TrainRecord):
            found.insert(0, _training_cost(trained))
        if record := diagnosed.get((trained.method, trained.seed)):
            found.append({"stage": "diagnose", **_spent(record)})
        rows += [{"checkpoint": "", "attack": "", **of, **row} for row in found]
    for reference in references:
        of = {"experiment": reference.beside.experiment, "method": reference.evaluation.method}
        costs = _attack_costs(reference.results, reference.evaluation.device)
        rows += [{**of, **row} for row in costs]
    return from_rows(COSTS, rows)


def _training_cost(trained: TrainRecord) -> Row:
    images = trained.spec.training.epochs * trained.data.train_images
    return {
        "stage": "train",
        **_spent(trained),
        "images_per_second": _rate(images, trained.seconds),
        "forward_passes": trained.passes.forward,
        "backward_passes": trained.passes.backward,
    }


def _spent(record: TrainRecord | DiagnosticsRecord) -> Row:
    return {name: getattr(record, name) for name in ("seconds", "peak_memory_mb", "device")}


def own_recipes(runs: Sequence[EvaluatedRun], experiment: Experiment | None) -> set[Pair]:
    """Return those of `runs` that were not trained by the shared recipe.

    That is the section `training` of the experiment. Where no experiment is given it is the recipe
    that most labels have; where no recipe has more labels than every other, nothing says which one
    is shared, and no run counts as trained by it.
    """
    specs = {_pair(run): run.training.spec for run in runs if isinstance(run.training, TrainRecord)}
    standard = {label for (label, _), spec in specs.items() if spec.method == "standard"}
    recipes = {pair: _recipe_of(spec, standard) for pair, spec in specs.items()}
    if experiment and experiment.training:
        shared = _recipe(experiment.training)
        # Records were checked against the config, so their recipe is its.
        return {pair for pair, recipe in recipes.items() if recipe != shared}
    having: dict[str, set[str]] = {}
    for (label, _), recipe in recipes.items():
        having.setdefault(recipe, set()).add(label)
    most = max(map(len, having.values()), default=0)
    common = [recipe for recipe, labels in having.items() if len(labels) == most]
    return {pair for pair, recipe in recipes.items() if [recipe] != common}


def _of_run(run: EvaluatedRun, diagnosis: Diagnosis | None, own: Collection[Pair]) -> Network:
    trained = run.training
    if isinstance(trained, NetworkRecord):
        own_row, flags = _external(trained)
    else:
        own_row, flags = _trained(trained, own_recipe=_pair(run) in own)
    if difference(trained.data):
        flags.append(OTHER_IMAGES)
    if trained.data.train_test_duplicates:
        flags.append(TEST_IN_TRAIN)
    failures = {} if diagnosis is None else diagnosis.failures
    return Network(
        row={
            "experiment": trained.experiment,
            "dataset": trained.data.name,
            "model": trained.model.label,
            "method": trained.method,
            "seed": trained.seed,
            "code_digest": run.evaluation.code_digest,
            **own_row,
        },
        flags=flags,
        test_images=trained.data.source_test_images,
        weights={name: one.weights_sha256 for name, one in trained.checkpoints.items()},
        results=run.results,
        failed={name: failures.get((*_pair(run), name), ()) for name in trained.checkpoints},
    )


def _external(taken: NetworkRecord) -> tuple[Row, list[str]]:
    """Return the cells and flags of weights that were trained elsewhere."""
    network = taken.spec.network
    options = ""
    if network.method is not None:
        shares = as_shares(network.method, network.options, taken.spec.threat.eps)
        options = options_text(network.method, shares)
    row = {
        **dict.fromkeys(("selected_on", "precision", "engine", "selected_by"), ""),
        "base_method": network.method or "",
        "options": options,
        "origin": EXTERNAL_ORIGIN,
    }
    return row, [EXTERNAL]


def _trained(trained: TrainRecord, *, own_recipe: bool) -> tuple[Row, list[str]]:
    """Return the cells and flags of weights that were trained here."""
    base = trained.spec.method
    # By which claims and reported numbers find it, whatever the radius.
    options = as_shares(base, trained.spec.options, trained.spec.threat.eps)
    flags = {
        ON_TEST: trained.selected_on == "test",
        TRAIN_SUBSET: trained.data.subset,
        OWN_RECIPE: own_recipe,
    }
    row = {
        "selected_on": trained.selected_on,
        "precision": trained.precision,
        "engine": trained.engine,
        "tf32": trained.tf32,
        "base_method": base,
        "options": options_text(base, options),
        "selected_by": trained.selected_by,
        "origin": TRAINED,
    }
    return row, [name for name, applies in flags.items() if applies]


def _theirs(reference: EvaluatedReference) -> Network:
    evaluation, data = reference.evaluation, reference.beside.data
    texts = ("selected_on", "precision", "base_method", "options", "selected_by")
    return Network(
        row={
            **dict.fromkeys(texts, ""),
            "experiment": reference.beside.experiment,
            "dataset": data.name,
            "model": ROBUSTBENCH,
            "method": evaluation.method,
            "engine": ROBUSTBENCH,
            "origin": ROBUSTBENCH,
            "code_digest": evaluation.code_digest,
        },
        # Others trained it, on what its card says.
        flags=[OTHER_IMAGES] if difference(data) else [],
        test_images=data.source_test_images,
        weights={name: one.weights_sha256 for name, one in evaluation.checkpoints.items()},
        results=reference.results,
        failed={},
    )


def _rows(network: Network) -> Iterator[Row]:
    for checkpoint, results in network.results.items():
        shared = {CHANCE} if _at_chance(results) else set()
        for attack, result in results.items():
            flags = shared | _flags(result.record)
            if attack == "autoattack" and _above_another(results):
                flags.add(ABOVE_PGD)
            yield _row(network, checkpoint, attack, result, flags)
        if worst := worst_case(results):
            attacks = (one.record for attack, one in results.items() if attack != "clean")
            yield _row(network, checkpoint, WORST, worst, shared.union(*map(_flags, attacks)))


def _row(
    network: Network, checkpoint: str, attack: str, result: AttackResult, flags: set[str]
) -> Row:
    every = flags.union(network.flags)
    if result.record.n < network.test_images:
        every.add(SUBSET)
    # Nothing that misleads an attack touches an accuracy without one.
    if attack != "clean":
        every |= {flag(check) for check in network.failed.get(checkpoint, ())}
    return {
        "reported_source": "",
        **network.row,
        **{name: column.of(result) for name, column in SUMMARY.columns.items() if column.of},
        "checkpoint": checkpoint,
        "attack": attack,
        "flags": ";".join(sorted(every)),
        "weights_sha256": network.weights[checkpoint],
    }


def _compared(row: Row, run: EvaluatedRun, reported: Sequence[Reported]) -> Row:
    """Return the row of a run beside what papers report."""
    attack, trained_eps = row["attack"], run.training.spec.threat.eps
    # A paper's radius is that of its training too, so clean accuracy is compared by it as well.
    if attack != "clean" and abs(row["eps"] - trained_eps) >= SAME_EPS:
        return row
    # The name of an attack is the configuration's.
    results = run.results[row["checkpoint"]]
    if attack == "pgd20" and not results[attack].record.is_pgd20:
        return row
    published = find(
        reported,
        dataset=row["dataset"],
        model=row["model"],
        method=row["base_method"],
        options=row["options"],
        metric=attack,
        eps=trained_eps,
        checkpoint=row["checkpoint"],
    )
    return _beside(row, published)


def _carded(row: Row, cards: Sequence[Reported]) -> Row:
    """Return the row of a RobustBench model beside what its card says."""
    published = find_card(
        cards, dataset=row["dataset"], name=row["method"], metric=row["attack"], eps=row["eps"]
    )
    return _beside(row, published)


def _beside(row: Row, published: Reported | None) -> Row:
    # Some authors attack the first thousand test images alone.
    if published is None or published.n not in (None, row["n"]):
        return row
    if INCOMPARABLE & set(row["flags"].split(";")):
        return row
    return {
        **row,
        "reported": published.value,
        "reported_source": published.citation,
        "difference": row["accuracy"] - published.value,
    }


def _at_chance(results: Mapping[str, AttackResult]) -> bool:
    """Say whether the network is not shown to be better than naming the most frequent class.

    Every attack notes whether an image was classified correctly; that on most images tells it.
    """
    examples = max(results.values(), key=lambda result: result.record.n).examples
    n = len(examples)
    low, _ = wilson(int(examples["clean"].sum()), n)
    return low <= 100 * int(examples["label"].value_counts().max()) / n


def _flags(record: AttackRecord) -> set[str]:
    return {*record.flags, *([WARNED] if record.warnings else [])}


def _above_another(results: Mapping[str, AttackResult]) -> bool:
    """Say whether AutoAttack leaves more images robust than some attack, of those both attacked."""
    robust, eps = robust_images(results), results["autoattack"].record.eps
    for attack, other in results.items():
        if attack in ("clean", "autoattack") or abs(other.record.eps - eps) > SAME_EPS:
            continue
        both = robust[["autoattack", attack]].dropna().sum()
        if both["autoattack"] > both[attack]:
            return True
    return False


def _attack_costs(results: Mapping[str, Mapping[str, AttackResult]], device: str) -> Iterator[Row]:
    for checkpoint in sorted(results, key=checkpoint_order):
        for attack in sorted(results[checkpoint], key=attack_order):
            record = results[checkpoint][attack].record
            yield {
                "stage": "evaluate",
                "checkpoint": checkpoint,
                "attack": attack,
                "seconds": record.seconds,
                "peak_memory_mb": record.peak_memory_mb,
                "device": device,
                "images_per_second": _rate(record.n, record.seconds),
            }


def _rate(images: int, seconds: float) -> float | None:
    return images / seconds if seconds > 0 else None


def _order(row: Row) -> tuple[Any, ...]:
    return (checkpoint_order(row["checkpoint"]), attack_order(row["attack"]))


def _pair(run: EvaluatedRun) -> Pair:
    return run.training.method, run.training.seed


def _recipe_of(spec: TrainSpec, standard: Collection[str]) -> str:
    """Return the recipe of a run; `standard` are the labels of standard training.

    A method whose paper begins with standard training has the shared recipe where it does so, and
    one of its own where it begins with anything else or from scratch.
    """
    if not (spec.method in method_names() and declared(spec.method, "pretrained")):
        return _recipe(spec.training)
    recipe, start = _recipe(replace(spec.training, start=None)), spec.training.start
    return recipe if start in standard else f"{recipe} from {start}"


def _recipe(training: Any) -> str:
    """Return a section `training` as text, equal where the recipe is."""
    kept = {key: value for key, value in plain(training).items() if key not in NO_RECIPE}
    return json.dumps(kept, sort_keys=True)
