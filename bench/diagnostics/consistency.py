"""Whether an image has one answer: the same in every pass, whatever images are beside it.

Attacks assume both. Noise, dropout or random resizing at inference break the first, batch-norm in
train mode the second (Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019,
arXiv:1902.06705).

Shape suffixes: N images, B of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from bench.diagnostics.checks import Outcome, share
from bench.diagnostics.target import EvaluationTarget

Logits = Callable[[Tensor], Tensor]
# A network may draw from a few values, and the same one for all images of a batch.
REPEATS = 7
# A change of logits, in units of their spread over the classes, that arithmetic does not explain.
# Batches of another size are summed in another order, which half precision shows.
REPEATED = 1e-3
REGROUPED = 1e-2
GROUP = 4  # images, at least: the statistics of so few are not those of a large batch


def random(target: EvaluationTarget) -> Outcome:
    """Return how many images get other logits when the same batch is passed again and again."""
    return _changed("random", target, [target.model] * REPEATS, REPEATED)


def batch_dependent(target: EvaluationTarget) -> Outcome:
    """Return how many images get other logits among a few others than among the whole batch."""

    def regrouped(images: Tensor) -> Tensor:
        groups = images.tensor_split(max(1, len(images) // GROUP))
        return torch.cat([target.model(group) for group in groups])

    return _changed("batch_dependent", target, [regrouped], REGROUPED)


@torch.no_grad()
def _changed(
    check: str, target: EvaluationTarget, again: Sequence[Logits], tolerance: float
) -> Outcome:
    count = 0
    for images, _, _ in target.batches():
        logits_BK = target.model(images).float()
        spread_B = logits_BK.amax(dim=1) - logits_BK.amin(dim=1)
        changed_B = torch.zeros_like(spread_B, dtype=torch.bool)
        for logits_of in again:
            change_B = (logits_of(images).float() - logits_BK).abs().amax(dim=1)
            # Logits that are not finite in any pass are no change; zero_gradient counts them.
            changed_B |= change_B > tolerance * spread_B
        count += int(changed_B.sum())
    return share(check, count, len(target.images))
