"""DYNAT: a guide network learns beside the target and labels the target's adversarial images.

Liu et al. 2024, "Dynamic Label Adversarial Training", arXiv:2408.13102; as in the authors' code.

    L = CE(g(x), y) + coefficient * CE(z(x'), l),    l = argmax g(x)

g are the logits of the guide, which sees clean images and their labels alone and is in train mode;
z are those of the target, which is what is evaluated and never sees y. x' comes from the attack on
CE(z(v), l) from the Gaussian start. x' and l are constants, so no gradient of the target's term
reaches the guide. Both are trained from scratch by one optimizer, from different initial weights.
The guide runs once for each batch: the authors' code repeats it at every step of the attack, which
gives the same labels and counts the same batch several times in its running statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.config.parsing import Amount
from bench.methods.base import Kind, Method, register
from bench.methods.step import Step


@register("dynat")
@dataclass(frozen=True, kw_only=True)
class Dynat(Method):
    """DYNAT.

    Parameters
    ----------
    coefficient
        Weight of the target's term: 1 in the released code, 0.2 in its commented alternative and
        its script with weight perturbation.
    clean_pass
        Whether the target makes a pass over x after that over x', as released: nobody reads its
        logits, but batch-norm's running statistics see the clean images.
    """

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("guide", "adversarial")
    statistics_passes: ClassVar[tuple[str, ...]] = ("clean",)
    networks: ClassVar[Mapping[str, Kind]] = {"guide": "trained"}

    coefficient: Amount = 1.0
    clean_pass: bool = True

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Pass over x through the guide, whose classes the attack moves away from, then x'."""
        guide = step.network_logits("guide", guide=step.x)
        images = {"adversarial": step.attack(labels=guide["guide"].argmax(dim=1))}
        if self.clean_pass:
            images["clean"] = step.x
        return guide | step.logits(**images)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the guide's cross-entropy and the target's with the guide's classes."""
        target_B = cross_entropy(logits["adversarial"], logits["guide"].argmax(dim=1))
        return {
            "guide": cross_entropy(logits["guide"], labels).mean(),
            "target": self.coefficient * target_B.mean(),
        }
