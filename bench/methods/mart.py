"""MART: adversarial training that presses harder on images misclassified without an attack.

Wang et al. 2020, "Improving Adversarial Robustness Requires Revisiting Misclassified Examples",
ICLR 2020; constants as in the authors' code.

    L   = BCE + beta * mean [ KL(p(x) || p(x')) * (1.0000001 - p_y(x)) ]
    BCE = CE(z(x'), y) - mean log(1.0001 - p_j(x') + 1e-12),    j: the likeliest class of x' but y

Inside the KL, log p(x') is taken as log(p(x') + 1e-12). x' comes from the attack on CE(z(v), y),
from the Gaussian start, and is a constant. Gradient flows through p(x), p(x') and the weight. There
is no cross-entropy on clean images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy, of_class, strongest_rival
from bench.config.parsing import Amount
from bench.methods.base import Method, register, total

TINY = 1e-12


@register("mart")
@dataclass(frozen=True, kw_only=True)
class Mart(Method):
    """MART with the weight `beta` on the divergence; 5 is the authors' for ResNet-18."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial")

    beta: Amount = 5.0

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """See `terms` of this module."""
        return terms(logits["clean"], logits["adversarial"], labels, beta=self.beta)


def terms(
    clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, beta: float
) -> dict[str, Tensor]:
    """Return the two terms of the objective, from logits [B, K] and labels [B]."""
    adversarial_BK = adversarial_logits.softmax(dim=1)
    boosted_B = boosted_cross_entropy(adversarial_logits, adversarial_BK, labels)

    clean_BK, log_clean_BK = clean_logits.softmax(dim=1), clean_logits.log_softmax(dim=1)
    divergence_B = (clean_BK * (log_clean_BK - (adversarial_BK + TINY).log())).sum(dim=1)
    weight_B = 1.0000001 - of_class(clean_BK, labels)
    return {
        "boosted_cross_entropy": boosted_B.mean(),
        "weighted_divergence": beta * (divergence_B * weight_B).mean(),
    }


def boosted_cross_entropy(logits_BK: Tensor, adversarial_BK: Tensor, labels: Tensor) -> Tensor:
    """Return BCE of each image [B], from logits, probabilities [B, K] of x' and labels [B]."""
    rival_B = of_class(adversarial_BK, strongest_rival(adversarial_BK, labels))
    return cross_entropy(logits_BK, labels) - (1.0001 - rival_B + TINY).log()


def objective(
    clean_logits: Tensor, adversarial_logits: Tensor, labels: Tensor, *, beta: float
) -> Tensor:
    """Return L, a scalar."""
    return total(terms(clean_logits, adversarial_logits, labels, beta=beta))
