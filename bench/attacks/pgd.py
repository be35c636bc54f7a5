"""PGD as an evaluation: random starts in the ball, the best attempt on each image is kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.attacks.linf import ascend, uniform_noise
from bench.attacks.losses import cross_entropy, margin
from bench.attacks.mode import evaluating, frozen
from bench.config.parsing import nearest
from bench.runtime.errors import ConfigError

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": cross_entropy, "margin": margin}


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    restarts: int = 1,
    loss: str = "ce",
    generator: torch.Generator,
) -> Tensor:
    """Attack each image from uniform starts in its ball, with `model` in evaluation mode.

    Parameters
    ----------
    model
        Maps images [B, C, H, W] to logits [B, K]; given back as it was.
    images, labels
        Images in [0, 1] and their classes [B] int64. An image that is misclassified already is
        attacked like the others; whether it counts as broken is for the caller.
    eps, step
        Radius and length of a step, in pixel values.
    steps
        Gradients of each restart.
    restarts
        Attempts on every image, at least 1. The start of the first does not depend on how many.
    loss
        "ce": cross-entropy; "margin": strongest other logit minus the label's (CW-PGD).
    generator
        Source of the starts; on the CPU they are the same whatever device the images are on.

    Returns
    -------
    Tensor
        For each image an attempt that the model misclassifies, if there is one, otherwise the
        attempt with the highest loss.

    Raises
    ------
    ConfigError
        `loss` is unknown, or `restarts` is below 1.

    Source: Madry et al. 2018, arXiv:1706.06083; the margin is that of arXiv:1608.04644.
    """
    if loss not in LOSSES:
        raise ConfigError(f"the attack loss {loss!r} is unknown; {nearest(loss, LOSSES)}")
    if restarts < 1:
        raise ConfigError(f"PGD needs at least 1 restart, got {restarts}")
    loss_of = LOSSES[loss]
    kept = images.detach().clone()
    kept_fools = torch.zeros_like(labels, dtype=torch.bool)
    kept_loss = torch.full_like(labels, -torch.inf, dtype=images.dtype)
    with evaluating(model), frozen(model):
        for _ in range(restarts):
            noise = uniform_noise(images.shape, eps=eps, generator=generator).to(images)
            moved = ascend(
                lambda point: loss_of(model(point), labels),
                images,
                (images + noise).clamp(0.0, 1.0),
                eps=eps,
                step=step,
                steps=steps,
            )
            with torch.no_grad():
                logits_BK = model(moved)
                fools = logits_BK.argmax(dim=1) != labels
                raised = loss_of(logits_BK, labels).to(kept_loss)
            better = ~kept_fools & (fools | (raised > kept_loss))
            kept[better], kept_loss[better] = moved[better], raised[better]
            kept_fools |= fools
    return kept
