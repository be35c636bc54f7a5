"""The sections of a configuration, typed. Distances are in pixel values: images lie in [0, 1].

Standard library only: the process that plans the workflow has no torch. docs/config.md is made from
this file; each default is the one that a reader of a result should expect.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field
from typing import Any, Literal, get_args

from bench.config.parsing import Amount, Count, Degrees, Percent, Pixels, Positive, Share, Whole
from bench.runtime.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# Other rows of a summary, which the name of an attack must not take.
RESERVED = ("clean", "autoattack", "worst_case")
EOT = "apgd_eot"  # what a random network is attacked with, whether the config asks or not
PGD_NAME = re.compile(r"pgd\d*", re.IGNORECASE)  # shown as PGD of so many steps
FEWER_CLASSES = (
    "remove evaluation.autoattack from the configuration, or put the package's attacks for fewer "
    "classes in its place: evaluation: {attacks: {autoattack_few_classes: {}}}"
)
Checkpoint = Literal["best", "last"]
CHECKPOINTS: tuple[str, ...] = get_args(Checkpoint)


def key(
    about: str,
    default: Any = MISSING,
    *,
    make: Callable[[], Any] | None = None,
    shown: str | None = None,
) -> Any:
    """Declare a key of a section: what it means, for docs/config.md, and its default, if any.

    `shown` is what the document says of the default, where that is no value.
    """
    about_it = {"about": about, "shown": shown}
    if make is not None:
        return field(default_factory=make, metadata=about_it)
    return field(default=default, metadata=about_it)


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where images come from."""

    source: Literal["cifar10", "cifar100", "svhn", "parquet", "folder", "digits"] = key(
        "`cifar10`, `cifar100` and `svhn` are downloaded; `parquet` is Hugging Face's layout; "
        "`folder` holds `train/<class>/*.png` and `test/<class>/*.png`; `digits` is scikit-learn's"
    )
    name: str = key("what results call the images")
    path: str | None = key("the folder to read (not for `digits`)", None)
    classes: tuple[str, ...] | None = key("class names in place of the source's own", None)
    train_images: Count | None = key(
        "use fewer: a fixed choice with the same share of every class; null: all", None
    )
    test_images: Count | None = key("the same of the test images", None)
    allow_duplicate_files: bool = key("read parquet files that are copies of each other", False)

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
class Normalization:
    """What the network subtracts from its images in [0, 1] and divides them by."""

    mean: tuple[Share, ...] = key("of each channel")
    std: tuple[Positive, ...] = key("of each channel")

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"std: {len(self.std)} values beside {len(self.mean)} of mean; give one a channel"
            )


@dataclass(frozen=True, kw_only=True)
class Model:
    """An architecture."""

    name: str = key("a file of bench/models, such as `resnet18` or `small_cnn`")
    width: Count | None = key("channels of the first stage; null: the architecture's own", None)
    normalization: Normalization | None = key(
        "the network normalises its images first; null: it sees [0, 1]", None
    )

    @property
    def label(self) -> str:
        """The name in results: ``resnet18``, or ``resnet18-w8`` for another width."""
        width = "" if self.width is None else f"-w{self.width}"
        return f"{self.name}{width}{'-normalized' if self.normalization else ''}"


@dataclass(frozen=True, kw_only=True)
class Threat:
    """The ball around an image in which an attack may move."""

    eps: Pixels = key("radius as a fraction such as `8/255`: pixels lie in [0, 1]")
    norm: Literal["Linf"] = key("the norm of the ball", "Linf")


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """Stochastic gradient descent; weight decay acts on every parameter."""

    learning_rate: Positive = key("the peak of `onecycle`, the start of `steps`")
    momentum: Share = key("momentum", 0.9)
    nesterov: bool = key("Nesterov's form of it", True)
    weight_decay: Amount = key("on every parameter", 5e-4)

    def __post_init__(self) -> None:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: it needs a momentum above 0; add nesterov: false")


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over the steps of training."""

    name: Literal["onecycle", "steps"] = key(
        "`onecycle` with its momentum cycle, or `steps`: a factor at the start of some epochs",
        "onecycle",
    )
    warmup: Share = key("share of all steps in which OneCycle rises", 0.25)
    milestones: tuple[Count, ...] = key(
        "epochs, counted from 1: from the start of each on, `factor` applies once more", ()
    )
    factor: Positive = key("what `steps` multiplies by", 0.1)
    first_epoch: Positive = key("what `steps` multiplies the first epoch's rate by", 1.0)

    def __post_init__(self) -> None:
        if self.milestones and self.name == "onecycle":
            raise ValueError("milestones: onecycle has none; add name: steps, or milestones: []")
        if self.first_epoch != 1 and self.name == "onecycle":
            raise ValueError("first_epoch: onecycle warms up by itself; add name: steps")
        if self.warmup == 1:
            raise ValueError("warmup: 1 leaves no step to come down in; choose a share below 1")


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Steps of a gradient attack."""

    steps: Count = key("gradient steps")
    step_size: Pixels | None = key("null: eps / 4, which is 2/255 at eps 8/255", None)

    @property
    def size(self) -> float:
        """The step size, once an experiment's eps has filled it in."""
        if self.step_size is None:
            raise ValueError("the step size is still to be filled in from eps")
        return self.step_size


# What PGD raises, and how many classes its targeted loss aims at: as many as AutoAttack's.
PgdLoss = Literal["ce", "margin", "targeted_margin"]
TARGETS = 9


def attempts(loss: PgdLoss) -> int:
    """Return how often PGD with `loss` attacks an image in one restart."""
    return TARGETS if loss == "targeted_margin" else 1


@dataclass(frozen=True, kw_only=True)
class ValidationAttack(Attack):
    """PGD from one uniform start."""

    loss: PgdLoss = key(
        "what it raises: `ce`, cross-entropy; `margin`, the strongest other logit minus the "
        "label's; `targeted_margin`, that of nine classes in turn, at nine times the cost",
        "ce",
    )


@dataclass(frozen=True, kw_only=True)
class WeightAveraging:
    """An exponential moving average of the weights: a <- decay * a + (1 - decay) * w."""

    decay: Share = key("after every step; below 1", 0.999)

    def __post_init__(self) -> None:
        if self.decay == 1:
            raise ValueError("decay: 1 keeps the initial weights; choose a share such as 0.999")


@dataclass(frozen=True, kw_only=True)
class WeightPerturbation:
    """Adversarial weight perturbation (arXiv 2004.05884)."""

    gamma: Positive = key("size of the perturbation as a share of the weights' norm", 0.005)
    first_epoch: Count = key("the epoch, counted from 1, in which it begins", 10)


@dataclass(frozen=True, kw_only=True)
class Compute:
    """Where a job runs."""

    device: Literal["cpu", "cuda"] = key("`cuda` or `cpu`", "cuda")
    threads: Count | None = key("needed on a CPU, where their number changes last bits", None)
    tf32: bool = key("TF32 in the convolutions of training and search, never in a result", True)

    def __post_init__(self) -> None:
        if self.device == "cpu" and self.threads is None:
            raise ValueError("threads: a CPU run needs a fixed number, such as threads: 1")


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training recipe that all methods share."""

    epochs: Count = key("passes over the training images")
    batch_size: Count = key("images of a step")
    optimizer: Optimizer = key("SGD")
    attack: Attack = key("the inner attack, whose loss and start are the method's")
    validation_attack: ValidationAttack = key("the PGD that selects `best`")
    schedule: Schedule = key("the learning rate", make=Schedule)
    crop_padding: Whole = key("pixels around an image, of which a random crop is taken", 4)
    flip: bool = key("random horizontal flip", True)
    rotation: Degrees = key("largest random rotation, in degrees", 0.0)
    validation_images: Count | None = key(
        "held out of training; null: 1,000 of 10,000 or more, else a tenth", None
    )
    checkpoint_selection: Literal["validation", "test"] = key(
        "`test` trains on all images and picks the best epoch on the test set, as some authors' "
        "code does; every such row is flagged",
        "validation",
    )
    shuffle: bool = key("another order of images in every epoch", True)
    start: str | None = key(
        "label of the method whose best weights of the same seed training begins with; null: from "
        "scratch",
        None,
    )
    weight_averaging: WeightAveraging | None = key(
        "the average of the weights is what is selected, evaluated and exported; null: none", None
    )
    awp: WeightPerturbation | None = key(
        "gradients are taken at weights that are perturbed against the objective; null: none", None
    )
    engine: Literal["folded", "eager", "cuda_graph"] = key(
        "`eager` runs the network as the papers' code does; `folded` attacks a copy with folded "
        "batch-norms; `cuda_graph` is that with each attack recorded: docs/performance.md",
        "folded",
    )
    precision: Literal["float32", "bfloat16"] = key(
        "`bfloat16` for passes and attacks of `folded` and `cuda_graph`, with float32 weights",
        "float32",
    )

    def __post_init__(self) -> None:
        if self.engine == "eager" and self.precision != "float32":
            raise ValueError("precision: the eager engine is float32; choose engine: folded")
        if self.awp and self.awp.first_epoch > self.epochs:
            raise ValueError(
                f"awp.first_epoch: {self.awp.first_epoch} is after the last of {self.epochs} epochs"
                "; lower it, or remove awp"
            )
        late = [epoch for epoch in self.schedule.milestones if epoch > self.epochs]
        if late:
            raise ValueError(
                f"schedule.milestones: {late[0]} is after the last of {self.epochs} epochs, so the "
                "learning rate would never fall there; lower it or remove it"
            )


@dataclass(frozen=True, kw_only=True)
class Method:
    """A label of the results, the method behind it, its options, its training recipe and network.

    `needs` has the labels of the methods whose best weights of the same seed it is trained with, by
    what they are for: "start" or an option.
    """

    label: str
    name: str
    options: dict[str, Any]
    training: Training
    model: Model
    needs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pgd(Attack):
    """PGD from uniform starts."""

    restarts: Count = key("uniform starts, of which the most harmful one counts", 1)
    loss: PgdLoss = key("what it raises, as in `training.validation_attack`", "ce")
    seed: Whole = key("of the starts", 0)
    images: Count | None = key("the first of the test set; null: all", None)
    seeds: Count = key(
        "so many seeds, `seed` and those after it: the row is that of the first, and summary.csv "
        "has the spread between them",
        1,
    )
    checkpoints: tuple[Checkpoint, ...] = key("which are attacked", ("best", "last"))


@dataclass(frozen=True, kw_only=True)
class AutoAttack:
    """AutoAttack of the reference package."""

    version: Literal["standard"] = key("the package's", "standard")
    seed: Whole = key("of its attacks", 0)
    images: Count | None = key("the first of the test set; null: all", None)
    checkpoints: tuple[Checkpoint, ...] = key("which are attacked", ("best",))


@dataclass(frozen=True, kw_only=True)
class RegisteredAttack:
    """An attack that a file of bench/attacks registers, with its options.

    In a config the options stand beside the other keys.
    """

    attack: str = key("a file of bench/attacks that registers one", shown="the label")
    options: dict[str, Any] = key("of the attack: see below", make=dict, shown="its own")
    seed: Whole = key("of its random numbers", 0)
    images: Count | None = key("the first of the test set; null: all", None)
    checkpoints: tuple[Checkpoint, ...] = key("which are attacked", ("best",))


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
                f" classes, and {name!r} has {classes} classes in all; {FEWER_CLASSES}"
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
    """How saved weights are evaluated. The batch size is part of a result's identity."""

    batch_size: Count = key("images of a batch; random starts are drawn per batch")
    jobs: Count = key(
        "jobs of the workflow that AutoAttack on one network is divided into; no result changes", 1
    )
    engine: Literal["eager", "folded"] = key(
        "`folded` searches on a copy with folded batch-norms; the result is the network's own",
        "eager",
    )
    pgd: dict[str, Pgd] = key("PGD attacks by name, such as `pgd20: {steps: 20}`", make=dict)
    autoattack: AutoAttack | None = key("null: not run", None)
    attacks: dict[str, RegisteredAttack] = key(
        "attacks of files of bench/attacks by label, such as `mine: {steps: 30}`", make=dict
    )
    witnesses: bool = key(
        "keep one adversarial image for each test image that fell: `python -m bench recheck`", False
    )

    def __post_init__(self) -> None:
        for name in self.pgd:
            if not NAME.fullmatch(name) or name.lower() in (*RESERVED, EOT):
                raise ValueError(f"pgd: {name!r} cannot name an attack; try pgd20")
        if len({name.lower() for name in self.pgd}) < len(self.pgd):
            raise ValueError(f"pgd: of {list(self.pgd)} two differ only in capitals; rename one")
        taken = {*RESERVED, *map(str.lower, self.pgd)}
        for label in self.attacks:
            if not NAME.fullmatch(label) or label.lower() in taken or PGD_NAME.fullmatch(label):
                raise ValueError(
                    f"attacks: {label!r} cannot name an attack, as it names another row of the "
                    "summary or no file; rename it"
                )
            taken.add(label.lower())

    @property
    def attack_files(self) -> tuple[str, ...]:
        """The names of the registered attacks, each once and sorted."""
        return tuple(sorted({attack.attack for attack in self.attacks.values()}))

    @property
    def needs(self) -> Needs:
        """What the attacks need of the images: AutoAttack targets nine wrong classes."""
        attacks: dict[str, Pgd | AutoAttack | RegisteredAttack] = {
            f"evaluation.pgd.{name}.images": attack for name, attack in self.pgd.items()
        }
        attacks |= {
            f"evaluation.attacks.{label}.images": attack for label, attack in self.attacks.items()
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
    """Whether robustness is real; without the section nothing is diagnosed."""

    images: Count = key("the first of the test set", 500)
    seeds: tuple[Whole, ...] | None = key("which are diagnosed; null: the first", None)
    checkpoints: tuple[Checkpoint, ...] = key("which are diagnosed", ("best",))
    steps: Count = key("of PGD, with steps of eps / 4", 20)
    max_steps: Count = key("the end of the curve over steps", 200)
    restarts: Count = key("of PGD", 10)
    square_queries: Count = key("queries of Square for each image", 5000)
    surfaces: Whole = key("images around which the loss is drawn; 0: none", 4)
    transfer: bool = key("try each method's adversarial images on the others' networks", True)
    seed: Whole = key("of the attacks", 0)

    def __post_init__(self) -> None:
        for name in ("seeds", "checkpoints"):
            given = getattr(self, name)
            if given is not None and (not given or len(set(given)) < len(given)):
                raise ValueError(f"{name}: {list(given)} is empty or names something twice")
        if self.steps < 4:
            raise ValueError("steps: fewer than 4 steps of eps / 4 cannot cross the ball")
        if self.max_steps < 2:
            raise ValueError("max_steps: a curve over steps needs at least 2")
        if self.restarts < 2:
            raise ValueError("restarts: a curve over restarts needs at least 2")


@dataclass(frozen=True, kw_only=True)
class Network:
    """Weights that were trained elsewhere, evaluated as ours are."""

    weights: Any = key(
        "a file of tensors (`.pt`, `.pth`, `.ckpt`, `.safetensors`), or one for each seed: `{0: "
        "a.pt, 1: b.pt}`"
    )
    architecture: str | None = key(
        "a file of bench/models, `robustbench:<class>`, `timm:<name>`, or `<file>.py:<function>`, "
        "whose code is run; null: what the file of an export says",
        None,
    )
    arguments: dict[str, Any] = key("what the architecture is called with", make=dict)
    entry: str | None = key("which weights of a file that holds several, such as `ema`", None)
    normalization: Normalization | None = key(
        "what the weights expect of images in [0, 1], if the network does not do it itself", None
    )
    channels: Literal["rgb", "bgr"] = key("the order in which the weights expect them", "rgb")
    class_order: tuple[str, ...] | None = key(
        "our class names in the order of the network's outputs; null: the order of the data", None
    )
    claimed: Percent | None = key("its clean accuracy as reported; checked", None)
    method: str | None = key("the method of bench/methods that trained it, for claims", None)
    options: dict[str, Any] = key("the options of that method", make=dict)

    def __post_init__(self) -> None:
        given = self.weights if isinstance(self.weights, Mapping) else {0: self.weights}
        files = {str(seed): path for seed, path in given.items()}
        if not files or not all(isinstance(path, str) and path for path in files.values()):
            raise ValueError(f"weights: expected a file or files by seed, got {self.weights!r}")
        if not all(seed.isdecimal() for seed in files):
            raise ValueError(f"weights: {list(files)} are no seeds; expected such as {{0: a.pt}}")
        object.__setattr__(self, "weights", {int(seed): path for seed, path in files.items()})
        if self.options and self.method is None:
            raise ValueError("options: they are of a method; add method: trades or the like")

    @property
    def label(self) -> str:
        """The architecture as results name it."""
        if self.architecture is None:
            return "exported"
        if ":" not in self.architecture and self.arguments.keys() <= {"width"}:
            width = self.arguments.get("width")
            own = Model(name=self.architecture, width=width, normalization=self.normalization)
            return own.label
        name = self.architecture.rpartition(":")[2]
        given = ",".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{name}({given})" if given else name


@dataclass(frozen=True, kw_only=True)
class Reference:
    """RobustBench models that are evaluated beside ours."""

    models: tuple[str, ...] = key("their names, of the Linf list", ())

    def __post_init__(self) -> None:
        for name in self.models:
            if not NAME.fullmatch(name):
                raise ValueError(f"models: {name!r} cannot be a RobustBench model; see its list")
        if len(set(self.models)) < len(self.models):
            raise ValueError(f"models: {list(self.models)} names a model twice")
