"""A trial of a few steps: what training and attacks take on this machine. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from bench.attacks.pgd import pgd
from bench.config.experiment import Experiment, Method
from bench.data.dataset import to_unit
from bench.evaluation.per_example import correct
from bench.evaluation.search import searched
from bench.numerics.device import convolutions, describe, prepare
from bench.numerics.seeding import stream
from bench.planning.costs import GRADIENTS, QUERIES, ROBUST, Rates, method_kind
from bench.planning.sizes import Size
from bench.planning.stopwatch import synthetic, timed
from bench.training.held_out import held_out
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.run import Run

STEPS = 2  # each of two epochs: the memory is empty in the first, and kernels are still loaded


def trial(experiment: Experiment, size: Size, tell: Callable[[str], None] = print) -> Rates:
    """Return rates measured on synthetic images of the right shape; nothing is written.

    The time of AutoAttack is computed from that of one gradient and one query, with half of the
    images robust.

    Raises
    ------
    BenchError
        The config's device is not here.
    """
    device = prepare(experiment.compute)
    rates = Rates(devices={describe(device)})
    runs: dict[str, Run] = {}
    for method in experiment.methods:
        kind = method_kind(method)
        if kind in rates.training:
            continue
        tell(f"trial of {method.label}")
        runs[method.model.label], seconds = _training(experiment, method, size, device)
        rates.training[kind] = [seconds]
    for model, run in runs.items():
        rates.parameters.add(sum(p.numel() for p in run.model.parameters()))
        gradient, query = _attack_costs(experiment, run, size, device)
        rates.attacks |= {
            (model, "", "clean"): [query],
            (model, "", "pgd"): [gradient],
            (model, "", "autoattack"): [ROBUST * (GRADIENTS * gradient + QUERIES * query)],
        }
    return rates


def _training(
    experiment: Experiment, method: Method, size: Size, device: torch.device
) -> tuple[Run, float]:
    """Return the run and its seconds for each training image and epoch, selection included."""
    held = held_out(method.training, size.train)
    selected_on = min(held or size.test, 2 * method.training.batch_size)
    images = STEPS * method.training.batch_size
    spec = experiment.train_spec(method.label, experiment.seeds[0])
    # OneCycle counts its steps: there must be more than are taken here.
    recipe = replace(
        spec.training, epochs=max(3, spec.training.epochs), validation_images=selected_on
    )
    train = images + (selected_on if held else 0)
    data = synthetic(size.shape, size.classes, train, selected_on)
    run = untrained(replace(spec, training=recipe), data, device)
    seconds = 0.0
    with convolutions(tf32=spec.compute.tf32):
        # The second as the last epoch, in which everything takes part that begins late.
        for epoch in (1, recipe.epochs):
            metrics = EpochMetrics(device)
            with timed(device) as spent:
                for number, index_B in enumerate(run.batches(epoch)):
                    run.step(epoch, number, index_B, metrics)
            seconds = spent[0] / images
        with timed(device) as spent:
            run.validate(run.engine.eval_model())
    selecting = spent[0] / selected_on * (held or size.test)
    return run, seconds + selecting / (size.train - held)


def _attack_costs(
    experiment: Experiment, run: Run, size: Size, device: torch.device
) -> tuple[float, float]:
    """Return the seconds of one gradient step and of one query of one image.

    They are taken on what an evaluation searches on, not on what the training's engine evaluates.
    """
    # As it is read from a file: an engine lays it out in its own way.
    loaded = run.model.to(memory_format=torch.contiguous_format)
    model = searched(loaded, experiment.evaluation.engine)
    count, steps = min(experiment.evaluation.batch_size, size.test), 2
    test = synthetic(size.shape, size.classes, 1, count).test
    images, labels = to_unit(test.pixels.to(device)), test.labels.to(device)
    eps = experiment.threat.eps
    gradient = query = 0.0
    for _ in range(2):  # the second is what counts: kernels are loaded in the first
        with timed(device) as spent, convolutions(tf32=run.spec.compute.tf32):
            pgd(
                model,
                images,
                labels,
                eps=eps,
                step=eps / 4,
                steps=steps,
                restarts=1,
                loss="ce",
                generator=stream(0, "trial", device=device),
            )
        gradient = spent[0] / (count * steps)
        with timed(device) as spent:
            correct(model, images, labels, count)
        query = spent[0] / count
    return gradient, query
