"""What is measured where the command does not say, and what it says. Standard library only."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.config.experiment import Compute, Experiment, Model, TrainSpec, with_own_width
from bench.config.parsing import nearest, plain
from bench.perf.cpu import has_bfloat16
from bench.perf.setup import BY_METHOD, COARSE, ROUTES, TASKS, Route, Settings, Setup
from bench.planning.sizes import Size, size_of
from bench.runtime.errors import BenchError, ConfigError

# An image that withstands AutoAttack takes as long as hundreds of training images.
USUAL = {
    "cpu": Settings(
        rounds=2,
        autoattack_rounds=1,
        steps=1,
        epoch_batches=1,
        data_batches=50,
        pgd_images=32,
        attack_images=1,
        attack_batch=500,
        product=2048,
    ),
    "cuda": Settings(
        rounds=5,
        autoattack_rounds=2,
        steps=5,
        epoch_batches=50,
        data_batches=200,
        pgd_images=1000,
        attack_images=256,
        attack_batch=500,
        product=8192,
    ),
}
QUICK = Settings(
    rounds=2,
    autoattack_rounds=1,
    steps=1,
    epoch_batches=3,
    data_batches=4,
    pgd_images=8,
    attack_images=4,
    attack_batch=4,
    components=("apgd-ce",),
    product=64,
)
# The papers' batch where it takes a fraction of a second, and a quarter of it where it takes half
# a minute.
BATCH = {"cpu": 32, "cuda": 128}
QUICK_BATCH, QUICK_IMAGES = 8, 80


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """All that a command asks for."""

    experiment: Experiment
    methods: tuple[str, ...]
    recycling: str
    routes: tuple[Route, ...]
    tasks: tuple[str, ...]
    compute: Compute
    model: Model
    size: Size
    batch_size: int
    settings: Settings
    quick: bool

    def setup(self, route: Route) -> Setup:
        """Return what the process of `route` is told."""
        return Setup(
            route=route,
            compute=self.compute,
            settings=self.settings,
            size=self.size,
            eps=self.experiment.threat.eps,
            specs={label: self._spec(label) for label in self.methods},
        )

    def _spec(self, label: str) -> TrainSpec:
        method = self.experiment.method(label)
        return TrainSpec(
            method=method.name,
            options=method.options,
            seed=self.experiment.seeds[0],
            model=self.model,
            threat=self.experiment.threat,
            training=replace(method.training, batch_size=self.batch_size),
            compute=self.compute,
        )

    def jobs(self) -> list[tuple[str, str | None]]:
        """Return every task with the label of its method, in the order in which they run."""
        found: list[tuple[str, str | None]] = []
        for task in TASKS:
            if task not in self.tasks:
                continue
            if task in BY_METHOD:
                labels = [m for m in self.methods if task != "memory" or remembers(self, m)]
                found += [(task, label) for label in labels]
            elif task in ("pgd", "autoattack"):
                found.append((task, None))
            else:
                found.append((task, self.recycling))
            # On a CPU nothing is waited for, and the one is the other.
            if task == "autoattack" and self.compute.device == "cuda":
                found.append(("breakdown", None))
        return found

    def rounds(self, task: str) -> int:
        """Return how often `task` is measured on every path."""
        if task == "breakdown":
            return 1
        return self.settings.autoattack_rounds if task == "autoattack" else self.settings.rounds

    def plain(self) -> dict[str, Any]:
        """Return the settings for the record."""
        shell = self.experiment.method(self.recycling).training
        return {
            "experiment": self.experiment.experiment,
            "methods": {
                label: {"method": method.name, "options": plain(method.options)}
                for label, method in ((m, self.experiment.method(m)) for m in self.methods)
            },
            "model": self.model.label,
            "batch_size": self.batch_size,
            "image_shape": list(self.size.shape),
            "training_images": self.size.train,
            "eps": self.experiment.threat.eps,
            "attack_steps": shell.attack.steps,
            **plain(self.settings),
        }


def choose(chosen: argparse.Namespace, experiment: Experiment) -> Chosen:
    """Return what the command `chosen` asks for.

    Raises
    ------
    ConfigError
        A method or a path is unknown, or the model has no width.
    BenchError
        The images of the experiment are not known yet.
    """
    device = chosen.device or experiment.compute.device
    settings = QUICK if chosen.quick else USUAL[device]
    if chosen.repeats:
        settings = replace(settings, rounds=chosen.repeats, autoattack_rounds=chosen.repeats)
    given = {
        name: getattr(chosen, name) for name in ("epoch_batches", "attack_images", "attack_batch")
    }
    settings = replace(settings, **{name: value for name, value in given.items() if value})
    model = Model(name="small_cnn", width=4) if chosen.quick else experiment.model
    if chosen.width:
        model = replace(model, width=chosen.width)
    size = size_of(experiment, Path("results"))
    if size is None:
        raise BenchError(
            "the images of this config are not known yet: prepare them first with `python -m bench"
            f" data --config {chosen.config}`"
        )
    methods = tuple(dict.fromkeys(chosen.methods or _one_of_each(experiment)))
    batch_size = chosen.batch_size or (QUICK_BATCH if chosen.quick else BATCH[device])
    size = replace(size, train=QUICK_IMAGES) if chosen.quick else size
    if size.train < 2 * batch_size:
        raise BenchError(
            f"--batch-size {batch_size}: the {size.train} training images are less than two"
            " batches; lower it"
        )
    for label in methods:
        experiment.method(label)
    return Chosen(
        experiment=experiment,
        methods=methods,
        recycling=_recycling(experiment, methods),
        routes=_routes(device, chosen.paths),
        tasks=tuple(chosen.only or TASKS),
        compute=Compute(
            device=device,
            threads=chosen.threads or _threads(experiment, device, chosen.quick),
            tf32=device == "cuda",
        ),
        model=with_own_width(model),
        size=size,
        batch_size=batch_size,
        settings=settings,
        quick=chosen.quick,
    )


def remembers(chosen: Chosen, label: str) -> bool:
    """Say whether the method `label` keeps a memory, which it then has an option to store in."""
    return "storage" in chosen.experiment.method(label).options


def _threads(experiment: Experiment, device: str, quick: bool) -> int | None:
    if device == "cuda":
        return None
    # Threads of a tiny network wait for each other more than they compute.
    return 1 if quick else experiment.compute.threads or os.cpu_count() or 1


def _one_of_each(experiment: Experiment) -> list[str]:
    """Return the first label of each method."""
    found = {method.name: method.label for method in reversed(experiment.methods)}
    return [method.label for method in experiment.methods if method.label in found.values()]


def _recycling(experiment: Experiment, methods: Sequence[str]) -> str:
    """Return the label for epoch and data path: the first with a memory, where there is one."""
    with_memory = [m for m in methods if "storage" in experiment.method(m).options]
    return (with_memory or list(methods))[0]


def _routes(device: str, names: Sequence[str] | None) -> tuple[Route, ...]:
    """Return the paths that are named, or else those that make sense on the processor here."""
    known = {route.name: route for route in ROUTES[device]}
    if names is None and device == "cpu" and not has_bfloat16():
        del known[COARSE]
    for name in names or ():
        if name not in known:
            raise ConfigError(f"--paths: {name!r} is no path on {device}; {nearest(name, known)}")
    return tuple(route for name, route in known.items() if names is None or name in names)
