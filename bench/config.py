"""One experiment: the sections of its configuration, checked against each other.

Standard library only: the process that plans the workflow has no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from bench.declared import declared_options, default_width, model_names
from bench.parsing import ConfigError, Whole, nearest, parse, value_of
from bench.sections import (
    CHECKPOINTS,
    NAME,
    Ablation,
    Ascent,
    AutoAttack,
    Compute,
    Data,
    Diagnostics,
    Evaluation,
    Method,
    Model,
    Optimiser,
    Pgd,
    Reference,
    Schedule,
    Threat,
    Training,
)
from bench.specs import (
    DiagnosticsSpec,
    EvaluationSpec,
    Experiment,
    TrainSpec,
    spec_json,
)

__all__ = [
    "Ablation",
    "Ascent",
    "AutoAttack",
    "Compute",
    "Data",
    "Diagnostics",
    "DiagnosticsSpec",
    "Evaluation",
    "EvaluationSpec",
    "Experiment",
    "Method",
    "Model",
    "Optimiser",
    "Pgd",
    "Reference",
    "Schedule",
    "Threat",
    "TrainSpec",
    "Training",
    "experiment",
    "spec_json",
]
# What results/ already holds beside the folders of experiments.
TAKEN = ("performance", "reference", "summary.csv")


def experiment(raw: Any) -> Experiment:
    """Return the typed experiment, or raise ConfigError naming the key that is wrong."""
    if not isinstance(raw, Mapping):
        raise ConfigError(f"config: expected keys and values, got {raw!r}")
    kinds = {
        "data": Data,
        "model": Model,
        "threat": Threat,
        "compute": Compute,
        "training": Training,
        "evaluation": Evaluation,
        "reference": Reference,
    }
    known = ("experiment", "seeds", "methods", *kinds, "diagnostics", "ablations")
    for key in raw:
        if key not in known:
            raise ConfigError(f"config: unknown key {key!r}; {nearest(str(key), known)}")
    given = {"reference": {}, "diagnostics": None, "ablations": {}, **raw}
    for key in known:
        if key not in given:
            raise ConfigError(f"config: the key {key!r} is missing")
    parts: dict[str, Any] = {key: parse(kind, given[key], where=key) for key, kind in kinds.items()}
    name = given["experiment"]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"experiment: {name!r} cannot name a folder; try letters and digits")
    if name.lower() in TAKEN:
        raise ConfigError(f"experiment: results/{name} is something else; choose another name")
    parts["model"] = with_own_width(parts["model"])
    eps = parts["threat"].eps
    parts["training"] = with_steps(parts["training"], eps, where="training")
    parts["evaluation"] = replace(
        parts["evaluation"],
        pgd={
            attack: with_step(pgd, eps, where=f"evaluation.pgd.{attack}")
            for attack, pgd in sorted(parts["evaluation"].pgd.items())
        },
    )
    seeds = _seeds(given["seeds"])
    parts["diagnostics"] = _diagnostics(given["diagnostics"], seeds)
    methods = _methods(given["methods"], given["training"], eps)
    for method in methods:
        if method.label in parts["reference"].models:
            raise ConfigError(
                f"methods.{method.label}: a model of reference.models has this name; rename one"
            )
    _check_starts(methods, parts["training"].start)
    for method in methods:
        if method.training.engine == "graph" and parts["compute"].device != "cuda":
            raise ConfigError(
                f"methods.{method.label}: training.engine graph records for a CUDA device, and "
                "compute.device is cpu; choose engine: fast"
            )
    parts["ablations"] = _ablations(given["ablations"], methods)
    return Experiment(experiment=name, seeds=seeds, methods=methods, **parts)


def with_own_width(model: Model) -> Model:
    """Return `model` without a width that is the architecture's own: one network, one label.

    Raises
    ------
    ConfigError
        The architecture is unknown, or it has no width.
    """
    if model.name not in model_names():
        raise ConfigError(
            f"model.name: {model.name!r} is unknown; {nearest(model.name, model_names())}"
        )
    own = default_width(model.name)
    if model.width is not None and own is None:
        raise ConfigError(f"model.width: the model {model.name!r} has none; remove the key")
    return replace(model, width=None) if model.width == own else model


A = TypeVar("A", bound=Ascent)


def with_step(attack: A, eps: float, *, where: str) -> A:
    """Return `attack` with its step filled in.

    Raises
    ------
    ConfigError
        The steps cannot reach the surface of the ball.
    """
    step = eps / 4 if attack.step is None else attack.step
    if attack.steps * step < eps * (1 - 1e-9):
        raise ConfigError(
            f"{where}: {attack.steps} steps of {step:.6g} cannot reach eps {eps:.6g}; "
            "raise steps or step"
        )
    return replace(attack, step=step)


def with_steps(training: Training, eps: float, *, where: str) -> Training:
    """Return `training` with the steps of both its attacks filled in, as `with_step` does."""
    return replace(
        training,
        attack=with_step(training.attack, eps, where=f"{where}.attack"),
        validation_attack=with_step(
            training.validation_attack, eps, where=f"{where}.validation_attack"
        ),
    )


def _seeds(raw: Any) -> tuple[int, ...]:
    if not isinstance(raw, list | tuple) or not raw:
        raise ConfigError(f"seeds: expected a list of whole numbers such as [0, 1], got {raw!r}")
    # Snakemake's --config hands numbers over as text, which Whole reads.
    seeds: tuple[int, ...] = value_of(tuple[Whole, ...], raw, "seeds")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds: {list(seeds)} names a seed twice")
    return seeds


def _diagnostics(raw: Any, seeds: tuple[int, ...]) -> Diagnostics | None:
    found: Diagnostics | None = value_of(Diagnostics | None, raw, "diagnostics")
    for seed in (found and found.seeds) or ():
        if seed not in seeds:
            raise ConfigError(
                f"diagnostics.seeds: {seed} is not one of the experiment's seeds {list(seeds)}"
            )
    return found


def _methods(raw: Any, shell: Any, eps: float) -> tuple[Method, ...]:
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(f"methods: expected at least one, such as trades: {{}}, got {raw!r}")
    methods: list[Method] = []
    for label, given in raw.items():
        where = f"methods.{label}"
        if not isinstance(label, str) or not NAME.fullmatch(label):
            raise ConfigError(f"{where}: {label!r} cannot name a folder; try letters and digits")
        if label.lower() in (method.label.lower() for method in methods):
            raise ConfigError(f"{where}: another label differs only in capitals; rename one")
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise ConfigError(f"{where}: expected options such as beta: 6, got {given!r}")
        options = dict(given)
        name = options.pop("method", label)
        own = options.pop("training", {})
        if not isinstance(own, Mapping):
            raise ConfigError(f"{where}.training: expected keys of training, got {own!r}")
        training = parse(Training, _merged(shell, own), where=f"{where}.training")
        methods.append(
            Method(
                label=label,
                name=name,
                options=declared_options(name, options, where=where),
                training=with_steps(training, eps, where=f"{where}.training"),
            )
        )
    return tuple(methods)


def _check_starts(methods: tuple[Method, ...], shared: str | None) -> None:
    """Raise ConfigError where a method starts from none of the others, or from one that waits.

    `shared` is the start of the section `training`, which holds where a method has no other.
    """
    starts = {method.label: method.training.start for method in methods}
    for label, start in starts.items():
        where = "training.start" if start == shared else f"methods.{label}.training.start"
        if start is not None and start not in starts:
            raise ConfigError(f"{where}: {start!r} is no method here; {nearest(start, starts)}")
        if start is not None and starts[start] is not None:
            raise ConfigError(
                f"{where}: {start!r} does not start from scratch itself; name a method that does, "
                "such as a standard one"
            )


def _ablations(raw: Any, methods: tuple[Method, ...]) -> tuple[Ablation, ...]:
    if not isinstance(raw, Mapping):
        raise ConfigError(f"ablations: expected a choice and its methods, got {raw!r}")
    known, found = [method.label for method in methods], []
    for choice, names in raw.items():
        where = f"ablations.{choice}"
        if not isinstance(names, list | tuple) or len(names) < 2:
            raise ConfigError(f"{where}: expected a list of two methods or more, the base first")
        for name in names:
            label, _, checkpoint = str(name).partition("/")
            if label not in known:
                raise ConfigError(f"{where}: {label!r} is no method here; {nearest(label, known)}")
            if checkpoint not in ("", *CHECKPOINTS):
                checkpoints = ", ".join(CHECKPOINTS)
                raise ConfigError(f"{where}: {name!r} names no checkpoint; known: {checkpoints}")
        if len(set(map(str, names))) < len(names):
            raise ConfigError(f"{where}: {list(names)} names a method twice")
        base, *variants = map(str, names)
        found.append(Ablation(choice=str(choice), base=base, variants=tuple(variants)))
    return tuple(found)


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `own` in its place, section by section."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
