"""The records train.json and evaluation.json, as far as those who read them need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bench.config.parsing import Pixels, parse

T = TypeVar("T")


@dataclass(frozen=True)
class DataRecord:
    """The images of a run: test images are counted as the data has them, judged or not.

    `source_train_images` and `source_test_images` are those of the source, of which the data may
    have a part; a record without them is taken to have all.

    What follows them is of the images before a part of them was taken: see `bench.data.origin`. The
    two counts of equal images are of those that the run was given. Records of before have none.
    `image_shape` is channels, rows and columns.
    """

    name: str
    fingerprint: str
    test_images: int
    train_images: int | None = None
    validation_images: int = 0
    source_train_images: int | None = None
    source_test_images: int | None = None
    source: str = ""
    lossless: bool | None = None
    class_counts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channel_mean: tuple[float, ...] = ()
    channel_std: tuple[float, ...] = ()
    train_duplicates: int | None = None
    train_test_duplicates: int | None = None
    image_shape: tuple[int, ...] = ()

    @property
    def all_test_images(self) -> int:
        """Test images of the source."""
        if self.source_test_images is None:
            return self.test_images
        return self.source_test_images

    @property
    def train_subset(self) -> bool:
        """Whether the source has training images that the run was not given."""
        if self.train_images is None or self.source_train_images is None:
            return False
        return self.train_images + self.validation_images < self.source_train_images


@dataclass(frozen=True)
class ModelRecord:
    """The architecture, by the label that configurations and reported numbers use."""

    label: str
    parameters: int


@dataclass(frozen=True)
class TrainedCheckpoint:
    """Weights that training kept; accuracies on the held-out images, in percent."""

    epoch: int
    weights_sha256: str
    validation_clean: float | None = None
    validation_pgd: float | None = None


@dataclass(frozen=True)
class ThreatRecord:
    """The ball that the run trained in; `eps` in pixels scaled to [0, 1]."""

    eps: Pixels


@dataclass(frozen=True)
class ShellRecord:
    """Of the training shell, how many epochs it had."""

    epochs: int | None = None


@dataclass(frozen=True)
class SpecRecord:
    """What decided the weights: the method behind the label, its options, its threat."""

    method: str
    options: dict[str, Any]
    threat: ThreatRecord
    training: ShellRecord = ShellRecord()


@dataclass(frozen=True)
class PassesRecord:
    """Passes of one image in one training step, of attack and update together."""

    forward: int
    backward: int


@dataclass(frozen=True)
class TrainRecord:
    """The part of train.json that is read; `seconds` of wall time."""

    experiment: str
    method: str
    seed: int
    spec: SpecRecord
    code_digest: str
    data: DataRecord
    model: ModelRecord
    selected_on: Literal["validation", "test"]
    precision: str
    tf32: bool
    engine: str
    checkpoints: dict[str, TrainedCheckpoint]
    device: str
    seconds: float
    peak_memory_mb: float | None = None
    selected_by: str = ""
    passes: PassesRecord | None = None


@dataclass(frozen=True)
class AttackDetails:
    """What an attack said of itself: AutoAttack's own warnings, its engine, and what PGD did."""

    warnings: tuple[str, ...] = ()
    search_engine: str = ""
    steps: int | None = None
    restarts: int | None = None
    loss: str = ""

    @property
    def is_pgd20(self) -> bool:
        """Whether it is what papers call PGD-20: 20 steps on the cross-entropy from one start."""
        return (self.steps, self.restarts, self.loss) == (20, 1, "ce")


@dataclass(frozen=True)
class AttackRecord:
    """What evaluation.json says of one attack on one checkpoint."""

    source: str
    eps: float
    n: int
    correct: int
    seconds: float
    sha256: str
    precision: str
    tf32: bool
    seed: int | None = None
    flags: tuple[str, ...] = ()
    details: AttackDetails = AttackDetails()
    peak_memory_mb: float | None = None


@dataclass(frozen=True)
class JudgedCheckpoint:
    """What evaluation.json says of one checkpoint."""

    weights_sha256: str
    attacks: dict[str, AttackRecord]


@dataclass(frozen=True)
class JudgedData:
    """The images that an evaluation was made on."""

    name: str
    fingerprint: str


@dataclass(frozen=True)
class EvaluationRecord:
    """The part of evaluation.json that is read."""

    experiment: str
    method: str
    seed: int
    code_digest: str
    data: JudgedData
    device: str
    checkpoints: dict[str, JudgedCheckpoint]


@dataclass(frozen=True)
class ReferenceRecord:
    """The evaluation.json of a RobustBench model, which has no training record beside it."""

    method: str
    code_digest: str
    data: JudgedData
    device: str
    checkpoints: dict[str, JudgedCheckpoint]


@dataclass(frozen=True)
class Absence:
    """The part of a reference's evaluation.json that says why there are no verdicts, if so."""

    method: str
    unavailable: str | None = None


def typed(kind: type[T], raw: Any, *, where: str) -> T:
    """Return `raw` as the record `kind`; keys that nobody reads here may stand beside.

    Raises
    ------
    ConfigError
        Naming the dotted key that is missing or of the wrong type.
    """
    return parse(kind, _known(kind, raw), where=where)


def _known(kind: type[Any], raw: Any) -> Any:
    if not isinstance(raw, Mapping):
        return raw
    hints = get_type_hints(kind)
    return {
        field.name: _inner(hints[field.name], raw[field.name])
        for field in fields(kind)
        if field.name in raw
    }


def _inner(hint: Any, raw: Any) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _known(hint, raw)
    if get_origin(hint) is dict and isinstance(raw, Mapping):
        return {key: _inner(get_args(hint)[1], item) for key, item in raw.items()}
    return raw
