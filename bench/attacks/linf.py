"""The L-infinity ball of radius eps around an image, and gradient ascent inside it.

Distances are in pixel values: images lie in [0, 1], and 8/255 is about 0.0314.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def project(moved: Tensor, images: Tensor, eps: float) -> Tensor:
    """Return the point nearest to `moved` within `eps` of `images` and in [0, 1]."""
    return moved.clamp(images - eps, images + eps).clamp(0.0, 1.0)


def uniform_noise(shape: Sequence[int], *, eps: float, generator: torch.Generator) -> Tensor:
    """Return noise drawn uniformly from [-eps, eps], float32, on the device of `generator`."""
    noise = torch.empty(*shape, device=generator.device)
    return noise.uniform_(-eps, eps, generator=generator)


def ascend(
    loss: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
) -> Tensor:
    """Raise `loss` by signed gradient steps: v <- Proj(v + step * sign(gradient)).

    Only the gradient of the images is asked for, so no parameter's `.grad` is touched.

    Parameters
    ----------
    loss
        Maps images to one value an image [B], or to their sum. A mean would do as well, because
        only the sign of the gradient counts, as long as images do not influence each other.
    images
        The centres of the balls, in [0, 1], of any shape [B, ...].
    start
        Where to begin, of the shape of `images`. The first gradient is taken there, inside the
        ball or not; only what a step reaches is projected.
    eps, step
        Radius of the ball and length of a step, in pixel values.
    steps
        Number of gradients taken; with 0 the projected start is returned.

    Returns
    -------
    Tensor
        Images within `eps` of `images` and in [0, 1], detached.

    Raises
    ------
    ValueError
        `start` does not have the shape of `images`.

    Source: Madry et al. 2018, arXiv:1706.06083.
    """
    if start.shape != images.shape:
        raise ValueError(f"start has shape {tuple(start.shape)}, images {tuple(images.shape)}")
    images, moved = images.detach(), start.detach()
    if steps == 0:
        return project(moved, images, eps)
    with torch.enable_grad():
        for _ in range(steps):
            # detach() makes a new leaf, so that the caller's `start` is never marked.
            moved = moved.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(loss(moved).sum(), moved)
            moved = project(moved.detach() + step * gradient.sign(), images, eps)
    return moved.detach()
