"""Standard training: the reference for clean accuracy, with no robustness to speak of.

Empirical risk minimisation on clean images:

    L = CE(z(x), y)

There is no attack and no adversarial image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.methods.base import Method, register, total


@register("standard")
@dataclass(frozen=True, kw_only=True)
class Standard(Method):
    """Standard training; no attack, no options."""

    attack: ClassVar[InnerAttack | None] = None
    passes: ClassVar[tuple[str, ...]] = ("clean",)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """See `terms` of this module."""
        return terms(logits["clean"], labels)


def terms(clean_logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Return the term of the objective, from logits [B, K] and labels [B]."""
    return {"cross_entropy": cross_entropy(clean_logits, labels).mean()}


def objective(clean_logits: Tensor, labels: Tensor) -> Tensor:
    """Return L, a scalar."""
    return total(terms(clean_logits, labels))
