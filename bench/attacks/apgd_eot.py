"""AutoAttack's attacks on networks whose forward passes differ: APGD with averaged gradients.

It is the version `rand` of AutoAttack's package. The mean of gradients over some passes estimates
the gradient of the expected loss: expectation over transformation (Athalye et al. 2018,
arXiv:1802.00420). Source: Croce and Hein 2020, arXiv:2003.01690.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.attacks import autoattack
from bench.attacks.autoattack_batch import attacked
from bench.attacks.base import Attack, SearchResult, Target, register
from bench.config.parsing import Count


@register("apgd_eot")
@dataclass(frozen=True, kw_only=True)
class ApgdEot(Attack):
    """AutoAttack's version for random networks: APGD-CE and APGD-DLR, gradients averaged.

    With two classes there is no DLR loss, and APGD-CE runs alone.

    Parameters
    ----------
    iterations
        Passes that each gradient is the mean of.
    """

    wraps_autoattack: ClassVar[bool] = True

    iterations: Count = 20

    def search(self, target: Target) -> SearchResult:
        """Return what the two find in turn, the second on what the first left robust."""
        with torch.no_grad():
            classes = target.network(target.images[:1]).shape[1]
        components = ("apgd-ce", "apgd-dlr") if classes > 2 else ("apgd-ce",)
        return attacked(
            target, components=components, version="rand", eot_iterations=self.iterations
        )

    def source(self) -> str:
        """Return the package and its version."""
        return autoattack.source()
