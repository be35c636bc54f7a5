"""Single-step adversarial training with one of three regularizers against gradient masking.

Vivek and Babu 2020, "Regularizers for Single-step Adversarial Training", arXiv:2002.00614; as in
the authors' code. With s(v) = sign(dCE(z(v), y)/dv), FGSM(v, e) = clip(v + e * s(v)), and u a sign
drawn for each value:

    L = mean CE(z(a), y) + strength * R

    R1:  R = ||z(a)_last - z(b)||^2
         a = FGSM(x, eps);   b: `iterations` steps of FGSM with eps / iterations, of the last image
    R2:  R = mean ||z(a) - z(b)||^2
         a = FGSM(x, eps);   b = FGSM(x + noise * u, eps)
    R3:  R = max(0, mean CE(z(b), y) - tau * mean CE(z(a), y))
         c = clip(x + noise * u);   a = clip(c + eps_hi * s(c)),  b = clip(c + eps_lo * s(c))

a and b are constants; no logits are detached. Images are attacked in evaluation mode and go through
the network in one joint train-mode pass. No image is projected back to the ball: those of R2 and R3
reach noise + eps. R1's penalty is the squared distance of one image, whatever the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.attacks.losses import cross_entropy
from bench.config.parsing import Amount, Count, Pixels
from bench.methods.base import Method, register
from bench.methods.step import Step

STRENGTH = {"r1": 0.2, "r2": 25.0, "r3": 1.0}


@register("sat")
@dataclass(frozen=True, kw_only=True)
class Sat(Method):
    """Single-step adversarial training with the regularizer `variant`.

    Parameters
    ----------
    strength
        The paper's lambda; None is the authors' for CIFAR-10: 0.2, 25 and 1 for R1, R2 and R3.
    iterations
        Steps of R1's iterated attack.
    noise
        Of R2 and R3, in pixel values; None is eps / 4, the authors' 2/255 at eps 8/255.
    eps_lo, eps_hi
        The two radii of R3, in pixel values; None is eps / 4 and eps.
    tau
        R3's ratio of losses.
    """

    attack: ClassVar[InnerAttack | None] = None
    passes: ClassVar[tuple[str, ...]] = ("adversarial", "other")
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "iterations": ("variant", "r1"),
        "noise": ("variant", "r2", "r3"),
        "tau": ("variant", "r3"),
        "eps_lo": ("variant", "r3"),
        "eps_hi": ("variant", "r3"),
    }
    share_of_eps: ClassVar[Mapping[str, float]] = {"noise": 0.25, "eps_lo": 0.25, "eps_hi": 1.0}
    at_most: ClassVar[Mapping[str, str]] = {"eps_lo": "eps_hi"}

    variant: Literal["r1", "r2", "r3"]
    strength: Amount | None = None
    iterations: Count = 3
    noise: Pixels | None = None
    eps_lo: Pixels | None = None
    eps_hi: Pixels | None = None
    tau: Amount = 0.6

    def radius(self, eps: float) -> float:
        """Return how far its images may be from x: `noise` further than the step, but for R1."""
        noise = eps / 4 if self.noise is None else self.noise
        longest = eps if self.eps_hi is None or self.variant != "r3" else self.eps_hi
        return eps if self.variant == "r1" else noise + longest

    def forward(self, step: Step) -> dict[str, Tensor]:
        """Make a and b, and pass over both at once."""
        eps, noise = step.eps, step.eps / 4 if self.noise is None else self.noise
        if self.variant == "r1":
            last, label = step.x[-1:], step.labels[-1:]
            for _ in range(self.iterations):
                last = _moved(last, step.input_gradient(last, label), eps / self.iterations)
            gradient = step.input_gradient(step.x, step.labels)
            return step.joint_logits(adversarial=_moved(step.x, gradient, eps), other=last)
        noisy = step.x + noise * step.random_signs()
        if self.variant == "r2":
            adversarial = _moved(step.x, step.input_gradient(step.x, step.labels), eps)
            other = _moved(noisy, step.input_gradient(noisy, step.labels), eps)
            return step.joint_logits(adversarial=adversarial, other=other)
        start = noisy.clamp(0, 1)
        gradient = step.input_gradient(start, step.labels)
        low = _moved(start, gradient, eps / 4 if self.eps_lo is None else self.eps_lo)
        high = _moved(start, gradient, eps if self.eps_hi is None else self.eps_hi)
        return step.joint_logits(other=low, adversarial=high)

    def terms(self, logits: Mapping[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the cross-entropy of a and the regularizer."""
        adversarial, other = logits["adversarial"], logits["other"]
        loss = cross_entropy(adversarial, labels).mean()
        if self.variant == "r3":
            penalty = (cross_entropy(other, labels).mean() - self.tau * loss).clamp(min=0)
        else:
            # Of R1 one image alone, the last.
            penalty = (adversarial[-len(other) :] - other).square().sum(dim=1).mean()
        strength = STRENGTH[self.variant] if self.strength is None else self.strength
        return {"cross_entropy": loss, "regularizer": strength * penalty}


def _moved(images: Tensor, gradient: Tensor, size: float) -> Tensor:
    """Return the images after a step of `size` along the sign of the gradient, in [0, 1]."""
    return (images + size * gradient.sign()).clamp(0, 1)
