"""Measurements of training: a step, an epoch with its data path, the data path, the memory.

Shape suffixes: B images of a batch.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor

from bench.attacks.inner import Budget, InnerAttack
from bench.engine.choose import create as create_engine
from bench.perf.bench import COUNTED, Bench, take
from bench.perf.operations import Counting
from bench.training.metrics import Tally
from bench.training.run import Run

WARM_UP = 3  # steps before the first measurement on a CUDA device, which loads kernels in them
REPEATS = 5  # of what takes a few milliseconds


class Step:
    """Whole training steps of one method: views, attack, outer loss and update."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.run = bench, bench.run(label)
        self.operations = bench.step_operations(label)
        self.batches = cycle(whole(self.run))
        warm_up(bench, self.run, next(self.batches))
        bench.ceiling()

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`; "operations" of all images, "ceiling" in operations a second."""
        chosen = list(islice(self.batches, self.bench.settings.steps))
        tally, images = Tally(self.bench.device), sum(map(len, chosen))
        with self.bench.timed() as spent:
            for number, index_B in enumerate(chosen):
                take(self.run, index_B, number, tally)
        return {
            "images": images,
            "seconds": spent[0],
            "operations": images * self.operations,
            "ceiling": self.bench.ceiling(),
        }


class Epoch:
    """A short epoch of one method, loading included.

    The step on the first batch is left out. A DataLoader starts its processes with it and loads
    ahead, and a process that was forked is slowed down while it writes to pages that it shares for
    the first time: once in an epoch, but this epoch is short.
    """

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.run = bench, bench.run(label, kind_of_run(bench))
        self.count = min(bench.settings.epoch_batches, len(whole(self.run)) - 1)
        batches = loaded(self.run)
        warm_up(bench, self.run, next(batches))
        batches.close()

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`."""
        tally, images, batches = Tally(self.bench.device), 0, loaded(self.run)
        with self.bench.timed():
            take(self.run, next(batches), 0, tally)
        with self.bench.timed() as spent:
            for number, index_B in enumerate(islice(batches, self.count), start=1):
                take(self.run, index_B, number, tally)
                images += len(index_B)
        batches.close()
        return {"images": images, "seconds": spent[0]}


class Data:
    """The data path alone: from stored images to views on the device, in the engine's layout."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.run = bench, bench.run(label, kind_of_run(bench))
        self.count = min(bench.settings.data_batches, len(whole(self.run)) - 1)
        self.measure()

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`; the first batch, with which a DataLoader starts, is left out."""
        images, batches = 0, loaded(self.run)
        next(batches)
        with self.bench.timed() as spent:
            for index_B in islice(batches, self.count):
                _, views_BCHW = self.run.clean(2, index_B)
                self.run.engine.lay_out(views_BCHW)
                images += len(index_B)
        batches.close()
        return {"images": images, "seconds": spent[0]}


class Memory:
    """What remembering costs in a step: recalling x'' and storing x', and the bytes kept."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.run = bench, bench.run(label)
        assert self.run.memory is not None  # asked only of methods that have one
        self.memory = self.run.memory
        self.index_B = whole(self.run)[0]
        self.frame, clean_BCHW = self.run.clean(2, self.index_B)
        self.clean_BCHW = self.run.engine.lay_out(clean_BCHW)
        self.measure()

    def measure(self) -> dict[str, Any]:
        """See `Task.measure`; "bytes" of the whole memory."""
        index_B, clean_BCHW = self.index_B, self.clean_BCHW
        with self.bench.timed() as spent:
            for _ in range(REPEATS):
                recalled_BCHW = self.memory.recall(index_B, self.frame, clean_BCHW)
                self.run.engine.lay_out(recalled_BCHW)
                self.memory.store(index_B, self.frame, clean_BCHW, clean_BCHW)
        kept = sum(part.nbytes for part in self.memory.state_dict().values())
        return {"images": REPEATS * len(index_B), "seconds": spent[0], "bytes": kept}


class Attack:
    """The attack of TRADES and MemLoss alone: its forward and backward passes."""

    def __init__(self, bench: Bench, label: str) -> None:
        self.bench, self.spec = bench, bench.run_spec(label)
        self.attack = InnerAttack(loss="kl", start="gaussian")
        ascent = self.spec.training.attack
        self.budget = Budget(eps=self.spec.threat.eps, step=ascent.length, steps=ascent.steps)
        self.operations = self._operations()
        self.engine = create_engine(
            bench.route.engine, bench.network(), precision=bench.route.precision
        )
        images, self.labels_B = bench.images(self.spec.training.batch_size)
        self.images_BCHW = self.engine.lay_out(images)
        self.noise_BCHW = self._noise(images)
        with bench.timed():
            self._once(1 if bench.device.type == "cpu" else self.budget.steps)
        bench.ceiling()

    def measure(self) -> dict[str, Any]:
        """See `Step.measure`."""
        count = self.bench.settings.steps
        images = count * len(self.images_BCHW)
        with self.bench.timed() as spent:
            for _ in range(count):
                self._once(self.budget.steps)
        return {
            "images": images,
            "seconds": spent[0],
            "operations": images * self.operations,
            "ceiling": self.bench.ceiling(),
        }

    def _once(self, steps: int) -> None:
        budget = replace(self.budget, steps=steps)
        self.engine.attack(self.attack, self.images_BCHW, self.labels_B, budget, self.noise_BCHW)

    def _noise(self, images: Tensor) -> Tensor:
        generator = torch.Generator(self.bench.device).manual_seed(0)
        return self.attack.noise(images.shape, eps=self.budget.eps, generator=generator)

    def _operations(self) -> int:
        """Return the operations for each image, counted on the network itself."""
        images, labels = self.bench.images(COUNTED)
        model, counting = self.bench.network(), Counting()
        with counting:
            self.attack(model, images, labels, self.budget, self._noise(images))
        return counting.total // COUNTED


def whole(run: Run) -> list[Tensor]:
    """Return the batches of the second epoch that are full."""
    size = run.spec.training.batch_size
    return [index_B for index_B in run.batches(2) if len(index_B) == size]


def kind_of_run(bench: Bench) -> type[Run]:
    """Return the run that loads images as the path does."""
    if bench.route.engine != "plain":
        return Run
    # It needs torchvision, which other paths do without.
    from bench.perf.loader import LoaderRun

    return LoaderRun


def loaded(run: Run) -> Generator[Tensor]:
    """Give the batches of an epoch as `run` loads them."""
    from_loader = getattr(run, "loaded", None)
    if from_loader is not None:
        yield from from_loader()
    else:
        yield from run.batches(2)


def warm_up(bench: Bench, run: Run, index_B: Tensor) -> None:
    """Take steps until the first measured one is like all others."""
    spec, tally = run.spec, Tally(bench.device)
    with bench.timed():
        if bench.device.type == "cuda":
            # In full, because an attack is recorded with its number of steps.
            for number in range(WARM_UP):
                take(run, index_B, number, tally)
        else:
            # One gradient touches all memory that ten do.
            brief = replace(spec.training.attack, steps=1)
            run.spec = replace(spec, training=replace(spec.training, attack=brief))
            take(run, index_B, 0, tally)
            run.spec = spec
