"""TRADES: cross-entropy on clean images plus what an attack can do to the prediction.

Zhang et al. 2019, arXiv:1901.08573; `beta` is the paper's 1/lambda.

    L = CE(z(x), y) + beta * mean KL(p(x) || p(x'))

x' comes from the attack on KL(p(x) || p(v)) and is a constant. Gradient flows through p(x) and
p(x'): the authors' code detaches neither. One clean pass serves both terms; the authors' code runs
it twice, which differs in batch-norm's running statistics alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy, divergence
from bench.config.parsing import Amount
from bench.methods.base import Method, register, total


@register("trades")
@dataclass(frozen=True, kw_only=True)
class Trades(Method):
    """TRADES with the weight `beta` on the divergence; 6 is the authors' for CIFAR-10."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="kl", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial")

    beta: Amount = 6.0

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """See `terms` of this module."""
        return terms(logits["clean"], logits["adversarial"], labels, beta=self.beta)


def terms(
    clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, beta: float
) -> dict[str, Tensor]:
    """Return the two terms of the objective, from logits [B, K] and labels [B]."""
    return {
        "cross_entropy": cross_entropy(clean_logits, labels).mean(),
        "divergence": beta * divergence(clean_logits, adversarial_logits).mean(),
    }


def objective(
    clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, beta: float
) -> Tensor:
    """Return L, a scalar."""
    return total(terms(clean_logits, adversarial_logits, labels, beta=beta))
