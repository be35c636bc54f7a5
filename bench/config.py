"""One experiment, typed. Distances are in pixel values: images lie in [0, 1].

Standard library only: the process that plans the workflow has no torch. The keys are described in
the README; each default here is the one that a reader of a result should expect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from bench.declared import declared_options, model_names
from bench.parsing import (
    Amount,
    ConfigError,
    Count,
    Pixels,
    Positive,
    Share,
    Whole,
    nearest,
    parse,
    plain,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where images come from; `name` is what every result calls them."""

    source: Literal["cifar10", "parquet", "folder", "digits"]
    name: str
    path: str | None = None
    classes: tuple[str, ...] | None = None
    train_images: Count | None = None
    test_images: Count | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """An architecture and the channels of its first stage (None: its own default)."""

    name: str
    width: Count | None = None

    @property
    def label(self) -> str:
        """The name in results: ``resnet18``, or ``resnet18-w8`` for another width."""
        return self.name if self.width is None else f"{self.name}-w{self.width}"


@dataclass(frozen=True, kw_only=True)
class Threat:
    """The ball around an image in which an attack may move."""

    eps: Pixels
    norm: Literal["Linf"] = "Linf"


@dataclass(frozen=True, kw_only=True)
class Optimiser:
    """Stochastic gradient descent; weight decay acts on every parameter."""

    learning_rate: Positive
    momentum: Share = 0.9
    nesterov: bool = True
    weight_decay: Amount = 5e-4


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """``onecycle`` with its momentum cycle, or ``steps``: factors at the starts of epochs.

    `warm_up` is the share of all steps in which OneCycle rises. `milestones` are epochs counted
    from 1: from the start of each on, the learning rate is multiplied by `factor` once more.
    """

    name: Literal["onecycle", "steps"] = "onecycle"
    warm_up: Share = 0.25
    milestones: tuple[Count, ...] = ()
    factor: Positive = 0.1


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """Steps of a gradient attack; a `step` left out is eps / 4, which is 2/255 at eps 8/255."""

    steps: Count
    step: Pixels | None = None

    @property
    def length(self) -> float:
        """The length of a step, once an experiment's eps has filled it in."""
        if self.step is None:
            raise ValueError("the step is still to be filled in from eps")
        return self.step


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a job runs. `threads` are fixed on a CPU, since their number changes last bits."""

    device: Literal["cpu", "cuda"] = "cuda"
    threads: Count | None = None
    tf32: bool = True

    def __post_init__(self) -> None:
        if self.device == "cpu" and self.threads is None:
            raise ConfigError("compute.threads: a CPU run needs a fixed number, such as threads: 1")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The shell that every method is trained in.

    `validation_images` None is 1,000 of 10,000 or more training images, else a tenth of them.
    `selection: test` picks the best epoch on the test set, as some authors' code does: it exists to
    reproduce their protocol and marks every row.
    """

    epochs: Count
    batch_size: Count
    optimiser: Optimiser
    attack: Ascent
    validation_attack: Ascent
    schedule: Schedule = field(default_factory=Schedule)
    crop: Whole = 4
    flip: bool = True
    validation_images: Count | None = None
    selection: Literal["validation", "test"] = "validation"


@dataclass(frozen=True, kw_only=True)
class Method:
    """A label of the results, the method behind it, its options, and its own training shell."""

    label: str
    name: str
    options: dict[str, Any]
    training: Training


@dataclass(frozen=True, kw_only=True)
class Pgd(Ascent):
    """PGD from uniform starts on the first `images` test images (None: all)."""

    restarts: Count = 1
    loss: Literal["ce", "margin"] = "ce"
    seed: Whole = 0
    images: Count | None = None
    checkpoints: tuple[Literal["best", "last"], ...] = ("best", "last")


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """AutoAttack of the reference package on the first `images` test images (None: all)."""

    version: Literal["standard"] = "standard"
    seed: Whole = 0
    images: Count | None = None
    checkpoints: tuple[Literal["best", "last"], ...] = ("best",)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How saved weights are judged. Batch size and shards are part of a result's identity."""

    batch_size: Count
    shards: Count = 1
    pgd: dict[str, Pgd] = field(default_factory=dict)
    autoattack: AutoAttack | None = None

    def __post_init__(self) -> None:
        for name in self.pgd:
            if not NAME.fullmatch(name) or name in ("clean", "autoattack", "worst_case"):
                raise ConfigError(f"evaluation.pgd: {name!r} cannot name an attack; try pgd20")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """RobustBench models judged beside ours, where there is a network."""

    models: tuple[str, ...] = ()
    threat_model: Literal["Linf"] = "Linf"


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    """All that decides the weights of one run, but for the images themselves."""

    method: str
    options: dict[str, Any]
    seed: Whole
    model: Model
    threat: Threat
    training: Training
    compute: Compute


@dataclass(frozen=True, kw_only=True)
class EvaluationSpec:
    """All that decides the verdicts on one run's weights, but for weights and images."""

    threat: Threat
    evaluation: Evaluation
    compute: Compute


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Methods trained on one data set with the same seeds, and how they are judged."""

    experiment: str
    seeds: tuple[Whole, ...]
    data: Data
    model: Model
    threat: Threat
    compute: Compute
    training: Training
    methods: tuple[Method, ...]
    evaluation: Evaluation
    reference: Reference

    def method(self, label: str) -> Method:
        """Return the method of that label, or raise ConfigError with the nearest one."""
        for method in self.methods:
            if method.label == label:
                return method
        known = [method.label for method in self.methods]
        raise ConfigError(f"methods: {label!r} is not in this config; {nearest(label, known)}")

    def train_spec(self, label: str, seed: int) -> TrainSpec:
        """Return all that decides the weights of the run (`label`, `seed`)."""
        if seed not in self.seeds:
            raise ConfigError(f"seeds: {seed} is not in this config; it has {list(self.seeds)}")
        method = self.method(label)
        return TrainSpec(
            method=method.name,
            options=method.options,
            seed=seed,
            model=self.model,
            threat=self.threat,
            training=method.training,
            compute=decisive(self.compute),
        )

    def evaluation_spec(self) -> EvaluationSpec:
        """Return all that decides the verdicts on a run's weights."""
        return EvaluationSpec(
            threat=self.threat, evaluation=self.evaluation, compute=decisive(self.compute)
        )

    def runs(self) -> list[tuple[str, int]]:
        """Return every (method label, seed), methods in the order of the config."""
        return [(method.label, seed) for method in self.methods for seed in self.seeds]


def decisive(compute: Compute) -> Compute:
    """Return `compute` without what changes no result: threads beside a GPU, TF32 on a CPU."""
    if compute.device == "cuda":
        return replace(compute, threads=None)
    return replace(compute, tf32=False)


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
    known = ("experiment", "seeds", "methods", *kinds)
    for key in raw:
        if key not in known:
            raise ConfigError(f"config: unknown key {key!r}; {nearest(str(key), known)}")
    given = {"reference": {}, **raw}
    for key in known:
        if key not in given:
            raise ConfigError(f"config: the key {key!r} is missing")
    parts: dict[str, Any] = {key: parse(kind, given[key], where=key) for key, kind in kinds.items()}
    name = given["experiment"]
    if not isinstance(name, str) or not NAME.fullmatch(name) or name == "reference":
        raise ConfigError(f"experiment: {name!r} cannot name a folder; try letters and digits")
    if parts["model"].name not in model_names():
        unknown = parts["model"].name
        raise ConfigError(f"model.name: {unknown!r} is unknown; {nearest(unknown, model_names())}")
    eps = parts["threat"].eps
    parts["training"] = with_steps(parts["training"], eps, where="training")
    parts["evaluation"] = replace(
        parts["evaluation"],
        pgd={
            attack: with_step(pgd, eps, where=f"evaluation.pgd.{attack}")
            for attack, pgd in parts["evaluation"].pgd.items()
        },
    )
    return Experiment(
        experiment=name,
        seeds=_seeds(given["seeds"]),
        methods=_methods(given["methods"], given["training"], eps),
        **parts,
    )


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
    for seed in raw:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**31:
            raise ConfigError(f"seeds: expected whole numbers of at least 0, got {seed!r}")
    if len(set(raw)) < len(raw):
        raise ConfigError(f"seeds: {list(raw)} names a seed twice")
    return tuple(raw)


def _methods(raw: Any, shell: Any, eps: float) -> tuple[Method, ...]:
    if not isinstance(raw, Mapping) or not raw:
        raise ConfigError(f"methods: expected at least one, such as trades: {{}}, got {raw!r}")
    methods = []
    for label, given in raw.items():
        where = f"methods.{label}"
        if not isinstance(label, str) or not NAME.fullmatch(label):
            raise ConfigError(f"{where}: {label!r} cannot name a folder; try letters and digits")
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


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `own` in its place, section by section."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if both else value
    return merged


def spec_json(spec: TrainSpec | EvaluationSpec | Data) -> dict[str, Any]:
    """Return `spec` as what JSON can hold; `parse` reads it back."""
    result: dict[str, Any] = plain(spec)
    return result
