"""A ten-class model and images whose robustness is known on paper, so that tests need no luck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CLASSES = 10


class Blocks(nn.Module):
    """Each logit is the mean of the class's own block of pixels, times `scale`.

    A large `scale` saturates the softmax, so that cross-entropy has no gradient while the ranking
    of the logits, and with it the robustness of every image, stays what it was.
    """

    def __init__(self, shape: Sequence[int], *, scale: float = 1.0, classes: int = CLASSES) -> None:
        super().__init__()
        pixels = int(torch.tensor(shape).prod())
        block = pixels // classes
        weight_KD = torch.zeros(classes, pixels)
        for label in range(classes):
            weight_KD[label, label * block : (label + 1) * block] = scale / block
        self.linear = nn.Linear(pixels, classes, bias=False)
        self.linear.weight = nn.Parameter(weight_KD)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(images.flatten(1))


def pixels(
    labels: Sequence[int], levels: Sequence[int], shape: Sequence[int], *, classes: int = CLASSES
) -> Tensor:
    """Make uint8 images whose label's block lies 2 x level above the block of the next class.

    An Linf attack lowers one block by eps and raises the other by as much, and nothing else helps:
    an image is robust exactly where eps < level / 255.
    """
    size = int(torch.tensor(shape).prod())
    block = size // classes
    flat = torch.full((len(labels), size), 80, dtype=torch.uint8)
    for row, label, level in zip(flat, labels, levels, strict=True):
        rival = (label + 1) % classes
        row[label * block : (label + 1) * block] = 128 + level
        row[rival * block : (rival + 1) * block] = 128 - level
    return flat.reshape(len(labels), *shape)
