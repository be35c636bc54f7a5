"""Seconds that comparable runs took, scaled to what a config asks for. Standard library only.

Comparable is what has the same architecture, image shape, kind of device and, on a CPU, threads.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.config.experiment import Evaluation, Experiment, Method
from bench.config.parsing import parse, plain
from bench.config.schema import Diagnostics
from bench.planning.sizes import SOURCES, Size
from bench.results.staleness import attacks, record
from bench.runtime.errors import ConfigError
from bench.training.held_out import held_out

# Of the curve over radii, those at which something still stands; two attacks of 10 gradients.
RADII, LINEARITY = 8, 20
QUERIES = 3  # forward passes that take as long as one gradient


@dataclass
class Rates:
    """Seconds for each unit of work, and where they were measured.

    `training` is seconds for each training image and epoch, by `kind_of`.
    `attacks` is seconds for each image (clean, autoattack), for each image, step and restart (pgd)
    or for each image and gradient (diagnostics), by (method name, kind); a method name of "" holds
    for every method.
    """

    training: dict[str, list[float]] = field(default_factory=dict)
    attacks: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    devices: set[str] = field(default_factory=set)
    parameters: set[int] = field(default_factory=set)


def kind_of(name: str, options: dict[str, Any], training: dict[str, Any]) -> str:
    """Return what makes two trainings cost the same for each image.

    That is method, variant, the attack's steps, engine and precision. Factors such as beta cost
    nothing; a variant or an alignment may add a pass.
    """
    words = {key: value for key, value in options.items() if isinstance(value, str)}
    steps = training["attack"]["steps"]
    how = [training["engine"], training["precision"]]
    return json.dumps([name, words, steps, *how], sort_keys=True)


def recorded_rates(experiment: Experiment, size: Size, results: Path) -> Rates:
    """Return the rates of all comparable runs below `results`, of any experiment."""
    rates = Rates()
    for path in sorted(results.glob("*/models/*/seed*/train.json")):
        training = record(path)
        if training is None or not _comparable(training, path.parents[3], experiment, size):
            continue
        try:
            _add_training(rates, training)
            evaluation = record(path.with_name("evaluation.json"))
            if evaluation is not None:
                _add_attacks(rates, training["spec"]["method"], evaluation)
            examined = record(path.with_name("diagnostics") / "record.json")
            if examined is not None:
                _add_diagnostics(rates, training["spec"]["method"], examined)
        except (KeyError, TypeError, ZeroDivisionError, ConfigError):
            # A record of another version: it only fails to help.
            continue
    return rates


def training_seconds(method: Method, size: Size, rates: Rates) -> float | None:
    """Return the seconds of one training of `method`; None where no rate is known."""
    known = rates.training.get(method_kind(method))
    images = size.train - held_out(method.training, size.train)
    return median(known) * method.training.epochs * images if known else None


def method_kind(method: Method) -> str:
    """Return `kind_of` a method of a config."""
    return kind_of(method.name, method.options, plain(method.training))


def judging_seconds(
    evaluation: Evaluation, method: Method, size: Size, rates: Rates
) -> float | None:
    """Return the seconds of all attacks on one run of `method`; None where a rate is missing."""
    work = [("clean", 2 * size.test)]
    for pgd in evaluation.pgd.values():
        images = (pgd.images or size.test) * len(pgd.checkpoints)
        work.append(("pgd", images * pgd.steps * pgd.restarts))
    if attack := evaluation.autoattack:
        work.append(("autoattack", (attack.images or size.test) * len(attack.checkpoints)))
    seconds = 0.0
    for kind, units in work:
        # What an attack costs depends on how many images fall, a method of its own tells best.
        known = rates.attacks.get((method.name, kind)) or _of_any_method(rates, kind)
        if not known:
            return None
        seconds += median(known) * units
    return seconds


def examining_seconds(
    diagnostics: Diagnostics, method: Method, others: int, rates: Rates
) -> float | None:
    """Return the seconds of the diagnostics of one run of `method`; None where no rate is known.

    Parameters
    ----------
    others
        Methods on whose networks its adversarial images are tried; 0 if they are not.
    """
    gradients = _gradients(diagnostics)
    if others:
        gradients += diagnostics.steps + others / QUERIES
    # A gradient of PGD is the same pass, where no diagnostics were made yet.
    for kind in ("diagnostics", "pgd"):
        known = rates.attacks.get((method.name, kind)) or _of_any_method(rates, kind)
        if known:
            images = diagnostics.images * len(diagnostics.checkpoints)
            return median(known) * images * gradients
    return None


def _gradients(diagnostics: Diagnostics) -> float:
    """Return about how many gradients are taken of each image, queries counted in."""
    return (
        (RADII + diagnostics.restarts) * diagnostics.steps
        + diagnostics.most_steps
        + LINEARITY
        + diagnostics.square_queries / QUERIES
    )


def _of_any_method(rates: Rates, kind: str) -> list[float]:
    return [rate for (_, of), known in rates.attacks.items() if of == kind for rate in known]


def _comparable(training: dict[str, Any], folder: Path, experiment: Experiment, size: Size) -> bool:
    compute, device = experiment.compute, training.get("device")
    if (device == "cpu") != (compute.device == "cpu"):
        return False
    if compute.device == "cpu" and training.get("threads") != compute.threads:
        return False
    model = training.get("model")
    if not isinstance(model, dict) or model.get("label") != experiment.model.label:
        return False
    return _shape(training, folder) == size.shape


def _shape(training: dict[str, Any], folder: Path) -> tuple[int, ...] | None:
    about = record(folder / "data.json")
    if about and "image_shape" in about:
        return tuple(about["image_shape"])
    data = training.get("data")
    usual = SOURCES.get(str(data.get("name"))) if isinstance(data, dict) else None
    return usual[2] if usual else None


def _add_training(rates: Rates, training: dict[str, Any]) -> None:
    spec = training["spec"]
    units = spec["training"]["epochs"] * training["data"]["train_images"]
    kind = kind_of(spec["method"], spec["options"], spec["training"])
    rates.training.setdefault(kind, []).append(training["seconds"] / units)
    rates.devices.add(training["device"])
    rates.parameters.add(training["model"]["parameters"])


def _add_attacks(rates: Rates, method: str, evaluation: dict[str, Any]) -> None:
    for _, name, judged in attacks(evaluation):
        details, kind, units = judged["details"], name, judged["n"]
        if "steps" in details:
            kind, units = "pgd", units * details["steps"] * details["restarts"]
        rates.attacks.setdefault((method, kind), []).append(judged["seconds"] / units)


def _add_diagnostics(rates: Rates, method: str, examined: dict[str, Any]) -> None:
    spec = parse(Diagnostics, examined["spec"]["diagnostics"], where="diagnostics")
    units = spec.images * len(spec.checkpoints) * _gradients(spec)
    rates.attacks.setdefault((method, "diagnostics"), []).append(examined["seconds"] / units)
