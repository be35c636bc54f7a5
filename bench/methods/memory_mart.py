"""MART with a memory: its divergence is that of last epoch's adversarial image from this one's.

From the first author's code of MemLoss (a fork of imrahulr/hat, 2023); unpublished.

    L = BCE + beta * mean KL(p(x'') || p(x'))

with BCE as in `bench.methods.mart`, and x' from its attack. MART's divergence from the clean
prediction is gone; the clean pass stays, as in that code, and moves batch-norm's running statistics
alone. x' and x'' are constants; gradient flows through p(x') and p(x''). While the memory is empty,
in the first epoch, L is BCE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import divergence
from bench.config.parsing import Amount
from bench.methods.base import Method, register
from bench.methods.mart import boosted_cross_entropy


@register("memory_mart")
@dataclass(frozen=True, kw_only=True)
class MemoryMart(Method):
    """MART with a memory; `alignment` and `storage` are those of MemLoss."""

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="ce", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("adversarial", "memory")
    statistics_passes: ClassVar[tuple[str, ...]] = ("clean",)

    beta: Amount = 5.0
    alignment: Literal["as_seen", "realigned", "clean_crop"] = "as_seen"
    storage: Literal["int8", "float16", "float32"] = "int8"

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return MART's boosted cross-entropy and, once there is a memory, the divergence."""
        adversarial = logits["adversarial"]
        boosted_B = boosted_cross_entropy(adversarial, adversarial.softmax(dim=1), labels)
        parts = {"boosted_cross_entropy": boosted_B.mean()}
        memory = logits.get("memory")
        if memory is not None:
            parts["memory"] = self.beta * divergence(memory, adversarial).mean()
        return parts
