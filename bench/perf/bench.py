"""What every measurement of one path shares: device, images, networks, and the device's ceiling."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.config.experiment import TrainSpec
from bench.data.dataset import Dataset, to_unit
from bench.models.base import build
from bench.numerics.device import convolutions, describe, keep_pages, prepare
from bench.perf.operations import Counting
from bench.perf.setup import Setup
from bench.planning.stopwatch import synthetic, timed
from bench.training.metrics import Tally
from bench.training.run import Run

COUNTED = 2  # images on which operations are counted: of every further one there are as many
PRODUCTS, TRIES = 4, 3
SETTLING = 32  # images that a network which was never trained has its batch-norm statistics from


class Task(Protocol):
    """Something to measure: made and warmed up once, measured as often as is asked for."""

    def measure(self) -> dict[str, Any]:
        """Return one measurement: "images" and "seconds", and what else the task tells."""
        ...


class Bench:
    """The process of one path.

    Parameters
    ----------
    setup
        What the process is told. It sets the device, the threads and the allocator of the process.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, self.route, self.settings = setup, setup.route, setup.settings
        self.device = prepare(setup.compute, pages=False)
        self.pages_kept = setup.compute.device == "cpu" and setup.route.pages and keep_pages()
        self.dtype: torch.dtype = getattr(torch, setup.route.precision)

    def machine(self) -> dict[str, Any]:
        """Return what is known of the machine here."""
        return {
            "device": describe(self.device),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if self.device.type == "cuda" else None,
            "threads": torch.get_num_threads(),
            "pages_kept": self.pages_kept,
            "tf32": self.setup.compute.tf32,
        }

    @cached_property
    def data(self) -> Dataset:
        """As many synthetic images as the experiment has for training."""
        size = self.setup.size
        return synthetic(size.shape, size.classes, size.train, size.classes)

    def run_spec(self, label: str) -> TrainSpec:
        """Return the spec of the method `label` on this path."""
        spec = self.setup.specs[label]
        shell = replace(
            spec.training,
            # OneCycle counts its steps: there must be more than are taken here.
            epochs=max(1000, spec.training.epochs),
            # Trains on every image and sets none apart.
            selection="test",
            engine=self.route.engine,
            precision=self.route.precision,
        )
        return replace(spec, training=shell)

    def run(self, label: str, kind: type[Run] = Run) -> Run:
        """Return a run of the method `label` with its memory filled, as in a second epoch."""
        return filled(kind(self.run_spec(label), self.data, self.device))

    def network(self) -> nn.Module:
        """Return a network whose batch-norms have statistics, as a trained one's have."""
        spec, size = next(iter(self.setup.specs.values())), self.setup.size
        model = build(
            spec.model.name,
            classes=size.classes,
            channels=size.shape[0],
            seed=spec.seed,
            width=spec.model.width,
        ).to(self.device)
        norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
        usual = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 1.0  # the statistics become those of this batch
        with torch.no_grad():
            model(self.images(SETTLING)[0])
        for norm, momentum in zip(norms, usual, strict=True):
            norm.momentum = momentum
        return model

    def images(self, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` images [N, C, H, W] in [0, 1] with labels, on the device."""
        place = torch.arange(count) % len(self.data.train)
        pixels, labels = self.data.train.pixels[place], self.data.train.labels[place]
        return to_unit(pixels.to(self.device)), labels.to(self.device)

    @contextmanager
    def timed(self) -> Iterator[list[float]]:
        """Lend a list that holds the seconds of the block; convolutions are as the path has them.

        That is PyTorch's own default on any path: TF32 where a CUDA device has it. Matrix products
        never use it, which is the default too.
        """
        with convolutions(tf32=self.setup.compute.tf32), timed(self.device) as spent:
            yield spent

    def ceiling(self) -> float:
        """Return the operations a second of a large matrix product, as precise as the path is.

        Where convolutions use TF32, so does this product.
        """
        first, second, product = self.matrices
        backend, rates = torch.backends.cuda.matmul, []
        before = backend.allow_tf32
        try:
            backend.allow_tf32 = self.setup.compute.tf32
            for _ in range(TRIES):
                with timed(self.device) as spent:
                    for _ in range(PRODUCTS):
                        torch.mm(first, second, out=product)
                rates.append(PRODUCTS * 2 * self.settings.product**3 / spent[0])
        finally:
            backend.allow_tf32 = before
        return statistics.median(rates)

    @cached_property
    def matrices(self) -> list[Tensor]:
        """Two factors and room for their product, which costs no new memory then.

        They are kept, so that their bytes can be left out of what a task needed on a CUDA device.
        Freed, they would leave cached blocks to the task or take them from it.
        """
        generator, side = torch.Generator().manual_seed(0), self.settings.product
        drawn = [torch.randn(side, side, generator=generator) for _ in range(3)]
        return [matrix.to(self.device, self.dtype) for matrix in drawn]

    def step_operations(self, label: str) -> int:
        """Return the operations of one training step for each image, counted on the plain path."""
        spec, size = self.run_spec(label), self.setup.size
        shell = replace(spec.training, batch_size=COUNTED, engine="plain", precision="float32")
        data = synthetic(size.shape, size.classes, COUNTED, 1)
        run = filled(Run(replace(spec, training=shell), data, self.device))
        counting = Counting()
        with counting:
            take(run, run.batches(2)[0], 0, Tally(self.device))
        return counting.total // COUNTED


def take(run: Run, index_B: Tensor, number: int, tally: Tally) -> None:
    """Take one training step of the second epoch."""
    run.step(run.images(2, number, index_B), run.labels_N[index_B], tally)


def filled(run: Run) -> Run:
    """Return `run` with every image in its memory; the perturbation is none, in no crop.

    It has no probe: of 50,000 images that follows less than one in a batch, of these few many.
    """
    run.probe = None
    if run.memory is not None:
        crop = run.spec.training.crop
        frame_N3 = run.memory.state_dict()["frame"]
        frame_N3.copy_(torch.tensor([crop, crop, 0]))
    return run
