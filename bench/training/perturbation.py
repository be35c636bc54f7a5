"""Adversarial weight perturbation: gradients at weights that are moved against the objective.

Wu et al. 2020, arXiv:2004.05884. With L the method's own objective on the images of the step, each
weight tensor w of a layer (batch-norms and biases have none) is moved by

    w + gamma * ||w|| * g / ||g||,    g = dL/dw

and the update is made of the gradient there. The weights are put back before the optimizer's step,
so weight decay acts on w itself; the authors' code steps first, which differs by gamma in the decay
alone. Batch-norm's statistics come from the second course of passes only, as in the authors' code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

TINY = 1e-20


def layer_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of `model` that are perturbed: those of its layers."""
    return [weight for weight in model.parameters() if weight.ndim > 1]


def layer_gradients(model: nn.Module, loss: Tensor) -> tuple[Tensor, ...]:
    """Return the gradient of `loss` for each of `layer_weights`."""
    return torch.autograd.grad(loss, layer_weights(model))


@contextmanager
def perturbed(model: nn.Module, gradients: Iterable[Tensor], gamma: float) -> Iterator[None]:
    """Move `layer_weights` along `gradients`; afterwards they have their own values back."""
    weights = layer_weights(model)
    before = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight.add_(gradient * (gamma * weight.norm() / (gradient.norm() + TINY)))
        yield
    finally:
        with torch.no_grad():
            for weight, value in zip(weights, before, strict=True):
                weight.copy_(value)
