"""CURE: TRADES from a standard network, some weights conserved, beside a slow copy of it.

Gowda, Zonooz and Arani 2024, "Conserve-Update-Revise to Cure Generalization and Robustness
Trade-off in Adversarial Training", ICLR 2024, arXiv:2401.14948.

    L   = CE(z(x), y) + KL(p(x) || p(x')) + gamma * L_CR
    L_CR = KL(p_r(x) || p(x)) + KL(p_r(x') || p(x'))

p_r are the predictions of the revision network, constants here, and x' comes from the attack on
KL(p(x) || p(v)). Conserve and update: of each weight tensor, the gradient of L is set to zero where

    alpha * |dCE(z(x), y)/dw| + (1 - alpha) * |dCE(z(x'), y)/dw|

is below the tensor's percentile. Such weights still move by momentum and weight decay, as in the
authors' code. Revise: after a step, with probability `rate`, the parameters of the revision network
become d * w_r + (1 - d) * w with d = min(1 - 1/(t + 1), decay) at step t; it is in train mode and
its batch-norm statistics come from its own passes.

The paper begins with a standard network: `training: {start: standard}`. The criterion "rgp" is the
released code's: L has alpha * CE(z(x), y) + (1 - alpha) * CE(z(x'), y) in place of its first two
terms, and what is conserved is where |dL/dw| is small, except in the last, linear layer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy, divergence
from bench.config.parsing import Amount, Share, Whole
from bench.methods import trades
from bench.methods.base import Kind, Method, register
from bench.methods.step import Step


@register("cure")
@dataclass(frozen=True, kw_only=True)
class Cure(Method):
    """CURE; the defaults are the paper's for ResNet-18 on CIFAR-10.

    Parameters
    ----------
    gamma
        Weight of the consistency with the revision network.
    percentile
        Share of each weight tensor that is conserved: 0.30, the paper's 30 %.
    alpha
        Weight of the natural gradient in the prominence.
    rate, decay
        Probability of a revision after a step, and its largest decay.
    criterion
        "paper", or the released code's "rgp".
    natural_epochs
        Epochs of standard training before: CURE-Eff's warm-up in place of a start from a
        standard network. The revision network is a copy until they are over.
    """

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="kl", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial")
    teacher_passes: ClassVar[tuple[str, ...]] = ("revised_clean", "revised_adversarial")
    networks: ClassVar[Mapping[str, Kind]] = {"revision": "average"}
    # Its paper begins with a standard network, which is no recipe of its own then.
    pretrained: ClassVar[bool] = True
    below_epochs: ClassVar[tuple[str, ...]] = ("natural_epochs",)

    gamma: Amount = 1.0
    percentile: Share = 0.3
    alpha: Share = 0.1
    rate: Share = 0.2
    decay: Share = 0.999
    criterion: Literal["paper", "rgp"] = "paper"
    natural_epochs: Whole = 0

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Pass over x and x' through both networks; in natural epochs over x alone."""
        if step.epoch <= self.natural_epochs:
            return step.logits(clean=step.x)
        adversarial = step.attack()
        revised = step.network_logits(
            "revision", revised_clean=step.x, revised_adversarial=adversarial
        )
        return revised | step.logits(clean=step.x, adversarial=adversarial)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the terms of L."""
        clean, adversarial = logits["clean"], logits.get("adversarial")
        if adversarial is None:
            return {"cross_entropy": cross_entropy(clean, labels).mean()}
        if self.criterion == "rgp":
            robust = cross_entropy(adversarial, labels).mean()
            parts = {
                "cross_entropy": self.alpha * cross_entropy(clean, labels).mean(),
                "robust_cross_entropy": (1 - self.alpha) * robust,
            }
        else:
            parts = trades.terms(clean, adversarial, labels, beta=1.0)
        consistency = divergence(logits["revised_clean"], clean)
        consistency = consistency + divergence(logits["revised_adversarial"], adversarial)
        return {**parts, "consistency": self.gamma * consistency.mean()}

    def backward(
        self, step: Step, logits: Mapping[str, Tensor], terms: Mapping[str, Tensor]
    ) -> None:
        """Leave the gradient of L, zero where a weight is conserved."""
        if "adversarial" not in logits or not self.percentile:
            super().backward(step, logits, terms)
            return
        if self.criterion == "rgp":
            super().backward(step, logits, terms)
            for name, weight in step.weights.items():
                assert weight.grad is not None
                if "linear" not in name and "fc" not in name:
                    _conserve(weight.grad, weight.grad.abs(), self.percentile)
            return
        natural = step.weight_gradients(cross_entropy(logits["clean"], step.labels).mean())
        robust = step.weight_gradients(cross_entropy(logits["adversarial"], step.labels).mean())
        super().backward(step, logits, terms)
        for name, weight in step.weights.items():
            assert weight.grad is not None
            prominence = self.alpha * natural[name].abs() + (1 - self.alpha) * robust[name].abs()
            _conserve(weight.grad, prominence, self.percentile)

    def after_step(self, step: Step) -> None:
        """Revise, at random."""
        if step.epoch <= self.natural_epochs:
            step.move_average("revision", 0.0)
        elif step.random("revision") < self.rate:
            step.move_average("revision", min(1 - 1 / (step.count + 1), self.decay))


@torch.no_grad()
def _conserve(gradient: Tensor, prominence: Tensor, share: float) -> None:
    """Set `gradient` to zero where `prominence`, of its shape, is below its percentile.

    Of n different values that are the ceil(share * (n - 1)) smallest, as with numpy's percentile.
    """
    below = math.ceil(share * (prominence.numel() - 1))
    threshold = prominence.flatten().kthvalue(below + 1).values
    gradient.masked_fill_(prominence < threshold, 0)
