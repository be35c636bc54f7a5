"""Train one run and leave its files: weights, history and record."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import torch

from bench.config import TrainSpec, spec_json
from bench.data.dataset import Dataset, load
from bench.device import describe, peak_memory_mb, prepare
from bench.provenance import packages, train_digest
from bench.records import sha256, write_json, write_text
from bench.training.measure import Tally
from bench.training.progress import Progress
from bench.training.run import Epoch, Run
from bench.weights import Description, save

CHECKPOINTS = ("best", "last")


def train(spec: TrainSpec, *, experiment: str, label: str, data: Path, folder: Path) -> None:
    """Train `spec` on the data file `data`.

    Writes ``best.safetensors``, ``last.safetensors``, ``history.csv`` (rewritten after every epoch)
    and, when all is done, ``train.json`` into `folder`.
    """
    began = time.perf_counter()
    device = prepare(spec.compute)
    dataset = load(data)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    run = Run(spec, dataset, device)
    progress = Progress(spec.training.epochs, run.steps)
    history: list[dict[str, Any]] = []
    checkpoints: dict[str, Epoch] = {}
    for number in range(1, spec.training.epochs + 1):
        progress.start_epoch()
        started = time.perf_counter()

        def watch(step: int, tally: Tally, number: int = number) -> None:
            progress.step(number, step, tally.images, tally.latest_loss)

        epoch = run.epoch(number, watch)
        seconds = time.perf_counter() - started
        best = checkpoints.get("best")
        kept = ["last"] if best and run.merit(epoch) <= run.merit(best) else ["best", "last"]
        for checkpoint in kept:
            checkpoints[checkpoint] = epoch
            save(folder / f"{checkpoint}.safetensors", run.model.state_dict(), about(spec, dataset))
        history.append(_history_row(epoch, len(run.index_N), seconds, device))
        write_text(folder / "history.csv", _as_csv(history))
        progress.epoch(number, _summary(epoch), len(run.index_N), seconds)
    write_json(
        folder / "train.json",
        {
            "experiment": experiment,
            "method": label,
            "seed": spec.seed,
            "spec": spec_json(spec),
            "code_digest": train_digest(spec.method, spec.model.name),
            "data": {
                "name": dataset.name,
                "fingerprint": dataset.fingerprint,
                "classes": list(dataset.classes),
                "train_images": len(run.index_N),
                # None is held out where the test set selects.
                "validation_images": len(dataset.train) - len(run.index_N),
                "test_images": len(dataset.test),
            },
            "model": {
                "label": spec.model.label,
                "parameters": sum(p.numel() for p in run.model.parameters()),
            },
            "selected_on": spec.training.selection,
            "selected_by": "clean accuracy" if run.method.attack is None else "PGD accuracy",
            "precision": "float32",
            "tf32": spec.compute.tf32,
            "engine": "eager",
            "checkpoints": {
                name: _checkpoint(checkpoints[name], folder / f"{name}.safetensors")
                for name in CHECKPOINTS
            },
            "device": describe(device),
            "threads": spec.compute.threads,
            "packages": packages(),
            "seconds": round(time.perf_counter() - began, 1),
            "peak_memory_mb": peak_memory_mb(device),
        },
    )


def about(spec: TrainSpec, dataset: Dataset) -> Description:
    """Return what a checkpoint of `spec` says of itself."""
    return Description(
        model=spec.model.name,
        width=spec.model.width,
        classes=len(dataset.classes),
        channels=dataset.train.pixels.shape[1],
        data=dataset.name,
        fingerprint=dataset.fingerprint,
    )


def _checkpoint(epoch: Epoch, path: Path) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "weights_sha256": sha256(path),
        "validation_clean": epoch.validation_clean,
        "validation_pgd": epoch.validation_pgd,
    }


def _history_row(epoch: Epoch, images: int, seconds: float, device: torch.device) -> dict[str, Any]:
    return {
        "epoch": epoch.epoch,
        "learning_rate": f"{epoch.learning_rate:.6g}",
        "loss": f"{epoch.loss:.6f}",
        **{name: f"{value:.6f}" for name, value in epoch.terms.items()},
        "train_clean": _percent(epoch.train_clean),
        "train_robust": _percent(epoch.train_robust),
        "validation_clean": _percent(epoch.validation_clean),
        "validation_pgd": _percent(epoch.validation_pgd),
        "seconds": f"{seconds:.2f}",
        "images_per_second": f"{images / max(seconds, 1e-9):.0f}",
        "peak_memory_mb": _number(peak_memory_mb(device)),
    }


def _as_csv(rows: list[dict[str, Any]]) -> str:
    # The last epoch has every loss term; the memory's is still missing in the first.
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[-1]), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _summary(epoch: Epoch) -> str:
    return (
        f"loss {epoch.loss:.4f}  validation clean {epoch.validation_clean:.2f} %"
        f" PGD {epoch.validation_pgd:.2f} %"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
