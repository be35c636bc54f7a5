"""Whether gradients tell what the network does, and whether cross-entropy passes them on.

Shape suffixes: N images, B of a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.attacks.linf import ascend, uniform_noise
from bench.attacks.losses import cross_entropy, of_class, strongest_rival
from bench.diagnostics.checks import Outcome, share
from bench.diagnostics.geometry import gradient
from bench.diagnostics.target import EvaluationTarget, compared

# Length of a step that a gradient must predict, in units of the radius. Rounding drowns a shorter
# one where a network is in half precision, and curvature bends a longer one.
LENGTH = 0.1
DIRECTIONS = 4  # of random signs
WRONG = 0.5  # error, in units of the larger of the change that is predicted and the one found
# A step ten times as long makes about ten times the change where a function is smooth, less where
# it ripples or jumps often, and more where the shorter step meets no jump.
SMOOTH = (6.0, 16.0)

SPREAD = 10.0  # nats between the logits of an image within which no probability rounds to 1
AVERAGED = 8  # points of each average
FACTOR = 2.0**10  # a power of two: it changes no digit of a gradient, but float16 can hold it


def gradient_wrong(target: EvaluationTarget) -> tuple[Outcome, bool]:
    """Return for how many images the gradient does not predict small steps, and whether it jumps.

    The gradient of the margin at a random point of the ball is held against central differences
    along random signs. An image counts where the root-mean-square error is large, and not for a
    bend alone: the error is large along shorter steps too, or changes do not grow with the length
    of a step as those of a smooth function do. The network jumps where that is so of most images.
    """
    count, jumping = 0, 0
    for images, labels, generator in target.batches():
        length = LENGTH * target.eps
        noise = uniform_noise(images.shape, eps=target.eps, generator=generator)
        # Reflected at 0 and 1, because equal pixels put a maximum on a kink, and shrunk, so that
        # no step leaves [0, 1].
        middle = 1 - (1 - (images + noise).abs()).abs()
        middle = length + (1 - 2 * length) * middle
        error_B, change_B = _error(target, middle, labels, length, generator)
        shorter_error_B, shorter_B = _error(target, middle, labels, length / 10, generator)
        growth_B = change_B / shorter_B
        jumps_B = ~((growth_B >= SMOOTH[0]) & (growth_B <= SMOOTH[1]))
        wrong_B = (error_B > WRONG) & ((shorter_error_B > WRONG) | jumps_B)
        count += int(wrong_B.sum())
        jumping += int((wrong_B & jumps_B).sum())
    return share("gradient_wrong", count, len(target.images)), 2 * jumping > count


def scale_stronger(target: EvaluationTarget, robust: Tensor) -> Outcome:
    """Return whether PGD breaks more with the loss of `rescaled` logits.

    `robust` [N] is what one restart of PGD leaves; this one differs in nothing but the loss.
    """

    def attacked(images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        noise = uniform_noise(images.shape, eps=target.eps, generator=rng)
        return _ascent(target, rescaled(target, labels), images, noise)

    return compared("scale_stronger", target.robust_to(attacked), robust)


def averaged_stronger(target: EvaluationTarget, robust: Tensor) -> Outcome:
    """Return whether PGD breaks more where each gradient is an average over nearby points.

    `robust` [N] is what one restart of PGD leaves. The points are drawn anew at each step, so
    that the average is over the noise of a random network too (Athalye et al. 2018).
    """

    def attacked(images: Tensor, labels: Tensor, rng: torch.Generator) -> Tensor:
        def nearby() -> Tensor:
            return uniform_noise(images.shape, eps=target.eps, generator=rng)

        def loss(points: Tensor) -> Tensor:
            seen = [(points + nearby()).clamp(0.0, 1.0) for _ in range(AVERAGED)]
            return torch.stack([target.loss(labels)(point) for point in seen]).sum(dim=0)

        return _ascent(target, loss, images, nearby())

    return compared("averaged_stronger", target.robust_to(attacked), robust)


def step_saturates(target: EvaluationTarget, missed: Tensor) -> bool:
    """Return whether FGSM on `rescaled` logits breaks most of the images [N] that it `missed`."""

    def attacked(images: Tensor, labels: Tensor, _: torch.Generator) -> Tensor:
        loss = rescaled(target, labels)
        return ascend(loss, images, images, eps=target.eps, step=target.eps, steps=1)

    return bool((missed & ~target.robust_to(attacked)).sum() > missed.sum() / 2)


def rescaled(target: EvaluationTarget, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the function from images to cross-entropies of logits no further apart than `SPREAD`.

    Between logits further apart one probability rounds to 1, and the gradient loses the label's
    part, then all of it. Logits that are closer are left alone.
    """

    def loss(points: Tensor) -> Tensor:
        logits_BK = target.model(points).float()
        spread_B = (logits_BK.amax(dim=1) - logits_BK.amin(dim=1)).detach()
        divisor_B = (spread_B / SPREAD).clamp_min(1.0)
        return FACTOR * cross_entropy(logits_BK / divisor_B[:, None], labels)

    return loss


def _ascent(
    target: EvaluationTarget,
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    noise: Tensor,
) -> Tensor:
    """Return where PGD with another loss ends that starts at `noise`."""
    start = (images + noise).clamp(0.0, 1.0)
    return ascend(loss, images, start, eps=target.eps, step=target.eps / 4, steps=target.steps)


def _error(
    target: EvaluationTarget, middle: Tensor, labels: Tensor, length: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return how wrong the gradient at `middle` is about steps of `length`, and the change [B]."""
    with torch.no_grad():
        rivals_B = strongest_rival(target.model(middle), labels)

    def margin(points: Tensor) -> Tensor:
        logits_BK = target.model(points).float()
        return of_class(logits_BK, rivals_B) - of_class(logits_BK, labels)

    _, slope = gradient(margin, middle)
    predicted, found = [], []
    with torch.no_grad():
        for _ in range(DIRECTIONS):
            step = length * uniform_noise(middle.shape, eps=1.0, generator=rng).sign()
            predicted.append((slope * step).flatten(1).sum(dim=1))
            found.append((margin(middle + step) - margin(middle - step)) / 2)
    predicted_DB, found_DB = torch.stack(predicted).float(), torch.stack(found).float()
    change_B = found_DB.norm(dim=0)
    largest_B = torch.maximum(predicted_DB.norm(dim=0), change_B)
    # Where neither predicts nor finds a change there is no error.
    error_B = (predicted_DB - found_DB).norm(dim=0) / largest_B.clamp_min(torch.finfo().tiny)
    return error_B, change_B
