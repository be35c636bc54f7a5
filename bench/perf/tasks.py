"""What is timed on one engine: a training step, its attack, PGD and AutoAttack.

A task is made and warmed up once, which loads kernels, records CUDA graphs and folds networks, and
then measured as often as is asked for.

Shape suffixes: B images of a batch, N images attacked, C channels, H rows, W columns.
"""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks import autoattack as package
from bench.attacks.mode import evaluating
from bench.attacks.pgd import pgd as pgd_attack
from bench.data.dataset import Dataset, to_unit
from bench.evaluation.search import searched
from bench.numerics.device import convolutions, describe, prepare
from bench.numerics.seeding import stream
from bench.perf.setup import Setup
from bench.planning.stopwatch import synthetic, timed
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.run import Run

WARM_UP = {"cpu": 1, "cuda": 3}  # steps or attacks before the first measurement
# So near that no image falls: AutoAttack drops a fallen image, and its cost would be by chance.
NEAR = 1e-6
PGD_STEPS = 20
ATTACKED = 500  # images at a time, of PGD and AutoAttack

# Makes one measurement: "images" and "seconds", and what else its task tells.
Measure = Callable[[], dict[str, Any]]


class Bench:
    """The engine `engine` on the device of `setup`; it sets the threads of the process."""

    def __init__(self, engine: str, setup: Setup) -> None:
        self.engine, _, precision = engine.partition("-")
        self.precision: Any = precision or "float32"
        self.setup, self.settings = setup, setup.settings
        self.device = prepare(setup.compute)
        self.warmup = WARM_UP[self.device.type]
        self._measure: Measure | None = None

    def machine(self) -> dict[str, Any]:
        """Return what is known of the machine here."""
        return {
            "device": describe(self.device),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
        }

    def prepare(self, task: str, label: str | None) -> None:
        """Make and warm up `task`, for the method `label` where it depends on one."""
        # The last task's maps and recordings are freed before there are new ones.
        self._measure = None
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self._measure = KINDS[task](self, label or next(iter(self.setup.specs)))

    def measure(self) -> dict[str, Any]:
        """Return one measurement of the task that is prepared, with the peak memory so far."""
        assert self._measure is not None
        return {**self._measure(), "peak_mb": self._peak_mb()}

    def _peak_mb(self) -> float:
        """Return the most memory so far, in 1e6 bytes: the task's on CUDA, the process's on a CPU.

        On CUDA it is what the allocator took from the device: what tensors held would leave out the
        private pool of a CUDA graph, which nothing else can use between its replays.
        """
        if self.device.type == "cuda":
            return torch.cuda.max_memory_reserved(self.device) / 1e6
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak * (1 if sys.platform == "darwin" else 1024) / 1e6

    def seconds(self, work: Callable[[], None]) -> float:
        """Return how long `work` takes; the device is waited for before and after it.

        TF32 is as PyTorch itself has it: in convolutions on a CUDA device, never in matrix
        products.
        """
        with convolutions(tf32=self.setup.compute.tf32), timed(self.device) as spent:
            work()
        return spent[0]

    @cached_property
    def data(self) -> Dataset:
        """As many synthetic images as the experiment has for training."""
        size = self.setup.size
        return synthetic(size.shape, size.classes, size.train, size.classes)

    def images(self, count: int) -> tuple[Tensor, Tensor]:
        """Return `count` images [N, C, H, W] in [0, 1] with labels, on the device."""
        index = torch.arange(count) % len(self.data.train)
        pixels, labels = self.data.train.pixels[index], self.data.train.labels[index]
        return to_unit(pixels.to(self.device)), labels.to(self.device)

    def run(self, label: str) -> Run:
        """Return a run of the method `label` as in a second epoch.

        Its memory has every image with no perturbation. It follows no image for the metrics of
        forgetting: of 50,000 that is one in a batch, of these few it would be many.
        """
        spec = self.setup.specs[label]
        training = replace(
            spec.training,
            # OneCycle counts its steps: there must be more than are taken here.
            epochs=max(1000, spec.training.epochs),
            # Trains on every image and sets none apart.
            checkpoint_selection="test",
            engine=self.engine,  # type: ignore[arg-type]
            precision=self.precision,
        )
        run = untrained(replace(spec, training=training), self.data, self.device)
        run.probe = None
        if run.memory is not None:
            # The middle of the crop, not mirrored.
            middle = torch.tensor([training.crop_padding, training.crop_padding, 0])
            run.memory.state_dict()["frame"].copy_(middle)
        settle(run.model, self.images(training.batch_size)[0])
        return run

    def network(self, label: str) -> nn.Module:
        """Return the network that an evaluation with this engine searches on."""
        return searched(self.run(label).model, self.engine)


def step(bench: Bench, label: str) -> Measure:
    """Time training steps of a method: loading, attack, outer loss and update.

    "loading" are the seconds of loading the same batches alone; "loss" is that of the first step,
    on the same weights, images and noise on every engine.
    """
    run, metrics = bench.run(label), EpochMetrics(bench.device)
    batches = cycle(full(run))
    losses = []

    def take(chosen: list[Tensor]) -> None:
        for index_B in chosen:
            run.step(2, 0, index_B, metrics)

    def load(chosen: list[Tensor]) -> None:
        for index_B in chosen:
            run.engine.to_memory_format(run.clean(2, index_B)[1])

    for _ in range(bench.warmup):
        bench.seconds(partial(take, [next(batches)]))
        losses.append(metrics.latest_loss())

    def measure() -> dict[str, Any]:
        chosen = list(islice(batches, bench.settings.steps))
        return {
            "images": sum(map(len, chosen)),
            "seconds": bench.seconds(partial(take, chosen)),
            "loading": bench.seconds(partial(load, chosen)),
            "loss": losses[0],
        }

    return measure


def attack(bench: Bench, label: str) -> Measure:
    """Time the attack that a method trains against, alone."""
    run = bench.run(label)
    index_B = full(run)[0]
    assert run.method.attack is not None  # asked only of methods that have one

    def repeat(times: int) -> None:
        for _ in range(times):
            run.begin(2, 0, index_B).attack()

    bench.seconds(partial(repeat, bench.warmup))
    times = bench.settings.steps
    images = times * len(index_B)
    return lambda: {"images": images, "seconds": bench.seconds(partial(repeat, times))}


def pgd(bench: Bench, label: str) -> Measure:
    """Time PGD-20 from one uniform start."""
    model, eps = bench.network(label), bench.setup.specs[label].threat.eps
    images_NCHW, labels_N = bench.images(bench.settings.pgd_images)
    parts = list(
        zip(torch.split(images_NCHW, ATTACKED), torch.split(labels_N, ATTACKED), strict=True)
    )

    def run(steps: int) -> None:
        generator = stream(0, "pgd", device=bench.device)
        options = {"eps": eps, "step": eps / 4, "steps": steps, "generator": generator}
        for images, labels in parts:
            pgd_attack(model, images, labels, **options)  # type: ignore[arg-type]

    bench.seconds(partial(run, 1))
    return lambda: {"images": len(labels_N), "seconds": bench.seconds(partial(run, PGD_STEPS))}


def autoattack(bench: Bench, label: str) -> Measure:
    """Time AutoAttack by its reference package, on images that stay robust to the end.

    Labels are the network's own predictions and the radius is `NEAR`; "robust" counts the images
    that stayed so.
    """
    model, settings = bench.network(label), bench.settings
    images_NCHW, _ = bench.images(settings.attack_images)
    with evaluating(model), torch.no_grad(), convolutions(tf32=bench.setup.compute.tf32):
        parts = torch.split(images_NCHW, ATTACKED)
        labels_N = torch.cat([model(part).argmax(dim=1) for part in parts])
    robust = []

    def run() -> None:
        result = package.run_standard(
            model,
            images_NCHW,
            labels_N,
            eps=NEAR,
            seed=0,
            batch_size=ATTACKED,
            device=bench.device,
            components=settings.components,
        )
        robust.append(int(result.robust.sum()))

    return lambda: {
        "images": len(labels_N),
        "seconds": bench.seconds(run),
        "robust": robust[-1],
    }


KINDS = {"step": step, "attack": attack, "pgd": pgd, "autoattack": autoattack}


def full(run: Run) -> list[Tensor]:
    """Return the batches of the second epoch that are full."""
    size = run.spec.training.batch_size
    return [index_B for index_B in run.batches(2) if len(index_B) == size]


def settle(model: nn.Module, images: Tensor) -> None:
    """Give the batch-norms of `model` the statistics of `images`, as training would."""
    norms = [part for part in model.modules() if isinstance(part, nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(images)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
