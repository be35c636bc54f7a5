"""Train one run and leave its files: weights, history and record."""

from __future__ import annotations

import csv
import io
import json
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from bench.config.experiment import TrainSpec, spec_json
from bench.config.method_options import needs
from bench.config.schema import CHECKPOINTS
from bench.data.dataset import Dataset, load
from bench.data.record import data_record
from bench.models.checkpoint import Description, save
from bench.models.checkpoint import load as load_weights
from bench.numerics.device import describe, peak_memory_mb, prepare
from bench.results.paths import RunPaths
from bench.results.records import (
    ModelRecord,
    TrainedCheckpoint,
    TrainingImages,
    TrainRecord,
)
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256, write_text
from bench.runtime.out_of_memory import out_of_memory
from bench.runtime.provenance import packages, train_digest
from bench.runtime.signals import stopping_cleanly
from bench.training.feasible import check_network
from bench.training.metrics import EpochMetrics
from bench.training.passes import count_passes
from bench.training.progress import Progress
from bench.training.run import DivergedError, Epoch, Run
from bench.training.sizes import check_training
from bench.training.state import Kept, load_state, save_state


def train(spec: TrainSpec, *, experiment: str, label: str, data: Path, folder: Path) -> None:
    """Train `spec` on the data file `data`, or go on where an interrupted training stopped.

    Writes ``best.safetensors``, ``last.safetensors`` and ``history.csv`` after every epoch and,
    when all is done, ``train.json`` into `folder`. Until then ``state/training.safetensors``
    there holds all that is needed to go on, since a scheduler deletes the outputs of a failed job.

    Raises
    ------
    BenchError
        The loss became NaN or infinite, the batch does not fit into the memory, or images, network
        and sizes do not go together, which is said before an epoch is computed.
    InterruptedJobError
        The job was told to stop.
    """
    device = prepare(spec.compute)
    dataset = load(data)
    shape = dataset.train.pixels.shape[1:]
    check_training(spec.training, label, len(dataset.train), shape)
    check_network(
        spec.model,
        spec.training,
        label,
        train_images=len(dataset.train),
        shape=shape,
        classes=len(dataset.classes),
    )
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    try:
        _train(spec, dataset, device, experiment=experiment, label=label, folder=folder)
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
    else:
        return
    # Outside of the handler, whose error keeps the tensors of every frame. The batch is not halved,
    # because its size is part of the protocol.
    raise BenchError(
        f"{label}: out of memory on {describe(device)} with training.batch_size"
        f" {spec.training.batch_size}; lower training.batch_size or use another device (finished"
        " epochs are kept, and resumed with these settings on this device)"
    )


def _train(
    spec: TrainSpec,
    dataset: Dataset,
    device: torch.device,
    *,
    experiment: str,
    label: str,
    folder: Path,
) -> None:
    began = time.perf_counter()
    paths = RunPaths(folder)
    needed = needed_weights(spec, dataset, paths)
    states = {key: state for key, (state, _) in needed.items()}
    digests = {key: digest for key, (_, digest) in needed.items()}
    run = Run(spec, dataset, device, states.pop("start", None), states)
    # First, since it is a step of the method's own code.
    passes = count_passes(spec).record()
    state = paths.training_state
    identity = identity_of(spec, dataset, device, digests)
    kept = load_state(state, identity, run) or Kept(history=[], checkpoints={}, best={})
    if kept.history:
        print(f"resuming from epoch {len(kept.history)}", flush=True)
        _write_outputs(paths, run, kept, about(spec, dataset))
    history, checkpoints, best_weights = kept.history, kept.checkpoints, kept.best
    progress = Progress(spec.training.epochs, run.steps, done=len(history))
    with stopping_cleanly():
        for number in range(len(history) + 1, spec.training.epochs + 1):
            progress.start_epoch()
            started = time.perf_counter()

            def watch(step: int, metrics: EpochMetrics, number: int = number) -> None:
                progress.step(number, step, metrics.images, metrics.latest_loss)

            try:
                epoch = run.epoch(number, watch)
            except DivergedError as error:
                raise BenchError(f"{label}: {error} ({_left(state, number - 1)})") from None
            seconds = time.perf_counter() - started
            checkpoints["last"], best = epoch, checkpoints.get("best")
            if best is None or run.better(epoch, best):
                checkpoints["best"] = epoch
                best_weights = {name: v.clone() for name, v in run.network().state_dict().items()}
            history.append(_history_row(epoch, len(run.index_N), seconds, device))
            kept = Kept(history=history, checkpoints=checkpoints, best=best_weights)
            save_state(state, identity, run, kept)
            _write_outputs(paths, run, kept, about(spec, dataset))
            progress.epoch(number, _summary(epoch), len(run.index_N), seconds)
    if run.at_chance(checkpoints["best"]):
        print(_warning(label, checkpoints["best"], run), flush=True)
    TrainRecord(
        experiment=experiment,
        method=label,
        seed=spec.seed,
        spec=spec,
        needed_sha256=digests,
        code_digest=train_digest(spec.method, spec.model.name, spec.training.engine),
        data=TrainingImages(
            **vars(data_record(dataset)) | {"train_images": len(run.index_N)},
            # None is held out where the test set selects.
            validation_images=len(dataset.train) - len(run.index_N),
        ),
        model=ModelRecord(
            label=spec.model.label, parameters=sum(p.numel() for p in run.model.parameters())
        ),
        passes=passes,
        selected_on=spec.training.checkpoint_selection,
        selected_by=run.selected_by,
        precision=spec.training.precision,
        tf32=spec.compute.tf32,
        engine=spec.training.engine,
        checkpoints={
            name: TrainedCheckpoint(
                epoch=checkpoints[name].epoch,
                weights_sha256=sha256(paths.weights(name)),
                validation_clean=checkpoints[name].validation_clean,
                validation_pgd=checkpoints[name].validation_pgd,
                chance_level=run.at_chance(checkpoints[name]),
            )
            for name in CHECKPOINTS
        },
        device=describe(device),
        threads=spec.compute.threads,
        packages=packages(),
        # Of all processes together, where the training was interrupted.
        seconds=round(max(spent(history), time.perf_counter() - began), 1),
        peak_memory_mb=peak_memory_mb(device),
        history_sha256=sha256(paths.history),
    ).write(paths.train_record)
    # With what a killed process may have left half-written beside it.
    shutil.rmtree(state.parent)


def needed_weights(
    spec: TrainSpec, dataset: Dataset, paths: RunPaths
) -> dict[str, tuple[dict[str, Tensor], str]]:
    """Return the weights of other methods that a run needs, with their SHA-256, as `needs` does.

    Raises
    ------
    BenchError
        Such a method is not trained yet, or is of other images or another network.
    """
    found = {}
    for key, label in needs(spec.method, spec.options, spec.training.start).items():
        path = paths.of_method(label).weights("best")
        model, description = load_weights(path)
        if description != about(spec, dataset):
            raise BenchError(
                f"{path}: of another network or of other images than this run, which needs it as "
                f"its {key}; train {label} again"
            )
        found[key] = model.state_dict(), sha256(path)
    return found


def identity_of(
    spec: TrainSpec,
    dataset: Dataset,
    device: torch.device,
    needed: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return what must be equal for a state to be of the same training."""
    return json.dumps(
        {
            "spec": spec_json(spec),
            "code": train_digest(spec.method, spec.model.name, spec.training.engine),
            "images": dataset.fingerprint,
            "needed": dict(needed),
            "device": describe(device),
            "torch": packages()["torch"],
        }
    )


def spent(history: list[dict[str, Any]]) -> float:
    """Return the seconds of all epochs."""
    return sum(float(row["seconds"]) for row in history)


def about(spec: TrainSpec, dataset: Dataset) -> Description:
    """Return what a checkpoint of `spec` says of itself."""
    return Description(
        model=spec.model.name,
        width=spec.model.width,
        normalization=spec.model.normalization,
        classes=len(dataset.classes),
        channels=dataset.train.pixels.shape[1],
        data=dataset.name,
        fingerprint=dataset.fingerprint,
    )


def _write_outputs(paths: RunPaths, run: Run, kept: Kept, description: Description) -> None:
    save(paths.weights("best"), kept.best, description)
    save(paths.weights("last"), run.network().state_dict(), description)
    write_text(paths.history, _as_csv(kept.history))


def _left(state: Path, epochs: int) -> str:
    """Return what is kept of a training that failed after `epochs` whole epochs, and its use."""
    if not epochs:
        return "no epoch was finished, so nothing was saved"
    return (
        f"what was made up to epoch {epochs} is kept in {state.parent}, from which only unchanged "
        "settings go on: with another learning rate this training starts again"
    )


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
        **{name: _rounded(value) for name, value in epoch.replay.items()},
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


def _warning(label: str, best: Epoch, run: Run) -> str:
    count = len(run.selection_images)
    return (
        f"warning: {label}: no epoch is better than chance; the best, epoch {best.epoch}, has a "
        f"clean accuracy of {best.validation_clean:.2f} % on {count} validation images, and "
        f"{100 * run.most_frequent / count:.2f} % of them have the most frequent label; train "
        "longer or with another learning rate"
    )


def _rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
