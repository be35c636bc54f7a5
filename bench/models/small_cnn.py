"""A three-layer network for runs of minutes on a CPU; of this suite, not of any paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.base import register


@register("small_cnn")
class SmallCNN(nn.Module):
    """3x3 convolutions of `width`, 2 `width`, 2 `width` channels, a mean over the image, linear.

    No stride: on images of 8x8 pixels the last maps still see every pixel, and averaging over all
    places is what keeps the network robust when the images are shifted.
    """

    def __init__(self, *, classes: int, channels: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.linear = nn.Linear(2 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        maps = F.relu(self.bn3(self.conv3(maps)))
        logits: Tensor = self.linear(maps.mean(dim=(2, 3)))
        return logits
