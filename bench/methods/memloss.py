"""MemLoss: TRADES plus a term on x'', what the attack made of the image in the previous epoch.

Mahdi et al. 2025, arXiv:2510.09105.

    L = CE(z(x), y) + beta * mean KL(p(x) || p(x')) + memory_beta * mean M

    V1:  M = w * KL(p(x) || p(x''))      w: A = 1.0000001 - p_y(x'')   F = 1.0000001 - p_y(x)
    V2:  M = KL(p(x) || p(x''))
    V3:  M = KL(p(x'') || p(x'))

x' and x'' are constants; gradient flows through p(x), p(x'), p(x'') and the weight w. While the
memory is empty, in the first epoch, L is TRADES'. The paper leaves open what w is and how x'' meets
the new crop and flip: A and "as_seen" are what the first author's code suggests, the others are
there to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import divergence, of_class
from bench.config.parsing import Amount, nearest
from bench.methods import trades
from bench.methods.base import Method, register, total
from bench.runtime.errors import ConfigError


@register("memloss")
@dataclass(frozen=True, kw_only=True)
class MemLoss(Method):
    """MemLoss in one of its three variants.

    Parameters
    ----------
    variant
        Which M of the equations above.
    beta, memory_beta
        Weights of the two divergences; the paper's for V1, V2, V3 on CIFAR-10 with ResNet-18 are
        (3, 2), (4, 1) and (4, 2).
    weight
        The w of V1: "A", "F", or "none" for 1.
    alignment
        How x'' meets an image under a new crop and flip: "as_seen" leaves it in the old ones,
        "realigned" moves its perturbation to the new ones, "clean_crop" recalls last epoch's clean
        crop in place of x'': a placebo, which shows what a second crop alone is worth.
    storage
        How perturbations are kept: "int8" is off by at most eps / 254 at a quarter of the size of
        "float32".
    """

    attack: ClassVar[InnerAttack | None] = InnerAttack(loss="kl", start="gaussian")
    passes: ClassVar[tuple[str, ...]] = ("clean", "adversarial", "memory")
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {"weight": ("variant", "v1")}

    variant: Literal["v1", "v2", "v3"]
    beta: Amount
    memory_beta: Amount
    weight: Literal["A", "F", "none"] = "A"
    alignment: Literal["as_seen", "realigned", "clean_crop"] = "as_seen"
    storage: Literal["int8", "float16", "float32"] = "int8"

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """See `terms` of this module."""
        return terms(
            logits["clean"],
            logits["adversarial"],
            logits.get("memory"),
            labels,
            variant=self.variant,
            beta=self.beta,
            memory_beta=self.memory_beta,
            weight=self.weight,
        )


def terms(
    clean_logits: Tensor,
    adversarial_logits: Tensor,
    memory_logits: Tensor | None,
    labels: Tensor,
    *,
    variant: str,
    beta: float,
    memory_beta: float,
    weight: str = "A",
) -> dict[str, Tensor]:
    """Return the terms of the objective, from logits [B, K] and labels [B].

    With `memory_logits` None, while the memory is empty, they are TRADES'.

    Raises
    ------
    ConfigError
        `variant` or `weight` is unknown.
    """
    _known("variant", variant, ("v1", "v2", "v3"))
    _known("weight", weight, ("A", "F", "none"))
    parts = trades.terms(clean_logits, adversarial_logits, labels, beta=beta)
    if memory_logits is None:
        return parts
    if variant == "v3":
        memory_B = divergence(memory_logits, adversarial_logits)
    else:
        memory_B = divergence(clean_logits, memory_logits)
    if variant == "v1" and weight != "none":
        weighing = memory_logits if weight == "A" else clean_logits
        memory_B = (1.0000001 - of_class(weighing.softmax(dim=1), labels)) * memory_B
    return {**parts, "memory": memory_beta * memory_B.mean()}


def objective(
    clean_logits: Tensor,
    adversarial_logits: Tensor,
    memory_logits: Tensor | None,
    labels: Tensor,
    *,
    variant: str,
    beta: float,
    memory_beta: float,
    weight: str = "A",
) -> Tensor:
    """Return L, a scalar; the parameters are those of `terms`."""
    return total(
        terms(
            clean_logits,
            adversarial_logits,
            memory_logits,
            labels,
            variant=variant,
            beta=beta,
            memory_beta=memory_beta,
            weight=weight,
        )
    )


def _known(option: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ConfigError(f"memloss.{option}: {word!r} is unknown; {nearest(word, words)}")
