"""PGD as an evaluation: random starts in the ball, the best attempt on each image is kept."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from bench.attacks.linf import ascend, uniform_noise
from bench.attacks.losses import cross_entropy, margin, strongest_rivals, targeted_margin
from bench.attacks.mode import evaluating, frozen
from bench.config.parsing import nearest
from bench.config.schema import TARGETS
from bench.runtime.errors import ConfigError

Loss = Callable[[Tensor, Tensor], Tensor]
# Of attempts that fool the model no more than others, the one that raises this most is kept.
LOSSES: dict[str, Loss] = {"ce": cross_entropy, "margin": margin, "targeted_margin": margin}


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
        Attempts on every image, at least 1, and of a targeted loss towards every target. The start
        of the first does not depend on how many.
    loss
        "ce": cross-entropy; "margin": strongest other logit minus the label's (CW-PGD);
        "targeted_margin": the target's logit minus the label's, for each of the `TARGETS` classes
        with the highest logits on the clean image.
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

    Source: Madry et al. 2018, arXiv:1706.06083; the margin is that of arXiv:1608.04644, the choice
    of targets that of AutoAttack's targeted attacks, arXiv:2003.01690.
    """
    if loss not in LOSSES:
        raise ConfigError(f"the attack loss {loss!r} is unknown; {nearest(loss, LOSSES)}")
    if restarts < 1:
        raise ConfigError(f"PGD needs at least 1 restart, got {restarts}")
    kept = images.detach().clone()
    kept_fools = torch.zeros_like(labels, dtype=torch.bool)
    kept_loss = torch.full_like(labels, -torch.inf, dtype=images.dtype)
    with evaluating(model), frozen(model):
        for objective in _objectives(model, images, labels, loss) * restarts:

            def raised(point: Tensor, objective: Loss = objective) -> Tensor:
                return objective(model(point), labels)

            noise = uniform_noise(images.shape, eps=eps, generator=generator).to(images)
            moved = ascend(
                raised,
                images,
                (images + noise).clamp(0.0, 1.0),
                eps=eps,
                step=step,
                steps=steps,
            )
            with torch.no_grad():
                logits_BK = model(moved)
                fools = logits_BK.argmax(dim=1) != labels
                reached = LOSSES[loss](logits_BK, labels).to(kept_loss)
            better = ~kept_fools & (fools | (reached > kept_loss))
            kept[better], kept_loss[better] = moved[better], reached[better]
            kept_fools |= fools
    return kept


def _objectives(model: nn.Module, images: Tensor, labels: Tensor, loss: str) -> list[Loss]:
    """Return what is raised, attempt by attempt, of one restart."""
    if loss != "targeted_margin":
        return [LOSSES[loss]]
    with torch.no_grad():
        targets_BT = strongest_rivals(model(images), labels, TARGETS)
    return [partial(targeted_margin, targets_B=targets_B) for targets_B in targets_BT.unbind(1)]
