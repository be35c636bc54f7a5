"""Runs on disk whose records agree with a config, with the code and with what is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from settings import settings

from bench.__main__ import main
from bench.config.experiment import Experiment, experiment
from bench.config.schema import CHECKPOINTS
from bench.planning.local_runner import LocalRunner, Pair
from bench.results.paths import Paths, RunPaths
from bench.results.records import (
    AttackRecord,
    CheckRecord,
    Checks,
    DataRecord,
    DiagnosedCheckpoint,
    DiagnosticsRecord,
    EvaluatedCheckpoint,
    EvaluationRecord,
    ImagesRecord,
    ModelRecord,
    Passes,
    TrainedCheckpoint,
    TrainingImages,
    TrainRecord,
    TransferRecord,
)
from bench.results.staleness import (
    diagnostics_inputs,
    evaluation_inputs,
    reference_inputs,
    train_inputs,
    transfer_inputs,
    weights,
)
from bench.runtime.files import sha256, write_text
from bench.runtime.provenance import packages

FINGERPRINT = "f" * 64
IMAGES = ImagesRecord(name="digits", fingerprint=FINGERPRINT)
TRAINED, HELD_OUT, TEST = 1348, 149, 300  # of the 1,497 digits a tenth is held out
SIZES: dict[str, Any] = {
    "classes": tuple(map(str, range(10))),
    "test_images": TEST,
    "source_train_images": TRAINED + HELD_OUT,
    "source_test_images": TEST,
    "image_shape": (1, 8, 8),
}
# The digits in seconds, with what `run` is to do.
QUICK: dict[str, Any] = {
    "data.train_images": 60,
    "data.test_images": 10,
    "model.width": 4,
    "threat.eps": "0.2",
    "training.attack.steps": 4,
    "training.validation_attack.steps": 4,
    "training.crop_padding": 1,
    "evaluation.pgd.pgd20.steps": 4,
    "methods.standard": {},
}
PLACE: dict[str, Any] = {"device": "cpu", "threads": 1, "packages": packages()}


def tiny(changes: dict[str, Any] | None = None) -> Experiment:
    """Return the small experiment; both its seeds train trades on the digits."""
    return experiment(settings(changes))


def configure(changes: dict[str, Any] | None = None) -> None:
    """Write tiny.yaml, a quick experiment, to the working directory."""
    Path("tiny.yaml").write_text(yaml.safe_dump(settings({**QUICK, **(changes or {})})))


def run_jobs(*more: str) -> int:
    """Call `run` on tiny.yaml; return its exit code."""
    return main(["run", "--config", "tiny.yaml", *more])


def watch_jobs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that each job of a run joins, as "train trades/0", before it is done."""
    done: list[str] = []
    for name in ("train", "evaluate", "diagnose"):
        original = getattr(LocalRunner, f"_{name}")

        def spy(self: LocalRunner, pair: Pair, name: str = name, original: Any = original) -> None:
            done.append(f"{name} {pair[0]}/{pair[1]}")
            original(self, pair)

        monkeypatch.setattr(LocalRunner, f"_{name}", spy)
    return done


def write_run(
    results: Path, of: Experiment, label: str = "trades", seed: int = 0, seconds: float = 60.0
) -> Path:
    """Write one run of `of` as its jobs would leave it, and return its folder."""
    run, inputs = Paths.of(of.experiment, results).run(label, seed), train_inputs(of, label, seed)
    for checkpoint in CHECKPOINTS:
        write_text(run.weights(checkpoint), f"{label} {seed} {checkpoint}")
    write_text(run.history, "epoch\n1\n")
    training = TrainRecord(
        experiment=of.experiment,
        method=label,
        seed=seed,
        spec=inputs.spec,
        needed_sha256={},
        code_digest=inputs.code,
        data=TrainingImages(
            name=of.data.name,
            fingerprint=FINGERPRINT,
            train_images=TRAINED,
            validation_images=HELD_OUT,
            **SIZES,
        ),
        model=ModelRecord(label=of.model.label, parameters=14458),
        passes=Passes(forward=12, backward=12),
        selected_on="validation",
        selected_by="PGD accuracy",
        precision="float32",
        tf32=False,
        engine="folded",
        checkpoints={
            name: TrainedCheckpoint(
                epoch=2,
                weights_sha256=sha256(run.weights(name)),
                validation_clean=80.0,
                validation_pgd=50.0,
            )
            for name in CHECKPOINTS
        },
        seconds=seconds,
        peak_memory_mb=None,
        **PLACE,
    )
    training.write(run.train_record)
    evaluation = _evaluation(
        of, run, weights(training), evaluation_inputs(of, label).code, label, seed
    )
    evaluation.write(run.evaluation_record)
    return run.folder


def write_reference(results: Path, of: Experiment, name: str) -> Path:
    """Write RobustBench's model `name`, evaluated; return its folder."""
    run = Paths.of(of.experiment, results).reference(name)
    digests = {"best": "0" * 64}
    _evaluation(of, run, digests, reference_inputs(of).code, name, None).write(
        run.evaluation_record
    )
    return run.folder


def write_data(results: Path, of: Experiment, fingerprint: str = FINGERPRINT) -> None:
    """Write data.json as the job that reads images does."""
    about = DataRecord(
        name=of.data.name, fingerprint=fingerprint, train_images=TRAINED + HELD_OUT, **SIZES
    )
    about.write(Paths.of(of.experiment, results).data_record)


def write_diagnostics(results: Path, of: Experiment, label: str, seed: int = 0) -> None:
    """Write the diagnostics of a run that is there."""
    run, inputs = Paths.of(of.experiment, results).run(label, seed), diagnostics_inputs(of, label)
    for table in (run.curves, run.surfaces):
        write_text(table, "a table\n")
    best = weights(TrainRecord.read(run.train_record, ""))["best"]
    passed = CheckRecord(value=0.0, threshold=0.1, chance=0.1, n=10, passed=True)
    checked = DiagnosedCheckpoint(
        weights_sha256=best, checks={"a check": passed}, departure_quartiles_nats=()
    )
    DiagnosticsRecord(
        experiment=of.experiment,
        method=label,
        seed=seed,
        spec=inputs.spec,
        code_digest=inputs.code,
        data=IMAGES,
        seconds=50.0,
        peak_memory_mb=None,
        sha256={},
        checkpoints={"best": checked},
        **PLACE,
    ).write(run.diagnostics_record)


def write_transfer(results: Path, of: Experiment, seed: int = 0) -> None:
    """Write what transfers between all methods of a seed."""
    paths, inputs = Paths.of(of.experiment, results), transfer_inputs(of)
    labels = tuple(method.label for method in of.methods)
    TransferRecord(
        experiment=of.experiment,
        methods=labels,
        seed=seed,
        spec=inputs.spec,
        code_digest=inputs.code,
        data=IMAGES,
        seconds=5.0,
        peak_memory_mb=None,
        sha256="",
        checkpoints={"best": {label: Checks(weights_sha256="", checks={}) for label in labels}},
        **PLACE,
    ).write(paths.transfer_record(seed))
    write_text(paths.transfer(seed), "a table\n")


def make_newer(path: Path, than: Path) -> None:
    """Give `path` a time after that of `than`."""
    later = than.stat().st_mtime + 10
    os.utime(path, (later, later))


def _evaluation(
    of: Experiment,
    run: RunPaths,
    digests: dict[str, str],
    code: str,
    label: str,
    seed: int | None,
) -> EvaluationRecord:
    checkpoints = {
        name: EvaluatedCheckpoint(
            weights_sha256=digest,
            attacks={
                "clean": _attack(run, name, "clean", 3.0, {}),
                "pgd20": _attack(run, name, "pgd20", 30.0, {"steps": 20, "restarts": 1}),
            },
        )
        for name, digest in digests.items()
    }
    return EvaluationRecord(
        experiment=None if seed is None else of.experiment,
        method=label,
        seed=seed,
        spec=of.evaluation_spec(),
        code_digest=code,
        data=IMAGES,
        peak_memory_mb=None,
        checkpoints=checkpoints,
        **PLACE,
    )


def _attack(
    run: RunPaths, checkpoint: str, name: str, seconds: float, details: dict[str, Any]
) -> AttackRecord:
    path = run.examples(checkpoint, name)
    write_text(path, f"index,label,clean,robust,broken_by\n0,{len(name)},1,1,\n")
    return AttackRecord(
        source="suite",
        seed=0,
        eps=0.0,
        n=TEST,
        correct=TEST,
        seconds=seconds,
        peak_memory_mb=None,
        sha256=sha256(path),
        flags=(),
        details=details,
    )
