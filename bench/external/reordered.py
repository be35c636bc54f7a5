"""A network whose channels or classes are in another order than ours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Reordered(nn.Module):
    """`network` of images with its channels reversed, or with its outputs in another order."""

    place: Tensor

    def __init__(self, network: nn.Module, *, flipped: bool, outputs: Sequence[int] | None) -> None:
        super().__init__()
        self.network, self.flipped = network, flipped
        place = torch.empty(0, dtype=torch.long) if outputs is None else torch.tensor(outputs)
        self.register_buffer("place", place.argsort(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        logits: Tensor = self.network(images.flip(1) if self.flipped else images)
        return logits[:, self.place] if len(self.place) else logits
