"""The records that the analysis reads, train.json and evaluation.json, as far as it needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from bench.parsing import Pixels, parse

T = TypeVar("T")


@dataclass(frozen=True)
class DataRecord:
    """The images of a run: test images are counted as the data has them, judged or not."""

    name: str
    fingerprint: str
    test_images: int


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
class SpecRecord:
    """What decided the weights: the method behind the label, its options, its threat."""

    method: str
    options: dict[str, Any]
    threat: ThreatRecord


@dataclass(frozen=True)
class TrainRecord:
    """The part of train.json that the analysis needs; `seconds` of wall time."""

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
    """The part of evaluation.json that the analysis needs."""

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
    """Return `raw` as the record `kind`; keys that the analysis does not read may stand beside.

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
