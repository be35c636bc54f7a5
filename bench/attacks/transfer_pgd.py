"""PGD on the other networks of the experiment, its images tried on the network that is evaluated.

An image made on another network knows nothing of the gradients of this one, so it breaks a network
whose gradients are of no use to an attack. Sources: Papernot et al. 2017, arXiv:1602.02697; Athalye
et al. 2018, arXiv:1802.00420.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.attacks.base import Attack, Target, register
from bench.attacks.pgd import pgd
from bench.config.parsing import Count, Pixels


@register("transfer_pgd")
@dataclass(frozen=True, kw_only=True)
class TransferPgd(Attack):
    """PGD on each other network of the same seed: broken is what any of their images fools.

    Parameters
    ----------
    steps, step_size, restarts, loss
        Of PGD on each network; a step of None is eps / 4.
    """

    other_networks: ClassVar[bool] = True

    steps: Count = 20
    step_size: Pixels | None = None
    restarts: Count = 1
    loss: Literal["ce", "margin", "targeted_margin"] = "ce"

    def search(self, target: Target) -> Tensor:
        """Return for each image the first that fools the network, else the clean one."""
        kept, fooled = target.images.clone(), torch.zeros_like(target.labels, dtype=torch.bool)
        step = target.eps / 4 if self.step_size is None else self.step_size
        for other in target.others.values():
            moved = pgd(
                other,
                target.images,
                target.labels,
                eps=target.eps,
                step=step,
                steps=self.steps,
                restarts=self.restarts,
                loss=self.loss,
                generator=target.generator,
            )
            with torch.no_grad():
                fools = target.network(moved).argmax(dim=1) != target.labels
            kept[fools & ~fooled] = moved[fools & ~fooled]
            fooled |= fools
        return kept
