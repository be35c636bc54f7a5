"""Seconds that comparable runs took, scaled to what a config asks for. Standard library only.

Comparable is what has the same architecture, image shape, kind of device and, on a CPU, threads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.config.experiment import (
    Evaluation,
    Experiment,
    Method,
    Model,
    Training,
    TrainSpec,
)
from bench.config.schema import Diagnostics, attempts
from bench.planning.sizes import SOURCES, Size
from bench.results.paths import Paths
from bench.results.records import DataRecord, DiagnosticsRecord, EvaluationRecord, TrainRecord
from bench.training.held_out import held_out

# Of the curve over radii, those at which an image is still robust; two attacks of 10 gradients.
RADII, LINEARITY = 8, 20
# As many gradients as PGD: one attack with another loss, one with eight gradients a step. And of
# all checks that are a few passes: their gradients, forward passes counted in.
OTHER_LOSSES, FEW = 9, 16
FORWARDS = 3  # forward passes that take as long as one gradient
# Per image that stays robust through AutoAttack's standard version (arXiv 2003.01690): APGD-CE has
# 100 gradient steps, APGD-T and FAB-T have 100 for each of 9 targets; Square has 5,000 queries, and
# every step of FAB looks at its result once more.
GRADIENTS, QUERIES = 100 + 900 + 900, 5000 + 900
ROBUST = 0.5  # assumed share: each component of AutoAttack attacks robust images only


@dataclass
class Rates:
    """Seconds for each unit of work, and where they were measured.

    `training` is seconds for each training image and epoch, by `kind_of`.
    `attacks` is seconds for each image (clean, autoattack, a registered attack), for each image,
    step and restart (pgd) or for each image and gradient (diagnostics), by (model, method name,
    kind); a method name of "" holds for every method.
    """

    training: dict[str, list[float]] = field(default_factory=dict)
    attacks: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    parameters: set[int] = field(default_factory=set)


def kind_of(name: str, options: Mapping[str, Any], training: Training, model: Model) -> str:
    """Return what makes two trainings cost the same for each image.

    That is network, method, variant, the attack's steps, engine and precision. A variant, a switch
    or a number of steps may add a pass; of a factor such as beta it only matters whether it is 0.
    """
    words = {
        key: value if isinstance(value, str | int) else bool(value)
        for key, value in options.items()
    }
    how = [training.engine, training.precision, training.weight_averaging is not None]
    how.append(training.awp is not None)
    steps = training.attack.steps, attempts(training.validation_attack.loss)
    return json.dumps([model.label, name, words, *steps, *how], sort_keys=True)


def recorded_rates(experiment: Experiment, size: Size, results: Path) -> Rates:
    """Return the rates of all comparable runs below `results`, of any experiment."""
    rates = Rates()
    for folder in sorted(results.iterdir()) if results.is_dir() else ():
        paths = Paths(folder)
        about = DataRecord.find(paths.data_record)
        for run in paths.runs():
            training = TrainRecord.find(run.train_record)
            if training is None or not _comparable(training, about, experiment, size):
                continue
            _add_training(rates, training)
            if evaluation := EvaluationRecord.find(run.evaluation_record):
                _add_attacks(rates, training.spec, evaluation)
            if diagnosed := DiagnosticsRecord.find(run.diagnostics_record):
                _add_diagnostics(rates, training.spec, diagnosed)
    return rates


def training_seconds(method: Method, size: Size, rates: Rates) -> float | None:
    """Return the seconds of one training of `method`; None where no rate is known."""
    known = rates.training.get(method_kind(method))
    images = size.train - held_out(method.training, size.train)
    return median(known) * method.training.epochs * images if known else None


def method_kind(method: Method) -> str:
    """Return `kind_of` a method of a config."""
    return kind_of(method.name, method.options, method.training, method.model)


def evaluation_seconds(
    evaluation: Evaluation, method: Method, size: Size, rates: Rates
) -> float | None:
    """Return the seconds of all attacks on one run of `method`; None where a rate is missing.

    A registered attack counts once it has been recorded: see `without_rate`.
    """
    work = [("clean", 2 * size.test)]
    for pgd in evaluation.pgd.values():
        images = (pgd.images or size.test) * len(pgd.checkpoints)
        work.append(("pgd", images * _gradients_of(vars(pgd)) * pgd.seeds))
    if attack := evaluation.autoattack:
        work.append(("autoattack", (attack.images or size.test) * len(attack.checkpoints)))
    for asked in evaluation.attacks.values():
        kind = attack_kind(asked.attack, asked.options)
        if _attack_rate(rates, method, kind) is not None:
            work.append((kind, (asked.images or size.test) * len(asked.checkpoints)))
    seconds = 0.0
    for kind, units in work:
        rate = _attack_rate(rates, method, kind)
        if rate is None:
            return None
        seconds += rate * units
    return seconds


def attack_kind(name: str, options: Mapping[str, Any]) -> str:
    """Return what makes two registered attacks cost the same for each image."""
    return json.dumps([name, options], sort_keys=True)


def without_rate(evaluation: Evaluation, method: Method, rates: Rates) -> list[str]:
    """Return the labels of registered attacks whose seconds nothing tells."""
    return [
        label
        for label, asked in evaluation.attacks.items()
        if _attack_rate(rates, method, attack_kind(asked.attack, asked.options)) is None
    ]


def diagnostics_seconds(
    diagnostics: Diagnostics, method: Method, others: int, rates: Rates
) -> float | None:
    """Return the seconds of the diagnostics of one run of `method`; None where no rate is known.

    `others` counts the networks that its adversarial images are tried on.
    """
    gradients = _gradients(diagnostics)
    if others:
        gradients += diagnostics.steps + others / FORWARDS
    rate = _attack_rate(rates, method, "diagnostics")
    if rate is None:
        # A gradient of PGD is the same pass.
        rate = _attack_rate(rates, method, "pgd")
    images = diagnostics.images * len(diagnostics.checkpoints)
    return None if rate is None else rate * images * gradients


def _gradients(diagnostics: Diagnostics) -> float:
    """Return about how many gradients are taken of each image, queries counted in."""
    return (
        (RADII + diagnostics.restarts + OTHER_LOSSES) * diagnostics.steps
        + diagnostics.max_steps
        + LINEARITY
        + FEW
        + diagnostics.square_queries / FORWARDS
    )


def _gradients_of(pgd: Mapping[str, Any]) -> int:
    """Return how many gradients PGD takes of each image, from its config or its record."""
    count: int = pgd["steps"] * pgd["restarts"] * attempts(pgd["loss"])
    return count


def _attack_rate(rates: Rates, method: Method, kind: str) -> float | None:
    # What an attack costs depends on how many images it breaks: the method's own rate is best.
    model = method.model.label
    known = rates.attacks.get((model, method.name, kind)) or [
        rate
        for (on, _, of), others in rates.attacks.items()
        if (on, of) == (model, kind)
        for rate in others
    ]
    return median(known) if known else None


def _comparable(
    training: TrainRecord, about: DataRecord | None, experiment: Experiment, size: Size
) -> bool:
    compute, usual = experiment.compute, SOURCES.get(training.data.name)
    shape = training.data.image_shape or (about.image_shape if about else usual and usual[2])
    return (
        (training.device == "cpu") == (compute.device == "cpu")
        and (compute.device != "cpu" or training.threads == compute.threads)
        and training.model.label in [model.label for model in experiment.models]
        and shape == size.shape
    )


def _add_training(rates: Rates, training: TrainRecord) -> None:
    spec = training.spec
    units = spec.training.epochs * training.data.train_images
    kind = kind_of(spec.method, spec.options, spec.training, spec.model)
    rates.training.setdefault(kind, []).append(training.seconds / units)
    rates.devices.add(training.device)
    rates.parameters.add(training.model.parameters)


def _add_attacks(rates: Rates, trained: TrainSpec, evaluation: EvaluationRecord) -> None:
    for _, name, record in evaluation.attacks():
        details, kind, units = record.details, name, record.n
        if "steps" in details:
            kind, units = "pgd", units * _gradients_of(details)
            units *= max(1, len(record.correct_by_seed))
        if "options" in details:
            kind = attack_kind(details["attack"], details["options"])
        key = (trained.model.label, trained.method, kind)
        rates.attacks.setdefault(key, []).append(record.seconds / units)


def _add_diagnostics(rates: Rates, trained: TrainSpec, record: DiagnosticsRecord) -> None:
    spec = record.spec.diagnostics
    units = spec.images * len(spec.checkpoints) * _gradients(spec)
    key = (trained.model.label, trained.method, "diagnostics")
    rates.attacks.setdefault(key, []).append(record.seconds / units)
