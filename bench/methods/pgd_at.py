"""PGD adversarial training: cross-entropy on adversarial images only.

Madry et al. 2018, arXiv:1706.06083.

    L = CE(z(x'), y),    x' from PGD on CE(z(v), y), started uniformly in the ball

x' is a constant. The attack sees the network in evaluation mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.methods.base import Method, register, total


@register("pgd_at")
@dataclass(frozen=True, kw_only=True)
class PgdAt(Method):
    """PGD adversarial training; no options."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="uniform")
    passes: ClassVar[tuple[str, ...]] = ("adversarial",)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """See `terms` of this module."""
        return terms(logits["adversarial"], labels)


def terms(adversarial_logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the term of the objective, from logits [B, K] and labels [B]."""
    return {"cross_entropy": cross_entropy(adversarial_logits, labels).mean()}


def objective(adversarial_logits: Tensor, labels: Tensor) -> Tensor:
    """Return L, a scalar."""
    return total(terms(adversarial_logits, labels))
