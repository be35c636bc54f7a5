"""A three-layer network for runs of minutes on a CPU; of this suite, not of any paper."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.base import register
from bench.parsing import BenchError

GRID = 4


@register("small_cnn")
class SmallCNN(nn.Module):
    """3x3 convolutions of `width`, 2 `width`, 2 `width` channels at strides 1, 2, 1, then linear.

    The last maps are averaged over a 4x4 grid, which 8x8 images fill exactly: where a stroke is
    tells digits apart.
    """

    def __init__(self, *, classes: int, channels: int, width: int = 16) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(2 * width)
        self.conv3 = nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(2 * width)
        self.linear = nn.Linear(2 * width * GRID * GRID, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K].

        Raises
        ------
        BenchError
            The sides of the images cannot be divided into the grid.
        """
        maps = F.relu(self.bn1(self.conv1(images)))
        maps = F.relu(self.bn2(self.conv2(maps)))
        maps = F.relu(self.bn3(self.conv3(maps)))
        # Adaptive pooling would take any side, but its gradient on CUDA is not deterministic.
        cell = [-(-side // GRID) for side in maps.shape[2:]]
        cells = F.avg_pool2d(maps, cell, ceil_mode=True)
        if cells.shape[2:] != (GRID, GRID):
            raise BenchError(
                "small_cnn takes images with sides of 7, 8, 13 to 16 or at least 19 pixels, got "
                f"{images.shape[2]}x{images.shape[3]}: resize them or choose resnet18"
            )
        logits: Tensor = self.linear(cells.flatten(1))
        return logits
