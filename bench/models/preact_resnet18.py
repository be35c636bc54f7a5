"""PreAct ResNet-18 with the CIFAR stem: batch-norm and ReLU come before each convolution.

He et al. 2016, arXiv:1603.05027, with a last batch-norm before the mean, as in the code of Rice et
al. 2020 and Wong et al. 2020. Weights start as PyTorch initialises its layers, as they do there.
Images in [0, 1] are not normalised. At width 64, with 10 classes and 3 channels, 11,172,170
parameters. Most of its batch-norms follow a sum, where no convolution can take them in.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.base import register
from bench.models.preact_block import PreActBlock


@register("preact_resnet18")
class PreActResNet18(nn.Module):
    """Four stages of two blocks, `width` to 8 * `width` channels, then the mean of each map."""

    def __init__(self, *, classes: int, channels: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.layer1 = _stage(width, width, stride=1)
        self.layer2 = _stage(width, 2 * width, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, stride=2)
        self.layer4 = _stage(4 * width, 8 * width, stride=2)
        self.bn = nn.BatchNorm2d(8 * width)
        self.linear = nn.Linear(8 * width, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        maps = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(images)))))
        logits: Tensor = self.linear(F.relu(self.bn(maps)).mean(dim=(2, 3)))
        return logits


def _stage(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(PreActBlock(inputs, outputs, stride), PreActBlock(outputs, outputs, 1))
