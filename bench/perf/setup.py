"""What is measured: tasks, engines, how often and on how many images. Standard library only."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace

from bench.config.experiment import Compute, Experiment, Model, TrainSpec
from bench.config.parsing import nearest
from bench.planning.sizes import Size, size_of
from bench.results.paths import Paths
from bench.results.records import DataRecord
from bench.runtime.errors import BenchError, ConfigError

# In the order in which they run: two of each method, and two of a network.
TASKS = ("step", "attack", "pgd", "autoattack")
REFERENCE = "eager"
# `training.engine`, with `training.precision` where that is not float32. A CPU without
# instructions for bfloat16 computes in it many times slower: there it must be named.
ENGINES = {
    "cpu": ("eager", "folded"),
    "cuda": ("eager", "folded", "cuda_graph", "folded-bfloat16", "cuda_graph-bfloat16"),
}
NAMED = {"cpu": ("folded-bfloat16",), "cuda": ()}
EVALUATING = ("eager", "folded")  # evaluation has neither CUDA graphs nor bfloat16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is measured.

    Attributes
    ----------
    rounds
        How often each engine is measured on each task.
    steps
        Training steps, or attacks on a batch, of one measurement.
    batch_size
        Of training.
    pgd_images, attack_images
        Images that PGD and AutoAttack attack; the latter with `components`.
    """

    rounds: int
    steps: int
    batch_size: int
    pgd_images: int
    attack_images: int
    components: tuple[str, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")


# The papers' batch where it takes a fraction of a second, and a quarter of it where it takes half
# a minute. A robust image costs AutoAttack as much as hundreds of training images.
DEFAULTS = {
    "cpu": Settings(rounds=2, steps=1, batch_size=32, pgd_images=32, attack_images=1),
    "cuda": Settings(rounds=5, steps=10, batch_size=128, pgd_images=1000, attack_images=128),
}
QUICK = Settings(
    rounds=2, steps=1, batch_size=8, pgd_images=8, attack_images=4, components=("apgd-ce",)
)
QUICK_IMAGES = 80


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What one command measures; `specs` by the label of the method."""

    engines: tuple[str, ...]
    tasks: tuple[str, ...]
    specs: dict[str, TrainSpec]
    compute: Compute
    size: Size
    settings: Settings
    quick: bool

    def jobs(self) -> list[tuple[str, str | None]]:
        """Return every task with the label of its method, None where it depends on none."""
        # Standard training attacks nothing.
        attackers = [label for label, spec in self.specs.items() if spec.method != "standard"]
        labels = {"step": list(self.specs), "attack": attackers}
        return [(t, label) for t in TASKS if t in self.tasks for label in labels.get(t, [None])]

    def asked(self, task: str) -> tuple[str, ...]:
        """Return the engines that `task` is measured on."""
        training = task in ("step", "attack")
        return tuple(name for name in self.engines if training or name in EVALUATING)


def choose(chosen: argparse.Namespace, experiment: Experiment) -> Setup:
    """Return what the command `chosen` asks for.

    Raises
    ------
    ConfigError
        A method or an engine is unknown.
    BenchError
        The images of the experiment are not known yet, or fewer than a batch.
    """
    device, quick = chosen.device or experiment.compute.device, chosen.quick
    settings = QUICK if quick else DEFAULTS[device]
    given = {name: getattr(chosen, name) for name in ("rounds", "batch_size", "attack_images")}
    settings = replace(settings, **{name: value for name, value in given.items() if value})
    about = DataRecord.find(Paths.of(experiment.experiment).data_record)
    size = size_of(experiment, about)
    if size is None:
        raise BenchError(
            "the images of this config are not known yet: prepare them first with `python -m bench"
            f" data --config {chosen.config}`"
        )
    size = replace(size, train=QUICK_IMAGES) if quick else size
    if size.train < settings.batch_size:
        raise BenchError(
            f"--batch-size {settings.batch_size}: there are {size.train} training images; lower it"
        )
    # Threads of a tiny network wait for each other more than they compute.
    usual = 1 if quick else experiment.compute.threads or os.cpu_count() or 1
    threads = None if device == "cuda" else chosen.threads or usual
    # TF32 as PyTorch itself has it.
    compute = Compute(device=device, threads=threads, tf32=device == "cuda")
    specs = {}
    for label in chosen.methods or _one_of_each(experiment):
        method = experiment.method(label)
        specs[label] = TrainSpec(
            method=method.name,
            options=method.options,
            seed=experiment.seeds[0],
            model=Model(name="small_cnn", width=4) if quick else method.model,
            threat=experiment.threat,
            training=replace(method.training, batch_size=settings.batch_size),
            compute=compute,
        )
    return Setup(
        engines=_engines(device, chosen.engines),
        tasks=tuple(chosen.only or TASKS),
        specs=specs,
        compute=compute,
        size=size,
        settings=settings,
        quick=quick,
    )


def _engines(device: str, names: list[str] | None) -> tuple[str, ...]:
    known = (*ENGINES[device], *NAMED[device])
    for name in names or ():
        if name not in known:
            raise ConfigError(
                f"--engines: unknown engine {name!r} on {device}; {nearest(name, known)}"
            )
    # In one order, with the reference first.
    return tuple(name for name in known if name in (names or ENGINES[device]))


def _one_of_each(experiment: Experiment) -> list[str]:
    """Return the first label of each method."""
    first = {method.name: method.label for method in reversed(experiment.methods)}
    return [method.label for method in experiment.methods if method.label in first.values()]
