"""What timing needs where nothing is trained for its result: a stopwatch and images to work on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from bench.data.dataset import Dataset, Images


@contextmanager
def timed(device: torch.device) -> Iterator[list[float]]:
    """Yield a list that holds the seconds of the block, the device's work included, at its end."""
    spent: list[float] = []
    wait(device)
    began = time.perf_counter()
    yield spent
    wait(device)
    spent.append(time.perf_counter() - began)


def wait(device: torch.device) -> None:
    """Return when `device` has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def synthetic(shape: Sequence[int], classes: int, train: int, test: int) -> Dataset:
    """Return noise: uint8 images of `shape` [C, H, W], labelled with `classes` classes in turn."""
    generator = torch.Generator().manual_seed(0)

    def some(count: int) -> Images:
        pixels = torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        return Images(pixels, torch.arange(count) % classes)

    return Dataset("synthetic", tuple(map(str, range(classes))), some(train), some(test))
