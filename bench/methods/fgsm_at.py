"""FGSM adversarial training: cross-entropy on images moved by one step of eps.

Goodfellow et al. 2015, arXiv:1412.6572, on adversarial images alone.

    L = CE(z(x'), y),    x' = clip(x + eps * sign(dCE(z(x), y)/dx))

x' is a constant. The attack sees the network in evaluation mode. Training is known to overfit to
that one step: accuracy under PGD falls to near zero within a few epochs (Wong et al. 2020,
arXiv:2001.03994), which is what it is here for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.methods.base import Method, register


@register("fgsm_at")
@dataclass(frozen=True, kw_only=True)
class FgsmAt(Method):
    """FGSM adversarial training; no options."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(
        loss="ce", start="zero", steps=1, step_over_eps=1.0
    )
    passes: ClassVar[tuple[str, ...]] = ("adversarial",)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of x'."""
        return {"cross_entropy": cross_entropy(logits["adversarial"], labels).mean()}
