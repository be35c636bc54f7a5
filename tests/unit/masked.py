"""Networks whose robustness is known on paper and whose gradients hide it, and one that is honest.

Each is `Blocks` seen through something that an attack cannot see through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from margins import Blocks, pixels
from torch import Tensor, nn

from bench.config.experiment import Compute, Diagnostics, DiagnosticsSpec, Threat
from bench.data.dataset import Images, to_unit
from bench.diagnostics.job import evaluation_target
from bench.diagnostics.target import EvaluationTarget

SHAPE = (1, 16, 16)
EPS = 8 / 255
COUNT = 60
LABELS = [index % 10 for index in range(COUNT)]
# A third of the images falls at this eps, the others stand; no radius of a curve is a tie.
LEVELS = [1 + 14 * index % 24 for index in range(COUNT)]
SPEC = DiagnosticsSpec(
    threat=Threat(eps=EPS),
    diagnostics=Diagnostics(
        images=COUNT, steps=12, max_steps=20, restarts=3, square_queries=60, surfaces=2
    ),
    batch_size=25,
    compute=Compute(device="cpu", threads=1, tf32=False),
)


class Quantised(Blocks):
    """Rounds its input, so that no gradient passes."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 16).round() / 16)


class Shattered(Blocks):
    """Adds a ripple too fine to matter to the eye, whose slope drowns that of the network."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images + 0.05 * torch.sin(2000 * images))


class Dimpled(Blocks):
    """Has the slope reversed in a narrow dimple around each image it knows.

    As after catastrophic overfitting, one step from the image goes the wrong way, and an attack
    that starts elsewhere finds what there is.
    """

    def __init__(self, known: Tensor) -> None:
        super().__init__(SHAPE, scale=100)
        self.known = known

    def forward(self, images: Tensor) -> Tensor:
        # Each image is compared with all that are known; the nearest is its own.
        away = torch.cdist(images.flatten(1), self.known.flatten(1), p=1.0)
        own = self.known[away.argmin(dim=1)]
        moved = images - own
        seen = torch.where(moved.abs() < EPS / 8, -4 * moved, moved)
        return super().forward(own + seen)


def some_images(levels: list[int] | None = None) -> Images:
    return Images(pixels(LABELS, levels or LEVELS, SHAPE), torch.tensor(LABELS))


def networks() -> dict[str, nn.Module]:
    return {
        "saturated": Blocks(SHAPE, scale=1e5),
        "quantised": Quantised(SHAPE, scale=100),
        "shattered": Shattered(SHAPE, scale=100),
        "dimpled": Dimpled(to_unit(some_images([4] * COUNT).pixels)),
    }


@contextmanager
def target(network: nn.Module, test: Images | None = None) -> Iterator[EvaluationTarget]:
    with evaluation_target(network, test or some_images(), SPEC) as lent:
        yield lent
