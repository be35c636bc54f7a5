"""What each job's result depends on, and why a result that is there must be made again.

Snakemake's `params`, the local runner, `plan` and `verify` all ask here. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bench.config.experiment import Data, Experiment
from bench.config.job_specs import spec_json
from bench.config.parsing import parse
from bench.config.schema import CHECKPOINTS
from bench.results.changes import differences, listed
from bench.results.data_header import header
from bench.results.origin import find_origin
from bench.results.paths import RESULTS, Paths
from bench.results.records import (
    DataRecord,
    DiagnosticsRecord,
    EvaluationRecord,
    NetworkRecord,
    OriginRecord,
    TrainRecord,
    TransferRecord,
)
from bench.runtime import provenance
from bench.runtime.errors import ConfigError
from bench.runtime.files import sha256

# What else is installed has no part in the weights.
TRAINING_PACKAGES = ("python", "torch", "torchvision")
R = TypeVar("R", TrainRecord, NetworkRecord, EvaluationRecord, DiagnosticsRecord, TransferRecord)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What decides the result of a job, besides images and weights."""

    spec: Any
    code: str

    @property
    def json(self) -> dict[str, Any]:
        """The settings as what JSON can hold."""
        return spec_json(self.spec)


def data_inputs(experiment: Experiment) -> Inputs:
    """Return what decides the images."""
    return Inputs(spec=experiment.data, code=provenance.data_digest())


def train_inputs(experiment: Experiment, label: str, seed: int) -> Inputs:
    """Return what decides the weights of a run."""
    spec = experiment.train_spec(label, seed)
    code = provenance.train_digest(spec.method, spec.model.name, spec.training.engine)
    return Inputs(spec=spec, code=code)


def network_inputs(experiment: Experiment, label: str, seed: int) -> Inputs:
    """Return what decides which weights are taken from a file of others, but for the file."""
    spec = experiment.network_spec(label, seed)
    return Inputs(spec=spec, code=provenance.external_digest(spec.architecture))


def evaluation_inputs(experiment: Experiment, label: str, seed: int) -> Inputs:
    """Return what decides the per-example results of a run."""
    spec = experiment.evaluation_spec_of(label, seed)
    models = map(experiment.architecture, (label, *spec.networks))
    code = provenance.evaluate_digest(*models, attacks=spec.evaluation.attack_files)
    return Inputs(spec=spec, code=code)


def reference_inputs(experiment: Experiment) -> Inputs:
    """Return what decides the per-example results of a RobustBench model."""
    spec = experiment.evaluation_spec()
    return Inputs(spec=spec, code=provenance.reference_digest(spec.evaluation.attack_files))


def diagnostics_inputs(experiment: Experiment, label: str) -> Inputs:
    """Return what decides the diagnostics of the runs of a label; the config must have them."""
    code = provenance.diagnose_digest(experiment.architecture(label))
    return Inputs(spec=experiment.diagnostics_spec(), code=code)


def transfer_inputs(experiment: Experiment, seed: int) -> Inputs:
    """Return what decides the transfer between the networks of a seed."""
    labels = experiment.labels_of(seed)
    code = provenance.transfer_digest(*map(experiment.architecture, labels))
    return Inputs(spec=experiment.diagnostics_spec(), code=code)


class Staleness:
    """Why results of `experiment` below the folder `results` are not those that would come out now.

    Each method returns reasons, none where the result is there and still right. A result that
    another one depends on counts by itself: weights that must be trained again do not make an
    evaluation stale. A run that is trained with another one's weights is as stale as that one.
    """

    def __init__(self, experiment: Experiment, results: Path = RESULTS) -> None:
        self.experiment = experiment
        self.paths = Paths.of(experiment.experiment, results)

    @property
    def images(self) -> DataRecord | None:
        """What the images are; None where they have not been read."""
        return DataRecord.find(self.paths.data_record)

    def data(self) -> list[str]:
        """Return why the images must be read again."""
        about = self.images
        if about is None:
            return ["they have not been read"]
        reasons = []
        if keys := data_section_differs(self.experiment, self.paths.data):
            reasons.append(f"the config has another {listed(keys)}")
        said = header(self.paths.data)
        ours = {"name": about.name, "classes": list(about.classes)}
        ours["fingerprint"] = about.fingerprint
        # One of the two files may be a copy, or what a killed process left of a pair.
        if said and any(said.get(key) != value for key, value in ours.items()):
            reasons.append("data.json is about other images than data.safetensors has")
        return reasons

    def weights(self, label: str, seed: int) -> list[str]:
        """Return why the weights of a run must be made again: trained, or taken from a file."""
        if label in self.experiment.networks:
            return self.network(label, seed)
        return self.training(label, seed)

    def network(self, label: str, seed: int) -> list[str]:
        """Return why weights of others must be taken from their file again."""
        run, now = self.paths.run(label, seed), network_inputs(self.experiment, label, seed)
        record, reasons = self._compared(NetworkRecord, run.network_record, now)
        if record is None:
            return reasons
        for what, path, then in (
            ("its file", now.spec.path, record.file_sha256),
            ("its architecture's file", now.spec.source, record.source_sha256),
        ):
            if path is not None and path.is_file() and sha256(path) != then:
                reasons.append(f"{what} has changed")
        return reasons + _lost(run.weights("best"))

    def training(self, label: str, seed: int) -> list[str]:
        """Return why a run must be trained again."""
        run = self.paths.run(label, seed)
        now = train_inputs(self.experiment, label, seed)
        record, reasons = self._compared(TrainRecord, run.train_record, now)
        if record is None:
            return reasons
        for key, other in self.experiment.method(label).needs.items():
            theirs = weights(TrainRecord.find(self.paths.run(other, seed).train_record))
            if theirs.get("best") != record.needed_sha256.get(key):
                reasons.append(f"its {key} was not the weights that {other} has now")
            elif self.training(other, seed):
                reasons.append(f"its {key}, {other}, must be trained again")
        return reasons + _lost(*(run.weights(name) for name in CHECKPOINTS), run.history)

    def evaluation(self, label: str, seed: int) -> list[str]:
        """Return why a run must be evaluated again."""
        run, now = self.paths.run(label, seed), evaluation_inputs(self.experiment, label, seed)
        record, reasons = self._compared(EvaluationRecord, run.evaluation_record, now)
        if record is None:
            return reasons
        trained = weights(find_origin(run))
        if trained and trained != weights(record):
            reasons.append(f"it is of other weights than {run.origin_record.name} has")
        for other in now.spec.networks:
            theirs = weights(find_origin(self.paths.run(other, seed)))
            if theirs.get("best") != record.others_sha256.get(other):
                reasons.append(f"an attack used other weights than {other} has now")
        return reasons + _lost(run.examples_folder)

    def reference(self, name: str) -> list[str]:
        """Return why a RobustBench model must be evaluated again."""
        path, now = self.paths.reference(name).evaluation_record, reference_inputs(self.experiment)
        return self._compared(EvaluationRecord, path, now)[1]

    def diagnostics(self, label: str, seed: int) -> list[str]:
        """Return why a run must be diagnosed again."""
        run, now = self.paths.run(label, seed), diagnostics_inputs(self.experiment, label)
        record, reasons = self._compared(DiagnosticsRecord, run.diagnostics_record, now)
        if record is None:
            return reasons
        trained = weights(find_origin(run))
        if any(trained.get(name) != digest for name, digest in weights(record).items()):
            reasons.append(f"it is of other weights than {run.origin_record.name} has")
        if _newer(run.evaluation_record, run.diagnostics_record):
            reasons.append("the run was evaluated since")
        return reasons + _lost(run.curves, run.surfaces)

    def transfer(self, seed: int) -> list[str]:
        """Return why the transfer between the methods of a seed must be made again."""
        path, now = self.paths.transfer_record(seed), transfer_inputs(self.experiment, seed)
        record, reasons = self._compared(TransferRecord, path, now)
        if record is None:
            return reasons
        labels = self.experiment.labels_of(seed)
        if list(record.methods) != labels:
            reasons.append("the config has other methods")
        runs = [self.paths.run(label, seed) for label in labels]
        if any(_newer(run.evaluation_record, path) for run in runs):
            reasons.append("a run was evaluated since")
        return reasons + _lost(self.paths.transfer(seed))

    def _compared(self, kind: type[R], path: Path, now: Inputs) -> tuple[R | None, list[str]]:
        """Return the record at `path`, and in what it differs from what would be made now."""
        record = kind.find(path)
        if record is None:
            what = "is damaged or of another version" if path.is_file() else "is missing"
            return None, [f"{path.name} {what}"]
        reasons = []
        if keys := differences(now.spec, record.spec):
            reasons.append(f"the config has another {listed(keys)}")
        if record.code_digest != now.code:
            reasons.append("its code has changed")
        about = self.images
        if about is not None and record.data.fingerprint != about.fingerprint:
            reasons.append("it is of other images")
        return record, reasons


def data_section_differs(experiment: Experiment, path: Path) -> list[str]:
    """Return the keys of the section `data` that were others when the data file `path` was made.

    None of a file that does not say, as those of before the section was kept in them.
    """
    made = header(path).get("spec")
    if made is None:
        return []
    try:
        then = parse(Data, made, where="data")
    except ConfigError:
        return ["section data"]
    return [f"data.{key}" for key in differences(experiment.data, then)]


def weights(record: OriginRecord | EvaluationRecord | DiagnosticsRecord | None) -> dict[str, str]:
    """Return the digest of each checkpoint's weights that a record names."""
    found = {} if record is None else record.checkpoints
    return {name: found[name].weights_sha256 for name in CHECKPOINTS if name in found}


def _lost(*paths: Path) -> list[str]:
    return [f"{path.name} is missing" for path in paths if not path.exists()]


def _newer(path: Path, than: Path) -> bool:
    return path.is_file() and path.stat().st_mtime > than.stat().st_mtime
