"""A more exact network opens the attack that a coarser one goes on with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack

KL = InnerAttack(loss="kl", start="gaussian")
CE = InnerAttack(loss="ce", start="gaussian")


class Linear(nn.Module):
    """Five classes in double precision; keeps what it was called with."""

    def __init__(self, *, coarse: bool = False) -> None:
        super().__init__()
        weight = torch.randn(5, 12, generator=generator(3), dtype=torch.float64)
        self.weight = nn.Parameter(weight.round() if coarse else weight)
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return images.flatten(1) @ self.weight.T


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("attack", [KL, CE])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_more_exact_network_gives_the_target_and_the_first_gradient(attack, steps):
    exact, coarse = Linear(), Linear(coarse=True)
    images = torch.rand(8, 3, 2, 2, generator=generator(0), dtype=torch.float64)
    labels = torch.arange(8) % 5
    noise = attack.noise(images.shape, eps=0.1, generator=generator(1))
    budget = Budget(eps=0.1, step=0.03, steps=steps)
    moved = attack(coarse, images, labels, budget, noise, exact)
    targets = 1 if attack is KL else 0
    assert len(exact.seen) == targets + min(steps, 1)
    assert len(coarse.seen) == max(steps - 1, 0)
    first = Budget(eps=0.1, step=0.03, steps=min(steps, 1))
    begun = attack(exact, images, labels, first, noise)
    if steps < 2:
        assert torch.equal(moved, begun)
    else:
        assert torch.equal(coarse.seen[0], begun)
