"""What PGD does where it is not told otherwise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from bench.attacks.pgd import pgd


class ThreeClasses(nn.Module):
    """Linear in two classes; the third keeps the losses apart. Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.randn(2, 12, generator=torch.Generator().manual_seed(3))
        self.weight = nn.Parameter(drawn)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        flat = images.flatten(1)
        return torch.cat((flat @ self.weight.T, flat[:, :1].cos()), dim=1)


def test_unless_told_otherwise_there_is_one_start_and_the_cross_entropy_is_raised():
    images = torch.rand(16, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.full((16,), 2)

    def found(**options: Any) -> tuple[Tensor, int]:
        model, generator = ThreeClasses(), torch.Generator().manual_seed(7)
        budget = {"eps": 0.1, "step": 0.01, "steps": 3}
        moved = pgd(model, images, labels, **budget, **options, generator=generator)
        return moved, model.calls

    default, calls = found()
    assert calls == 3 + 1
    assert torch.equal(default, found(restarts=1, loss="ce")[0])
    assert not torch.equal(default, found(loss="margin")[0])
