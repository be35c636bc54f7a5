"""A network and test images that diagnostics attack, and what an attack leaves robust.

Shape suffixes: N images, B of a batch, C channels, H rows, W columns, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.attacks.linf import ascend
from bench.attacks.losses import cross_entropy
from bench.attacks.pgd import pgd
from bench.diagnostics.checks import Counts, Outcome, stronger
from bench.numerics.seeding import stream

# From images [B, C, H, W], labels [B] and a source of random numbers to other images.
Attack = Callable[[Tensor, Tensor, torch.Generator], Tensor]


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationTarget:
    """A network in evaluation mode, frozen, and the test images that it is attacked on."""

    model: nn.Module
    images: Tensor  # [N, C, H, W] in [0, 1], on the device of `model`
    labels: Tensor  # int64 [N]
    eps: float  # radius that robustness is claimed for
    steps: int  # gradients of PGD where nothing else is said; a step is a quarter of the radius
    batch_size: int
    # Of all random starts. They are the same for every attack, scaled by its radius, so that two
    # attacks differ in nothing else.
    seed: int

    def batches(self) -> Iterator[tuple[Tensor, Tensor, torch.Generator]]:
        """Yield images, labels and the source of random numbers of each batch."""
        for first in range(0, len(self.images), self.batch_size):
            part = slice(first, first + self.batch_size)
            generator = stream(self.seed, "diagnostics", first, device=self.images.device)
            yield self.images[part], self.labels[part], generator

    def loss(self, labels: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function from images to their cross-entropies [B], in nats."""
        return lambda images: cross_entropy(self.model(images), labels)

    @torch.no_grad()
    def evaluated(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return which images [B, C, H, W] are classified correctly [B], and their losses [B]."""
        logits_BK = self.model(images)
        return logits_BK.argmax(dim=1) == labels, cross_entropy(logits_BK, labels)

    def right(self) -> Tensor:
        """Return which images are classified correctly unattacked: bool [N]."""
        return torch.cat(
            [self.evaluated(images, labels)[0] for images, labels, _ in self.batches()]
        )

    def robust_to(self, attack: Attack) -> Tensor:
        """Return which images are right unattacked and as `attack` makes them: bool [N], CPU."""
        right = [
            self.evaluated(attack(images, labels, rng), labels)[0]
            for images, labels, rng in self.batches()
        ]
        return (self.right() & torch.cat(right)).cpu()

    @torch.no_grad()
    def classes(self) -> int:
        """Return how many classes the network gives to all images together."""
        found = [self.model(images).argmax(dim=1) for images, *_ in self.batches()]
        return len(set(torch.cat(found).tolist()))

    def pgd(
        self, images: Tensor, labels: Tensor, rng: torch.Generator, eps: float | None = None
    ) -> Tensor:
        """Return PGD's images within `eps`, by default the target's; at 0 the images themselves."""
        eps = self.eps if eps is None else eps
        steps = self.steps if eps else 0
        return pgd(self.model, images, labels, eps=eps, step=eps / 4, steps=steps, generator=rng)

    def one_step(self, images: Tensor, labels: Tensor, eps: float) -> Tensor:
        """Return FGSM's images: one signed gradient step of length `eps` from the image itself.

        Source: Goodfellow et al. 2015, arXiv:1412.6572.
        """
        return ascend(self.loss(labels), images, images, eps=eps, step=eps, steps=1)


def only(first: Tensor, second: Tensor) -> Counts:
    """Return how many images only one of two attacks broke, from what each left robust [N]."""
    return Counts(int((~first & second).sum()), int((first & ~second).sum()))


def compared(check: str, weak: Tensor, strong: Tensor) -> Outcome:
    """Return whether the second attack is the stronger, from what each left robust [N]."""
    return stronger(check, [only(weak, strong)], len(weak))
