"""FGSM-RS: FGSM adversarial training from a random start ("fast adversarial training").

Wong et al. 2020, arXiv:2001.03994; attack and constants as in the authors' code.

    L = CE(z(x'), y),    x' = Proj(v + 1.25 * eps * sign(dCE(z(v), y)/dv)),    v = x + U(-eps, eps)

v lies in [0, 1] and x' is a constant. The attack sees the network in train mode, so its pass moves
batch-norm's running statistics as the update's does. The authors' code normalises its inputs and
stops when PGD accuracy on a batch collapses; here `best` is selected as for every other method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.methods.base import Method, register


@register("fgsm_rs")
@dataclass(frozen=True, kw_only=True)
class FgsmRs(Method):
    """FGSM adversarial training from a random start; no options."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(
        loss="ce", start="uniform", mode="train", steps=1, step_over_eps=1.25
    )
    passes: ClassVar[tuple[str, ...]] = ("adversarial",)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of x'."""
        return {"cross_entropy": cross_entropy(logits["adversarial"], labels).mean()}
