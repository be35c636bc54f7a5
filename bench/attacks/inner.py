"""The attack that a method trains against: gradient ascent from a noisy start."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_type_hints

import torch
from torch import Tensor, nn

from bench.attacks.linf import ascend, uniform_noise
from bench.attacks.losses import cross_entropy, divergence
from bench.attacks.mode import evaluating, frozen
from bench.config.parsing import Count, Positive, value_of
from bench.runtime.errors import ConfigError

# At v = x the gradient of KL(p(x) || p(v)) is zero: this noise is what sets that attack going.
GAUSSIAN_SCALE = 0.001


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far an attack may go, and how.

    Parameters
    ----------
    eps, step
        Radius and length of a step, in pixel values.
    steps
        Number of gradients taken.
    """

    eps: float
    step: float
    steps: int


@dataclass(frozen=True, kw_only=True)
class InnerAttack:
    """What an attack raises, where it starts, and the mode of the network meanwhile.

    Parameters
    ----------
    loss
        "kl": KL(p(x) || p(v)), the target p(x) computed once and held constant;
        "ce": the cross-entropy of v with the label.
    start
        "gaussian": x + 0.001 * N(0, 1), not projected; "uniform": x + U(-eps, eps), in [0, 1];
        "zero": x itself, where KL(p(x) || p(v)) has no gradient.
    mode
        "eval": batch-norm uses its running statistics and leaves them alone. "train" is for a
        published method that attacks in train mode: the network is then called in the mode that it
        is in, and batch-norm's running statistics move, as they do there. It is the only exception
        to giving the model back as it was.
    steps, step_over_eps
        Gradients taken, and length of a step as a share of eps, where they belong to the method;
        None: the training recipe's.

    Sources: "kl" with the Gaussian start is TRADES' (arXiv:1901.08573) and "ce" with it MART's
    (ICLR 2020), both as in the authors' code; "ce" with the uniform start is Madry et al.'s PGD
    (arXiv:1706.06083).
    """

    loss: Literal["kl", "ce"]
    start: Literal["gaussian", "uniform", "zero"]
    mode: Literal["eval", "train"] = "eval"
    steps: Count | None = None
    step_over_eps: Positive | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown word: it would silently stand for one of the known ones."""
        hints = get_type_hints(type(self), include_extras=True)
        for name, hint in hints.items():
            value_of(hint, getattr(self, name), f"InnerAttack.{name}")
        if self.loss == "kl" and self.start == "zero":
            raise ConfigError("InnerAttack.start: a KL attack has no gradient at x; use gaussian")

    def budget(self, *, eps: float, step: float, steps: int) -> Budget:
        """Return how far it may go with a recipe's step and number of steps, or with its own."""
        if self.step_over_eps is not None:
            step = self.step_over_eps * eps
        return Budget(eps=eps, step=step, steps=steps if self.steps is None else self.steps)

    def noise(self, shape: Sequence[int], *, eps: float, generator: torch.Generator) -> Tensor:
        """Return the start's distance from the images, on the device of `generator`.

        It is drawn outside the attack so that methods with the same start can share it.
        """
        if self.start == "uniform":
            return uniform_noise(shape, eps=eps, generator=generator)
        if self.start == "zero":
            return torch.zeros(*shape, device=generator.device)
        return GAUSSIAN_SCALE * torch.randn(*shape, generator=generator, device=generator.device)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        budget: Budget,
        noise: Tensor,
        opening: nn.Module | None = None,
    ) -> Tensor:
        """Return adversarial images within `budget.eps` of `images` and in [0, 1], detached.

        Parameters
        ----------
        model
            Maps images [B, C, H, W] to logits [B, K].
        images, labels
            Images in [0, 1] and their classes [B] int64.
        noise
            What `noise` drew for the shape of `images`.
        opening
            The same network, more exact: it gives the target p(x) and the first gradient in place
            of a `model` that rounds too much for the start. None: `model` gives all.
        """
        start = images + noise.to(images)
        if self.start == "uniform":
            start = start.clamp(0.0, 1.0)
        first = model if opening is None else opening
        mode = evaluating(model) if self.mode == "eval" else nullcontext()
        with mode, frozen(model), frozen(first):
            if self.loss == "kl":
                with torch.no_grad():
                    target_BK = first(images)

            def raised(network: nn.Module, moved: Tensor) -> Tensor:
                if self.loss == "kl":
                    return divergence(target_BK, network(moved))
                return cross_entropy(network(moved), labels)

            eps, step, left = budget.eps, budget.step, budget.steps
            if opening is not None and left > 0:
                to_first = partial(raised, opening)
                start = ascend(to_first, images, start, eps=eps, step=step, steps=1)
                left -= 1
            return ascend(partial(raised, model), images, start, eps=eps, step=step, steps=left)
