"""Runs on disk whose records agree with a config, with the code and with what is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from settings import settings

from bench.config.experiment import Experiment, experiment, spec_json
from bench.runtime.files import sha256, write_json, write_text
from bench.runtime.provenance import evaluate_digest, packages, train_digest

FINGERPRINT = "f" * 64
TRAINED, TEST = 1348, 300  # of the 1,497 digits a tenth is held out


def tiny(changes: dict[str, Any] | None = None) -> Experiment:
    """Return the small experiment; both its seeds train trades on the digits."""
    return experiment(settings(changes))


def write_run(
    results: Path, of: Experiment, label: str = "trades", seed: int = 0, seconds: float = 60.0
) -> Path:
    """Write one run of `of` as its jobs would leave it, and return its folder."""
    folder = results / of.experiment / "models" / label / f"seed{seed}"
    method = of.method(label)
    weights = {}
    for checkpoint in ("best", "last"):
        path = folder / f"{checkpoint}.safetensors"
        write_text(path, f"{label} {seed} {checkpoint}")
        weights[checkpoint] = {"weights_sha256": sha256(path)}
    shared = {
        "experiment": of.experiment,
        "method": label,
        "seed": seed,
        "data": {"name": of.data.name, "fingerprint": FINGERPRINT, "train_images": TRAINED},
        "device": "cpu",
        "threads": 1,
        "packages": packages(),
    }
    training = {
        **shared,
        "spec": spec_json(of.train_spec(label, seed)),
        "code_digest": train_digest(method.name, of.model.name, method.training.engine),
        "model": {"label": of.model.label, "parameters": 14458},
        "checkpoints": weights,
        "seconds": seconds,
    }
    write_json(folder / "train.json", training)
    judged = {
        checkpoint: {
            **weights[checkpoint],
            "attacks": {
                "clean": _attack(folder, checkpoint, "clean", 3.0, {}),
                "pgd20": _attack(folder, checkpoint, "pgd20", 30.0, {"steps": 20, "restarts": 1}),
            },
        }
        for checkpoint in weights
    }
    evaluation = {
        **shared,
        "spec": spec_json(of.evaluation_spec()),
        "code_digest": evaluate_digest(of.model.name),
        "checkpoints": judged,
    }
    write_json(folder / "evaluation.json", evaluation)
    return folder


def write_data(results: Path, of: Experiment, fingerprint: str = FINGERPRINT) -> None:
    """Write data.json as the job that reads images does."""
    about = {
        "name": of.data.name,
        "classes": list(map(str, range(10))),
        "fingerprint": fingerprint,
        "train_images": 1497,
        "test_images": TEST,
        "image_shape": [1, 8, 8],
    }
    write_json(results / of.experiment / "data.json", about)


def change(path: Path, **keys: Any) -> None:
    """Replace keys of the record at `path`."""
    write_json(path, {**json.loads(path.read_text()), **keys})


def _attack(
    folder: Path, checkpoint: str, name: str, seconds: float, details: dict[str, Any]
) -> dict[str, Any]:
    path = folder / "verdicts" / checkpoint / f"{name}.csv"
    write_text(path, f"index,label,clean,robust,broken_by\n0,{len(name)},1,1,\n")
    return {"n": TEST, "seconds": seconds, "sha256": sha256(path), "details": details}
