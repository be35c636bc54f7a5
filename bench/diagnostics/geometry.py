"""The loss around an image: its gradient, how far it departs from its tangent, a picture of it.

Shape suffixes: N images, B of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attacks.linf import ascend, uniform_noise
from bench.diagnostics.checks import Outcome, share
from bench.diagnostics.target import EvaluationTarget

SEARCH = 10  # gradients spent on finding where the loss departs most from its tangent
# What separates a sure answer from a coin toss, in nats.
COIN = math.log(2)
SIDE = 21  # points along each direction of a picture


@dataclass(frozen=True, eq=False)
class Surface:
    """Losses [SIDE, SIDE] on a plane through one image, and where the network is right.

    Rows are steps along the sign of the gradient, columns along random signs; both run from -1 to
    1 in units of the radius.
    """

    index: int
    label: int
    losses: Tensor
    right: Tensor


def gradient(loss: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses [B] at `images` and their gradient [B, C, H, W] there."""
    with torch.enable_grad():
        point = images.detach().clone().requires_grad_()
        losses_B = loss(point)
        (slope,) = torch.autograd.grad(losses_B.sum(), point)
    return losses_B.detach(), slope


def zero_gradient(target: EvaluationTarget) -> tuple[Outcome, Tensor]:
    """Return how many images give an attack no direction, and which, bool [N] on the CPU.

    The gradient of their cross-entropy is zero in every pixel, or not finite.
    """
    found = []
    for images, labels, _ in target.batches():
        _, slope = gradient(target.loss(labels), images)
        flat = slope.flatten(1)
        found.append((flat == 0).all(dim=1) | ~flat.isfinite().all(dim=1))
    flat_N = torch.cat(found).cpu()
    return share("zero_gradient", int(flat_N.sum()), len(flat_N)), flat_N


def departure(target: EvaluationTarget, images: Tensor, labels: Tensor, noise: Tensor) -> Tensor:
    """Return how far the loss departs from its tangent within the ball, [B], in nats.

    The largest |l(x + d) - l(x) - d . grad l(x)| that a few signed gradient steps from x + `noise`
    find, d within eps and x + d in [0, 1]: gamma of Qin et al. 2019, arXiv:1907.02610.
    """
    loss = target.loss(labels)
    losses_B, slope = gradient(loss, images)

    def error(moved: Tensor) -> Tensor:
        tangent_B = losses_B + ((moved - images) * slope).flatten(1).sum(dim=1)
        return (loss(moved) - tangent_B).abs()

    worst = ascend(
        error,
        images,
        (images + noise).clamp(0.0, 1.0),
        eps=target.eps,
        step=target.eps / 4,
        steps=SEARCH,
    )
    with torch.no_grad():
        return error(worst)


def linearity(target: EvaluationTarget) -> tuple[Outcome, Tensor]:
    """Return how many images resist FGSM though the loss departs from its tangent, and by what.

    The departures are those of all images, [N] in nats.

    An image counts that FGSM does not break and around which the loss is off its tangent by more
    than log 2 nats: one step along the gradient cannot know what is there. Where logits are linear
    in the ball no image that FGSM leaves with a sure answer can count. After catastrophic
    overfitting (Wong et al. 2020, arXiv:2001.03994) most do.
    """
    counts, departures = 0, []
    for images, labels, generator in target.batches():
        noise = uniform_noise(images.shape, eps=target.eps, generator=generator)
        departures_B = departure(target, images, labels, noise)
        right_B, _ = target.evaluated(images, labels)
        robust_B, _ = target.evaluated(target.one_step(images, labels, target.eps), labels)
        counts += int((right_B & robust_B & ~(departures_B <= COIN)).sum())
        departures.append(departures_B)
    return share("linearity", counts, len(target.images)), torch.cat(departures).cpu()


def surfaces(target: EvaluationTarget, count: int) -> list[Surface]:
    """Return pictures of the loss around the first `count` images that are right unattacked.

    Where fewer are right, wrong ones make up the number. Directions are the sign of the gradient
    at the image and random signs; what leaves [0, 1] is put back to its border.
    """
    found = []
    ticks = torch.linspace(-1, 1, SIDE, device=target.images.device) * target.eps
    chosen = target.right().logical_not().int().argsort(stable=True)[:count].tolist()
    _, _, generator = next(target.batches())
    for index in chosen:
        image, label = target.images[index], target.labels[index]
        _, slope = gradient(target.loss(label[None]), image[None])
        aside = uniform_noise(image.shape, eps=1.0, generator=generator).sign()
        along = ticks[:, None, None, None, None] * slope[0].sign()
        plane = (image + along + ticks[None, :, None, None, None] * aside).clamp(0.0, 1.0)
        evaluated = [
            target.evaluated(points, label.expand(len(points)))
            for points in torch.split(plane.flatten(0, 1), target.batch_size)
        ]
        right, losses = (
            torch.cat(part).reshape(SIDE, SIDE).cpu() for part in zip(*evaluated, strict=True)
        )
        found.append(Surface(index, int(label), losses, right))
    return found
