"""Wide residual networks for CIFAR, of which files of this package register depths and widths.

Zagoruyko and Komodakis 2016, arXiv:1605.07146, in the form of the code of TRADES and MART: no
dropout, and where a block changes the number of channels its shortcut starts after the first
batch-norm. Convolutions start from a normal distribution of variance 2 / fan-out and the last
layer's bias from zero, as there. Images in [0, 1] are not normalised.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.preact_block import PreActBlock

STEM = 16  # channels


class WideResNet(nn.Module):
    """Three stages of `blocks` blocks, `width` to 4 * `width` channels, then the mean of maps."""

    def __init__(self, *, classes: int, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, STEM, 3, padding=1, bias=False)
        self.block1 = _stage(STEM, width, blocks, stride=1)
        self.block2 = _stage(width, 2 * width, blocks, stride=2)
        self.block3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.bn = nn.BatchNorm2d(4 * width)
        self.linear = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        maps = self.block3(self.block2(self.block1(self.conv1(images))))
        logits: Tensor = self.linear(F.relu(self.bn(maps)).mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = PreActBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(PreActBlock(outputs, outputs, 1) for _ in range(blocks - 1)))
