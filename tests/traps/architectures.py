"""Small networks for images of any size, and what is put into or around them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Function = Callable[[Tensor], Tensor]


class Convolutional(nn.Module):
    """Three 3x3 convolutions, each with a norm and an activation, a mean over the image, linear.

    `norm` makes a norm of so many channels.
    """

    def __init__(
        self,
        activation: Function = torch.relu,
        *,
        channels: int = 1,
        width: int = 8,
        classes: int = 10,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 2 * width)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths)
        )
        self.norms = nn.ModuleList(norm(after) for after in widths[1:])
        self.linear = nn.Linear(widths[-1], classes)
        self.activation = activation

    def forward(self, images: Tensor) -> Tensor:
        maps = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            maps = self.activation(norm(convolution(maps)))
        return self.linear(maps.mean(dim=(2, 3)))


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(4, channels)


def no_norm(channels: int) -> nn.Module:
    return nn.Identity()


def perceptron(pixels: int = 64, *, hidden: int = 64, classes: int = 10) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def winners_take_all(share: float) -> Function:
    """Keep the largest `share` of all units of an image (Xiao et al. 2020, arXiv:1905.10510)."""

    def activation(maps: Tensor) -> Tensor:
        flat = maps.flatten(1)
        least = flat.topk(max(1, round(share * flat.shape[1])), dim=1).values[:, -1:]
        return torch.where(flat >= least, flat, 0.0).view_as(maps)

    return activation


def quantised(bits: int, *, straight_through: bool = False, largest: float = 4.0) -> Function:
    """Round what a ReLU passes up to `largest` to `bits`; training needs `straight_through`."""
    steps = (2**bits - 1) / largest

    def activation(maps: Tensor) -> Tensor:
        kept = maps.clamp(0.0, largest)
        rounded = (kept * steps).round() / steps
        return kept + (rounded - kept).detach() if straight_through else rounded

    return activation


def steep_sigmoid(slope: float) -> Function:
    return lambda maps: torch.sigmoid(slope * maps)


class Around(nn.Module):
    """A network with functions of its images before and of its logits after."""

    def __init__(
        self,
        network: nn.Module,
        *,
        before: Function = lambda images: images,
        after: Function = lambda logits: logits,
    ) -> None:
        super().__init__()
        self.network, self.before, self.after = network, before, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.network(self.before(images)))


class InPrecision(nn.Module):
    """A network that computes in another precision."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = copy.deepcopy(network).to(dtype), dtype

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images.to(self.dtype)).float()


class InTrainMode(nn.Module):
    """A network that evaluation mode does not reach."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        self.network.train()
        return self.network(images)


def noisy(deviation: float) -> Function:
    return lambda images: images + deviation * torch.randn_like(images)


def resized(largest: int) -> Function:
    """Resize to a random size and pad at random up to `largest` (arXiv:1711.01991)."""

    def resize(images: Tensor) -> Tensor:
        side = int(torch.randint(images.shape[-1] - 1, largest + 1, ()))
        small = F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)
        left, top = (int(torch.randint(0, largest - side + 1, ())) for _ in range(2))
        return F.pad(small, (left, largest - side - left, top, largest - side - top))

    return resize


def thermometer(images: Tensor) -> Tensor:
    """Return the share of eight thresholds that each pixel exceeds; no gradient passes."""
    thresholds = (torch.arange(8) + 0.5).view(8, 1, 1, 1, 1) / 8
    return (images > thresholds).float().mean(dim=0)


def squashed(slope: float) -> Function:
    """Push pixels to black or white by a sigmoid."""
    return lambda images: torch.sigmoid(slope * (images - 0.53))
