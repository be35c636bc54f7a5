"""ResNet-18 with the CIFAR stem: 3x3 at stride 1 and no max-pool, so 32x32 images keep detail.

He et al. 2015, arXiv:1512.03385, as adapted to CIFAR in the code of TRADES, MART and most of the
adversarial-training literature. Weights start as PyTorch initialises its layers, as they do there.
Images in [0, 1] are not normalised. At width 64, with 10 classes and 3 channels, 11,173,962
parameters.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.base import register


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is the identity where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
                nn.BatchNorm2d(outputs),
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Map [B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        inner = F.relu(self.bn1(self.conv1(maps)))
        inner = self.bn2(self.conv2(inner))
        return F.relu(inner + self.shortcut(maps))


@register("resnet18")
class ResNet18(nn.Module):
    """Four stages of two blocks, `width` to 8 * `width` channels, then the mean of each map."""

    def __init__(self, *, classes: int, channels: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.linear = nn.Linear(8 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.linear(maps.mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1))
