"""The block of residual networks whose batch-norm and ReLU come before each convolution.

He et al. 2016, arXiv:1603.05027. A shortcut that changes the shape starts after the first
batch-norm.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class PreActBlock(nn.Module):
    """Two 3x3 convolutions, each after its batch-norm, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.moved = stride != 1 or inputs != outputs
        if self.moved:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        active = F.relu(self.bn1(maps))
        beside = self.shortcut(active) if self.moved else maps
        inner = self.conv1(active)
        inner = self.conv2(F.relu(self.bn2(inner)))
        total: Tensor = inner + beside
        return total
