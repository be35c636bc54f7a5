"""Runs on disk whose records agree with a config, with the code and with what is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import diagnosed
import pytest
import yaml
from factory import ResultsFactory, edit_json
from settings import settings

from bench.__main__ import main
from bench.config.experiment import Experiment, experiment, spec_json
from bench.config.schema import CHECKPOINTS
from bench.planning.local_runner import LocalRunner, Pair
from bench.results.paths import Paths
from bench.results.records import DataRecord
from bench.results.staleness import (
    Inputs,
    diagnostics_inputs,
    evaluation_inputs,
    reference_inputs,
    train_inputs,
    transfer_inputs,
)
from bench.runtime.files import read_json
from bench.runtime.provenance import packages

FINGERPRINT = "f" * 64
IMAGES = {"name": "digits", "fingerprint": FINGERPRINT}
TRAINED, HELD_OUT, TEST = 1348, 149, 300  # of the 1,497 digits a tenth is held out
CORRECT = {"clean": 200, "pgd20": 100}
SECONDS = {"clean": 3.0, "pgd20": 30.0}
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
    inputs = train_inputs(of, label, seed)
    record = {
        "spec": spec_json(inputs.spec),
        "code_digest": inputs.code,
        "data": {
            **IMAGES,
            **SIZES,
            "train_images": TRAINED,
            "validation_images": HELD_OUT,
        },
        "model": {"label": of.model.label, "parameters": 14458},
        "packages": packages(),
        "seconds": seconds,
    }
    correct = {checkpoint: CORRECT for checkpoint in CHECKPOINTS}
    run = _factory(results, of).run(label, seed, correct=correct, train=record)
    _evaluated(run, of, evaluation_inputs(of, label, seed).code)
    return run


def write_reference(results: Path, of: Experiment, name: str) -> Path:
    """Write RobustBench's model `name`, evaluated; return its folder."""
    run = _factory(results, of).reference(name, correct=CORRECT)
    _evaluated(run, of, reference_inputs(of).code)
    return run


def write_data(results: Path, of: Experiment, fingerprint: str = FINGERPRINT) -> None:
    """Write data.json as the job that reads images does."""
    about = DataRecord(
        name=of.data.name, fingerprint=fingerprint, train_images=TRAINED + HELD_OUT, **SIZES
    )
    about.write(Paths.of(of.experiment, results).data_record)


def write_diagnostics(results: Path, of: Experiment, label: str, seed: int = 0) -> None:
    """Write the diagnostics of a run that is there."""
    place = diagnosed.write_diagnostics(_factory(results, of), label, seed)
    _diagnosis(place / "record.json", diagnostics_inputs(of, label), seconds=50.0)


def write_transfer(results: Path, of: Experiment, seed: int = 0) -> None:
    """Write what transfers between all methods of a seed."""
    labels = [method.label for method in of.methods]
    path = diagnosed.write_transfer(_factory(results, of), labels, seed)
    _diagnosis(path, transfer_inputs(of, seed), seconds=5.0)


def make_newer(path: Path, than: Path) -> None:
    """Give `path` a time after that of `than`."""
    later = than.stat().st_mtime + 10
    os.utime(path, (later, later))


def _factory(results: Path, of: Experiment) -> ResultsFactory:
    return ResultsFactory(
        results / of.experiment,
        experiment=of.experiment,
        dataset=of.data.name,
        model=of.model.label,
        eps=of.threat.eps,
        images=TEST,
        test_images=TEST,
    )


def _evaluated(run: Path, of: Experiment, code: str) -> None:
    """Let the evaluation of a run be of the config, the code and the packages that are here."""
    path = run / "evaluation.json"
    now = {"spec": spec_json(of.evaluation_spec()), "code_digest": code, "packages": packages()}
    edit_json(path, **now, data=IMAGES)
    for checkpoint in read_json(path)["checkpoints"]:
        for attack, seconds in SECONDS.items():
            edit_json(path, **{f"checkpoints__{checkpoint}__attacks__{attack}__seconds": seconds})


def _diagnosis(path: Path, inputs: Inputs, seconds: float) -> None:
    now = {"spec": spec_json(inputs.spec), "code_digest": inputs.code, "packages": packages()}
    edit_json(path, **now, data=IMAGES, seconds=seconds)
