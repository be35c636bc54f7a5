"""Images and settings so small that a whole training takes a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from bench.config.experiment import (
    Attack,
    Compute,
    Model,
    Optimizer,
    Schedule,
    Threat,
    Training,
    TrainSpec,
)
from bench.config.method_options import declared_options, default_width
from bench.config.schema import ValidationAttack, WeightAveraging, WeightPerturbation
from bench.data.dataset import Dataset, Images
from bench.methods.base import names

EPS = 0.1
CPU = Compute(device="cpu", threads=1, tf32=False)
MEMLOSS = {"variant": "v1", "beta": 3.0, "memory_beta": 2.0}
# Options of the methods that have some without a default.
OPTIONS: dict[str, dict[str, Any]] = {
    "trades": {"beta": 3.0},
    "mart": {"beta": 5.0},
    "memloss": MEMLOSS,
    "memloss_hat": MEMLOSS,
    "sat": {"variant": "r1"},
}
# Every method that there is, one's own too, with one set of options.
METHODS: dict[str, dict[str, Any]] = {name: OPTIONS.get(name, {}) for name in names()}
# Training with averaged weights and, in the second epoch, with perturbed ones.
MOVED_WEIGHTS = {
    "weight_averaging": WeightAveraging(decay=0.5),
    "awp": WeightPerturbation(gamma=0.01, first_epoch=2),
}


def some_images(count: int, *, seed: int, channels: int = 1, side: int = 8) -> Images:
    """Return noise that is brighter in the row of its label; ten labels in turn."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, side, side)
    pixels = torch.randint(0, 200, shape, generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % 10
    for image, label in zip(pixels, labels.tolist(), strict=True):
        image[:, label % side] += 55
    return Images(pixels, labels)


def some_data(train: int = 44, test: int = 20, *, channels: int = 1, side: int = 8) -> Dataset:
    """Return ten classes of synthetic images."""
    return Dataset(
        "synthetic",
        tuple(map(str, range(10))),
        some_images(train, seed=1, channels=channels, side=side),
        some_images(test, seed=2, channels=channels, side=side),
    )


def some_spec(
    method: str = "trades",
    *,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    compute: Compute = CPU,
    **training: Any,
) -> TrainSpec:
    """Return a run of two epochs of three batches; `training` replaces keys of its shell."""
    shell = Training(
        epochs=2,
        batch_size=16,
        optimizer=Optimizer(learning_rate=0.1),
        schedule=Schedule(),
        attack=Attack(steps=2, step_size=EPS / 2),
        validation_attack=ValidationAttack(steps=2, step_size=EPS / 2),
        crop_padding=1,
    )
    given = METHODS.get(method, {}) if options is None else options
    return TrainSpec(
        method=method,
        options=declared_options(method, given, where=method),
        seed=seed,
        model=Model(name="small_cnn", width=4),
        threat=Threat(eps=EPS),
        training=replace(shell, **training),
        compute=compute,
    )


def narrow_width(name: str, width: int = 4) -> int | None:
    """Return `width` for an architecture that takes one, else None."""
    return None if default_width(name) is None else width


@contextmanager
def settings_kept() -> Iterator[None]:
    """Put back what a job sets for its whole process; inside, one thread as in a job."""
    threads, cudnn = torch.get_num_threads(), torch.backends.cudnn
    flags = cudnn.benchmark, cudnn.deterministic
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        cudnn.benchmark, cudnn.deterministic = flags
