"""HAT: TRADES plus helper examples, which keep the margin along x' - x from growing without need.

Rade and Moosavi-Dezfooli 2022, "Reducing Excessive Margin to Achieve a Better Accuracy vs.
Robustness Trade-off", ICLR 2022; constants as in the authors' code.

    L = CE(z(x), y) + beta * mean KL(p(x) || p(x')) + gamma * CE(z(x_h), y_h)

    x_h = x + h * (x' - x)        y_h = argmax p_std(x')

p_std is a frozen network that standard training made of the same seed. Its decision at x' is the
label of x_h, which lies further out and is not clipped to [0, 1]. x' comes from the attack on
KL(p(x) || p(v)); x', x_h and y_h are constants. With gamma 0 it is TRADES, but for the pass over
x_h, which moves batch-norm's running statistics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.config.parsing import Amount, Label
from bench.methods import trades
from bench.methods.base import Kind, Method, register
from bench.methods.step import Step


@register("hat")
@dataclass(frozen=True, kw_only=True)
class Hat(Method):
    """HAT.

    Parameters
    ----------
    beta, gamma
        Weights of the divergence and of the helper examples; 2.5 and 0.5 are the authors' for
        CIFAR-10 with ResNet-18.
    h
        How far out x_h lies, in units of x' - x.
    helper
        Label of the method whose best network of the same seed is p_std.
    """

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="kl", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial", "helped")
    teacher_passes: ClassVar[tuple[str, ...]] = ("teacher",)
    networks: ClassVar[Mapping[str, Kind]] = {"helper": "frozen"}

    beta: Amount = 2.5
    gamma: Amount = 0.5
    h: Amount = 2.0
    helper: Label = "standard"

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Pass over x, x' and x_h; the helper's pass over x' labels x_h."""
        adversarial = step.attack()
        teacher = step.network_logits("helper", teacher=adversarial)
        helped = step.x + self.h * (adversarial - step.x)
        return teacher | step.logits(clean=step.x, adversarial=adversarial, helped=helped)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return TRADES' terms and the helper's."""
        parts = trades.terms(logits["clean"], logits["adversarial"], labels, beta=self.beta)
        return {**parts, "helper": self.gamma * helper_loss(logits["helped"], logits["teacher"])}


def helper_loss(helped_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Return the mean of CE(z(x_h), y_h), from logits [B, K] at x_h and the helper's at x'."""
    return cross_entropy(helped_logits, teacher_logits.argmax(dim=1)).mean()
