"""The sections of a configuration, typed. Distances are in pixel values: images lie in [0, 1].

Standard library only: the process that plans the workflow has no torch. The keys are described in
the README; each default here is the one that a reader of a result should expect.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.config.parsing import Amount, Count, Pixels, Positive, Share, Whole
from bench.runtime.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
CHECKPOINTS = ("best", "last")
# Other rows of a summary, which the name of an attack must not take.
RESERVED = ("clean", "autoattack", "worst_case")


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where images come from; `name` is what every result calls them.

    `allow_duplicate_files` reads parquet files that are copies of each other.
    """

    source: Literal["cifar10", "parquet", "folder", "digits"]
    name: str
    path: str | None = None
    classes: tuple[str, ...] | None = None
    train_images: Count | None = None
    test_images: Count | None = None
    allow_duplicate_files: bool = False

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name: it is empty; say what results call these images")
        if not self.name.isprintable():
            raise ValueError(f"name: {self.name!r} does not fit into one line of text; shorten it")
        if not self.path and self.source != "digits":
            raise ValueError(f"path: the source {self.source!r} needs the folder of its images")
        if self.classes is not None and not 0 < len(set(self.classes)) == len(self.classes):
            raise ValueError(
                f"classes: {list(self.classes)} is empty or has a name twice; name each class once"
            )


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

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: it needs a momentum above 0; add nesterov: false")


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

    def __post_init__(self) -> None:
        if self.milestones and self.name == "onecycle":
            raise ValueError("milestones: onecycle has none; add name: steps, or milestones: []")
        if self.warm_up == 1:
            raise ValueError("warm_up: 1 leaves no step to come down in; choose a share below 1")


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
            raise ValueError("threads: a CPU run needs a fixed number, such as threads: 1")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The shell that every method is trained in.

    `validation_images` None is 1,000 of 10,000 or more training images, else a tenth of them.
    `selection: test` picks the best epoch on the test set, as some authors' code does: it exists to
    reproduce their protocol and marks every row. `start` is the label of the method whose best
    weights of the same seed training begins with; None: from scratch. `engine` says how the network
    is run: ``plain`` as the papers' code does, ``fast`` with folded attacks, ``graph`` with each
    attack as a CUDA graph.
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
    shuffle: bool = True
    start: str | None = None
    engine: Literal["fast", "plain", "graph"] = "fast"
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.engine == "plain" and self.precision != "float32":
            raise ValueError("precision: the plain engine is float32; choose engine: fast")
        late = [epoch for epoch in self.schedule.milestones if epoch > self.epochs]
        if late:
            raise ValueError(
                f"schedule.milestones: {late[0]} is after the last of {self.epochs} epochs, so the "
                "learning rate would never fall there; lower it or remove it"
            )


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
class Needs:
    """How many classes and test images attacks need at least; `by` asks for the most images."""

    classes: int = 1
    test_images: int = 1
    by: str = field(default="evaluation, diagnostics", compare=False)

    def check(self, name: str, *, classes: int, test_images: int) -> None:
        """Raise ConfigError unless the images called `name` are enough."""
        if classes < self.classes:
            raise ConfigError(
                f"evaluation.autoattack: AutoAttack standard targets {self.classes - 1} wrong"
                f" classes, and {name!r} has {classes} classes in all; remove"
                " evaluation.autoattack from the configuration"
            )
        if test_images < self.test_images:
            asked = "lower `images` of the attack, or leave it out for all"
            raise ConfigError(
                f"{self.by}: an attack is to see {self.test_images} images, and {name!r} has"
                f" {test_images} test images; "
                f"{f'choose at most {test_images}' if self.by == 'diagnostics.images' else asked}"
            )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How saved weights are judged. Batch size and shards are part of a result's identity.

    `engine` is what adversarial images are searched on: the network itself, or a copy of it made
    for speed. The verdict is the network's own in any case.
    """

    batch_size: Count
    shards: Count = 1
    engine: Literal["plain", "fast"] = "plain"
    pgd: dict[str, Pgd] = field(default_factory=dict)
    autoattack: AutoAttack | None = None

    def __post_init__(self) -> None:
        for name in self.pgd:
            if not NAME.fullmatch(name) or name.lower() in RESERVED:
                raise ValueError(f"pgd: {name!r} cannot name an attack; try pgd20")
        if len({name.lower() for name in self.pgd}) < len(self.pgd):
            raise ValueError(f"pgd: of {list(self.pgd)} two differ only in capitals; rename one")

    @property
    def needs(self) -> Needs:
        """What the attacks need of the images: AutoAttack targets nine wrong classes."""
        attacks: dict[str, Pgd | AutoAttack] = {
            f"evaluation.pgd.{name}.images": attack for name, attack in self.pgd.items()
        }
        if self.autoattack:
            attacks["evaluation.autoattack.images"] = self.autoattack
        images = {by: attack.images or 1 for by, attack in attacks.items() if attack.checkpoints}
        most = max(images, key=lambda by: images[by], default="")
        return Needs(
            classes=10 if self.autoattack and self.autoattack.checkpoints else 1,
            test_images=images.get(most, 1),
            **({"by": most} if images.get(most, 1) > 1 else {}),
        )


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """A choice that a paper leaves open: each variant is held against `base`.

    All are labels of methods, followed by ``/last`` where that checkpoint is meant in place of
    ``best``.
    """

    choice: str
    base: str
    variants: tuple[str, ...]

    @property
    def labels(self) -> list[str]:
        """The methods that it compares."""
        return [name.partition("/")[0] for name in (self.base, *self.variants)]


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """Whether robustness is real, asked on the first `images` test images of chosen runs.

    `seeds` None is the first seed of the experiment. PGD has `steps` steps of eps / 4; the curve
    over steps ends with `most_steps`. `surfaces` counts the images around which the loss is drawn.
    With `transfer`, adversarial images of each method's network are tried on those of all others.
    `seed` is that of the attacks.
    """

    images: Count = 500
    seeds: tuple[Whole, ...] | None = None
    checkpoints: tuple[Literal["best", "last"], ...] = ("best",)
    steps: Count = 20
    most_steps: Count = 200
    restarts: Count = 10
    square_queries: Count = 5000
    surfaces: Whole = 4
    transfer: bool = True
    seed: Whole = 0

    def __post_init__(self) -> None:
        for name in ("seeds", "checkpoints"):
            given = getattr(self, name)
            if given is not None and (not given or len(set(given)) < len(given)):
                raise ValueError(f"{name}: {list(given)} is empty or names something twice")
        if self.steps < 4:
            raise ValueError("steps: fewer than 4 steps of eps / 4 cannot cross the ball")
        if self.most_steps < 2:
            raise ValueError("most_steps: a curve over steps needs at least 2")
        if self.restarts < 2:
            raise ValueError("restarts: a curve over restarts needs at least 2")


@dataclass(frozen=True, kw_only=True)
class Reference:
    """RobustBench models judged beside ours, where there is a network."""

    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.models:
            if not NAME.fullmatch(name):
                raise ValueError(f"models: {name!r} cannot be a RobustBench model; see its list")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: {list(self.models)} names a model twice")
