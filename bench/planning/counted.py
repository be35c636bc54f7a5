"""Device time and memory counted from the operations of a network: no device is needed, torch is.

A multiplication with its addition are two operations. A gradient step of an attack is one pass
forward and one backward to the image; a training pass also computes the gradients of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from math import prod

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from bench.config.experiment import Experiment, Method, Model
from bench.config.schema import attempts
from bench.methods.base import create
from bench.models.base import build
from bench.planning.costs import GRADIENTS, QUERIES, ROBUST, Rates, method_kind
from bench.planning.sizes import FLOAT, Size
from bench.training.held_out import held_out
from bench.training.passes import count_passes

STEP = 2  # passes of a gradient step of an attack, each as many operations as one forward
TO_WEIGHTS = 2  # the same of a pass backward to the weights
TENSORS = 5  # of the size of the weights: weights, gradients, momentum, folded copy, best weights
BESIDE = 3  # the same of another network: weights, gradients, momentum


def counted_rates(experiment: Experiment, size: Size, tflops: float) -> Rates:
    """Return the rates of a device that computes `tflops` times 1e12 operations in a second.

    That is the rate reached, not a data sheet's: `bench perf` shows how far the two are apart.
    """
    seconds = {
        model.label: operations(_network(model, size), size) / (tflops * 1e12)
        for model in experiment.models
    }
    rates = Rates(devices={f"{tflops:g} TFLOP/s, as stated"})
    for method in experiment.methods:
        second = seconds[method.model.label]
        rates.training[method_kind(method)] = [second * _passes(experiment, method, size)]
    for model, second in seconds.items():
        rates.attacks |= {
            (model, "", "clean"): [second],
            (model, "", "pgd"): [STEP * second],
            (model, "", "autoattack"): [ROBUST * (STEP * GRADIENTS + QUERIES) * second],
        }
    return rates


def check_methods(experiment: Experiment, labels: Iterable[str]) -> None:
    """Make a step of each method on a network of a moment, before anything is trained for hours.

    Raises
    ------
    BenchError
        The method's own code fails; it names the file.
    """
    for label in labels:
        count_passes(experiment.train_spec(label, experiment.seeds[0]))


def operations(network: nn.Module, size: Size) -> int:
    """Return the operations of one pass of one image forward."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.zeros(1, *size.shape))
    return int(counter.get_total_flops())


def parameters(model: Model, size: Size) -> int:
    """Return the number of parameters of a network."""
    return sum(p.numel() for p in _network(model, size).parameters())


def device_bytes(experiment: Experiment, size: Size) -> int:
    """Return about how many bytes of device memory the largest training takes.

    Counted are images, weights with all that has their size, and the outputs of all layers, which
    wait for the backward pass; the allocator and the libraries take more.
    """
    images = (size.train + size.test) * prod(size.shape)
    return images + max(_training_bytes(method, size) for method in experiment.methods)


def _training_bytes(method: Method, size: Size) -> int:
    kind, recipe = create(method.name, method.options), method.training
    network = _network(method.model, size)
    tensors = TENSORS + BESIDE * len(kind.networks) + (recipe.weight_averaging is not None)
    outputs = recipe.batch_size * len(kind.passes) * _outputs(network, size)
    memory = size.train * prod(size.shape) if kind.memory else 0
    return FLOAT * (tensors * parameters(method.model, size) + outputs + memory)


@cache
def _network(model: Model, size: Size) -> nn.Module:
    return build(
        model.name,
        classes=size.classes,
        channels=size.shape[0],
        seed=0,
        width=model.width,
        normalization=model.normalization,
    ).eval()


def _passes(experiment: Experiment, method: Method, size: Size) -> float:
    """Return the work on one training image in one epoch, in passes forward."""
    recipe = method.training
    step = count_passes(experiment.train_spec(method.label, experiment.seeds[0]))
    work = step.forward + step.backward_to_images + TO_WEIGHTS * step.backward_to_weights
    held = held_out(recipe, size.train)
    attack = recipe.validation_attack
    selection = 1 + STEP * attack.steps * attempts(attack.loss)
    return work + selection * (held or size.test) / (size.train - held)


def _outputs(network: nn.Module, size: Size) -> int:
    """Return how many values all layers put out for one image."""
    counts: list[int] = []
    leaves = [module for module in network.modules() if not list(module.children())]
    hooks = [
        leaf.register_forward_hook(lambda _, __, out: counts.append(out.numel())) for leaf in leaves
    ]
    with torch.no_grad():
        network(torch.zeros(1, *size.shape))
    for hook in hooks:
        hook.remove()
    return sum(counts)
