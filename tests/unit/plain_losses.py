"""The objectives once more, from their equations, in plain floats: loops, no tensors, no autograd.

Tests hold the suite's objectives against these values and against their slopes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Row = Sequence[float]
Rows = Sequence[Row]


def softmax(z: Row) -> list[float]:
    top = max(z)
    weights = [math.exp(value - top) for value in z]
    return [weight / sum(weights) for weight in weights]


def log_softmax(z: Row) -> list[float]:
    top = max(z)
    log_sum = top + math.log(sum(math.exp(value - top) for value in z))
    return [value - log_sum for value in z]


def kl(p_logits: Row, q_logits: Row) -> float:
    """KL(P || Q): the expectation is under the first argument."""
    result = 0.0
    for p, log_p, log_q in zip(
        softmax(p_logits), log_softmax(p_logits), log_softmax(q_logits), strict=True
    ):
        result += p * (log_p - log_q)
    return result


def cross_entropy(z: Row, label: int) -> float:
    return -log_softmax(z)[label]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def trades(clean: Rows, adversarial: Rows, labels: Sequence[int], *, beta: float) -> float:
    accuracy_term = mean([cross_entropy(a, y) for a, y in zip(clean, labels, strict=True)])
    return accuracy_term + beta * mean([kl(a, b) for a, b in zip(clean, adversarial, strict=True)])


def mart(clean: Rows, adversarial: Rows, labels: Sequence[int], *, beta: float) -> float:
    losses = []
    for a, b, y in zip(clean, adversarial, labels, strict=True):
        p, q = softmax(a), softmax(b)
        rival = max(q[k] for k in range(len(q)) if k != y)
        boosted = cross_entropy(b, y) - math.log(1.0001 - rival + 1e-12)
        distance = 0.0
        for k in range(len(p)):
            distance += p[k] * (log_softmax(a)[k] - math.log(q[k] + 1e-12))
        losses.append(boosted + beta * distance * (1.0000001 - p[y]))
    return mean(losses)


def memloss(
    clean: Rows,
    adversarial: Rows,
    memory: Rows,
    labels: Sequence[int],
    *,
    variant: str,
    beta: float,
    memory_beta: float,
    weight: str = "A",
) -> float:
    remembered = []
    for a, b, m, y in zip(clean, adversarial, memory, labels, strict=True):
        if variant == "v1":
            factor = {"A": 1.0000001 - softmax(m)[y], "F": 1.0000001 - softmax(a)[y], "none": 1.0}
            remembered.append(factor[weight] * kl(a, m))
        elif variant == "v2":
            remembered.append(kl(a, m))
        elif variant == "v3":
            remembered.append(kl(m, b))
    return trades(clean, adversarial, labels, beta=beta) + memory_beta * mean(remembered)


def slopes(value: Callable[..., float], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return the central differences of `value`, called with lists, along every entry."""
    width = 1e-5
    result = []
    for which, tensor in enumerate(tensors):
        slope = torch.zeros_like(tensor)
        for place in range(tensor.numel()):
            ends = []
            for sign in (1, -1):
                moved = [other.detach().clone() for other in tensors]
                moved[which].view(-1)[place] += sign * width
                ends.append(value(*[other.tolist() for other in moved]))
            slope.view(-1)[place] = (ends[0] - ends[1]) / (2 * width)
        result.append(slope)
    return result


def logits(*, seed: int, images: int = 3, classes: int = 4, scale: float = 2.0) -> Tensor:
    """Return logits in double precision, from which a gradient can be asked."""
    generator = torch.Generator().manual_seed(seed)
    drawn = scale * torch.randn(images, classes, generator=generator, dtype=torch.float64)
    return drawn.requires_grad_()


def assert_same(objective: Tensor, plain: Callable[..., float], tensors: Sequence[Tensor]) -> None:
    """Check the value of `objective` and its gradient through every one of `tensors`."""
    expected = plain(*[tensor.tolist() for tensor in tensors])
    torch.testing.assert_close(
        objective.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=1e-12
    )
    gradients = torch.autograd.grad(objective, tensors)
    for gradient, slope in zip(gradients, slopes(plain, tensors), strict=True):
        torch.testing.assert_close(gradient, slope, rtol=1e-5, atol=1e-8)
