"""MemLoss with HAT's helper examples: the combination that the MemLoss paper reports.

Mahdi et al. 2025, arXiv:2510.09105; Rade and Moosavi-Dezfooli 2022 (ICLR).

    L = L_MemLoss + gamma * CE(z(x_h), y_h)

with MemLoss's terms as in `bench.methods.memloss` and x_h and y_h as in `bench.methods.hat`; both
share x'. The sum is inferred: the authors' code has the two in separate branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.config.parsing import Amount, Label
from bench.methods import memloss
from bench.methods.base import Kind, Method, register
from bench.methods.hat import helper_loss
from bench.methods.step import Step


@register("memloss_hat")
@dataclass(frozen=True, kw_only=True)
class MemLossHat(Method):
    """MemLoss with HAT's term; the options are those of the two methods."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="kl", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial", "memory", "helped")
    teacher_passes: ClassVar[tuple[str, ...]] = ("teacher",)
    networks: ClassVar[Mapping[str, Kind]] = {"helper": "frozen"}
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {"weight": ("variant", "v1")}

    variant: Literal["v1", "v2", "v3"]
    beta: Amount
    memory_beta: Amount
    weight: Literal["A", "F", "none"] = "A"
    alignment: Literal["as_seen", "realigned", "clean_crop"] = "as_seen"
    storage: Literal["int8", "float16", "float32"] = "int8"
    gamma: Amount = 0.5
    h: Amount = 2.0
    helper: Label = "standard"

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Pass over x, x', x'' and x_h; the helper's pass over x' labels x_h."""
        adversarial = step.attack()
        teacher = step.network_logits("helper", teacher=adversarial)
        images = {"clean": step.x, "adversarial": adversarial}
        recalled = step.recall()
        if recalled is not None:
            images["memory"] = recalled
        step.remember(adversarial)
        images["helped"] = step.x + self.h * (adversarial - step.x)
        return teacher | step.logits(**images)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return MemLoss's terms and the helper's."""
        parts = memloss.terms(
            logits["clean"],
            logits["adversarial"],
            logits.get("memory"),
            labels,
            variant=self.variant,
            beta=self.beta,
            memory_beta=self.memory_beta,
            weight=self.weight,
        )
        return {**parts, "helper": self.gamma * helper_loss(logits["helped"], logits["teacher"])}
