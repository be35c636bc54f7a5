"""The JSON record of each job: one class each, by which it is written and read.

Standard library only: planning reads records too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from bench.config.experiment import DiagnosticsSpec, EvaluationSpec, NetworkSpec, TrainSpec
from bench.config.parsing import parse, plain
from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256, write_json

SHOWN = 3  # problems of a record that are told; one of another version has many


class Record:
    """A JSON file that a job leaves when it is done."""

    @classmethod
    def read(cls, path: Path, hint: str) -> Self:
        """Return the record at `path`.

        Raises
        ------
        BenchError
            The file is missing, is not JSON, or lacks a key; it ends with `hint`.
        """
        if not path.is_file():
            raise BenchError(f"{path}: missing; {hint}")
        raw = read_json(path, hint)
        try:
            return parse(cls, raw, where=path.name)
        except (BenchError, ValueError) as error:
            problems = getattr(error, "problems", (str(error),))
            what = "; ".join(problems[:SHOWN])
            if len(problems) > SHOWN:
                what += f"; and {len(problems) - SHOWN} more"
            raise BenchError(f"{path}: damaged or of another version ({what}); {hint}") from None

    @classmethod
    def find(cls, path: Path) -> Self | None:
        """Return the record at `path`; None where it is missing or is not complete."""
        try:
            return cls.read(path, "")
        except BenchError:
            return None

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        write_json(path, plain(self))


@dataclass(frozen=True, kw_only=True)
class ImagesRecord:
    """Which images a result is of, by name and by the SHA-256 of pixels and labels."""

    name: str
    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class JobRecord(Record):
    """Of which images a job's result is, and in what surroundings it was made."""

    code_digest: str
    data: ImagesRecord
    device: str
    threads: int | None
    packages: dict[str, str]
    peak_memory_mb: float | None


@dataclass(frozen=True, kw_only=True)
class DataRecord(ImagesRecord, Record):
    """data.json: the images of an experiment, and the source that they were taken from.

    The sizes of the source, `class_counts` (by part, "train" and "test") and the channel means and
    standard deviations of the training pixels in [0, 1] are those before a part was taken.
    `lossless`: no image came from a lossy encoding. The two counts of equal images are of those
    that were taken.
    """

    classes: tuple[str, ...]
    train_images: int
    test_images: int
    source_train_images: int
    source_test_images: int
    image_shape: tuple[int, ...] = ()
    source: str = ""
    lossless: bool | None = None
    class_counts: dict[str, tuple[int, ...]] = field(default_factory=dict)
    channel_mean: tuple[float, ...] = ()
    channel_std: tuple[float, ...] = ()
    train_duplicates: int | None = None
    train_test_duplicates: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingImages(DataRecord):
    """The images of a run: `train_images` were trained on, `validation_images` held out."""

    validation_images: int

    @property
    def subset(self) -> bool:
        """Whether the source has training images that the run was not given."""
        return self.train_images + self.validation_images < self.source_train_images


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """The architecture, by the label that configurations and published numbers use."""

    label: str
    parameters: int


@dataclass(frozen=True, kw_only=True)
class Passes:
    """Passes of one image in one training step, of attack and update together."""

    forward: float
    backward: float


@dataclass(frozen=True, kw_only=True)
class TrainedCheckpoint:
    """Weights that training kept; accuracies on the held-out images, in percent.

    `chance_level`: the clean one is no better than naming one class always.
    """

    epoch: int
    weights_sha256: str
    validation_clean: float
    validation_pgd: float
    chance_level: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainRecord(JobRecord):
    """train.json: how one run was trained.

    `method` is its label in the config, `spec.method` the registered method behind it;
    `needed_sha256` is of the weights of other methods that it was trained with, by what they are
    for: "start", to begin with, or an option. `seconds` are of wall time, of all processes together
    where it was interrupted.
    """

    experiment: str
    method: str
    seed: int
    spec: TrainSpec
    needed_sha256: dict[str, str]
    data: TrainingImages
    model: ModelRecord
    passes: Passes
    selected_on: Literal["validation", "test"]
    selected_by: str
    precision: str
    tf32: bool
    engine: str
    checkpoints: dict[str, TrainedCheckpoint]
    seconds: float
    history_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class TakenCheckpoint:
    """Weights that were trained elsewhere, as they lie in the run's folder."""

    weights_sha256: str


@dataclass(frozen=True, kw_only=True)
class NetworkRecord(JobRecord):
    """network.json: weights that were trained elsewhere, where a run of ours has train.json.

    `method` is their label in the config. `file_sha256` is of the file that they were taken from
    and `entry` the place in it; `source_sha256` of the user's file with the architecture.
    `checked_correct` of `checked_images` test images were right when they were taken; `random`:
    two passes over the same images differed.
    """

    experiment: str
    method: str
    seed: int
    spec: NetworkSpec
    data: DataRecord
    model: ModelRecord
    file_sha256: str
    source_sha256: str | None
    entry: str
    checked_images: int
    checked_correct: int
    random: bool
    checkpoints: dict[str, TakenCheckpoint]


OriginRecord = TrainRecord | NetworkRecord


@dataclass(frozen=True, kw_only=True)
class AttackRecord:
    """What one attack did to one checkpoint.

    `sha256` is of the file of per-example results. `details` are the attack's own: its settings,
    AutoAttack's warnings, how the search was computed.
    """

    source: str
    seed: int | None
    eps: float
    n: int
    correct: int
    seconds: float
    peak_memory_mb: float | None
    sha256: str
    flags: tuple[str, ...]
    details: dict[str, Any]

    @property
    def is_pgd20(self) -> bool:
        """Whether it is what papers call PGD-20: 20 steps on the cross-entropy from one start."""
        found = tuple(self.details.get(key) for key in ("steps", "restarts", "loss"))
        return found == (20, 1, "ce")

    @property
    def warnings(self) -> tuple[str, ...]:
        """What AutoAttack's own checks said."""
        return tuple(self.details.get("warnings", ()))

    @property
    def about(self) -> str:
        """What an attack of `evaluation.attacks` says of itself; empty of others."""
        return str(self.details.get("about", ""))

    @property
    def correct_by_seed(self) -> dict[str, int]:
        """How many images each seed of the attack left robust; empty where it had one alone."""
        return dict(self.details.get("correct_by_seed", {}))

    @property
    def search_engine(self) -> str:
        """The engine that adversarial images were searched with; empty where none were."""
        return str(self.details.get("search_engine", ""))


@dataclass(frozen=True, kw_only=True)
class EvaluatedCheckpoint:
    """The attacks on one checkpoint, by name, and the digest of its witnesses, if it has any."""

    weights_sha256: str
    attacks: dict[str, AttackRecord]
    witnesses_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class EvaluationRecord(JobRecord):
    """evaluation.json: how the checkpoints of one network were evaluated.

    Of a RobustBench model `method` is RobustBench's name, and it has neither seed nor experiment.
    `others_sha256` is of the best weights of the networks that attacks could use, by label.
    """

    experiment: str | None
    method: str
    seed: int | None
    spec: EvaluationSpec
    checkpoints: dict[str, EvaluatedCheckpoint]
    others_sha256: dict[str, str] = field(default_factory=dict)

    def attacks(self) -> Iterator[tuple[str, str, AttackRecord]]:
        """Yield (checkpoint, attack, its record)."""
        for checkpoint, evaluated in self.checkpoints.items():
            for attack, record in evaluated.attacks.items():
                yield checkpoint, attack, record


@dataclass(frozen=True, kw_only=True)
class UnavailableRecord(Record):
    """evaluation.json of a RobustBench model whose checkpoint could not be fetched."""

    method: str
    unavailable: str


@dataclass(frozen=True, kw_only=True)
class CheckRecord:
    """The outcome of one diagnostic check: see `bench.diagnostics.checks.Outcome`."""

    value: float
    threshold: float
    chance: float
    n: int
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Checks:
    """The checks on one network."""

    weights_sha256: str
    checks: dict[str, CheckRecord]

    @property
    def failed(self) -> list[str]:
        """The names of the checks that failed."""
        return [name for name, check in self.checks.items() if not check.passed]


@dataclass(frozen=True, kw_only=True)
class DiagnosedCheckpoint(Checks):
    """The checks on one checkpoint of a run; `cause`: the probable one of those that failed."""

    departure_quartiles_nats: tuple[float, ...]
    cause: str = ""


@dataclass(frozen=True, kw_only=True)
class DiagnosticsRecord(JobRecord):
    """diagnostics/record.json: every check on one run; `sha256` are of its tables."""

    experiment: str
    method: str
    seed: int
    spec: DiagnosticsSpec
    seconds: float
    sha256: dict[str, str]
    checkpoints: dict[str, DiagnosedCheckpoint]


@dataclass(frozen=True, kw_only=True)
class TransferRecord(JobRecord):
    """transfer/seed<k>.json: attacks transferred between the methods of a seed.

    `checkpoints` has the checks by checkpoint and method; `sha256` is of the table beside it.
    """

    experiment: str
    methods: tuple[str, ...]
    seed: int
    spec: DiagnosticsSpec
    seconds: float
    sha256: str
    checkpoints: dict[str, dict[str, Checks]]


@dataclass(frozen=True, kw_only=True)
class MergedPart:
    """Who made which runs of a merged experiment: `seeds` by label.

    `first` and `last` are the days (UTC) of the oldest and newest evaluation.json, as files had
    them when they were merged. `apart`: the labels end with this name, since the runs were made by
    other code, packages or devices than the others; empty where they may be equal.
    """

    name: str
    seeds: dict[str, tuple[int, ...]]
    references: tuple[str, ...]
    first: str
    last: str
    apart: str


@dataclass(frozen=True, kw_only=True)
class MergedRecord(Record):
    """merged.json: the parts that an experiment was merged from."""

    parts: tuple[MergedPart, ...]

    @property
    def apart(self) -> dict[str, str]:
        """What the labels of runs that are kept apart end with, by label."""
        return {label: part.apart for part in self.parts if part.apart for label in part.seeds}


@dataclass(frozen=True, kw_only=True)
class AnalysisRecord(Record):
    """analysis/<step>.json: the SHA-256 of what a step wrote, by the path below the experiment."""

    sha256: dict[str, str]

    @classmethod
    def of(cls, folder: Path, files: Iterable[Path]) -> Self:
        """Return the record of `files`, which a step has just written below `folder`."""
        return cls(sha256={str(file.relative_to(folder)): sha256(file) for file in files})
