"""What tells the images of a source from others of the same name, whoever brought them.

Shape suffixes: N images, C channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 2048  # images: counting takes 8 bytes a value
DIGITS = 6
BRIGHTEST = 255


@dataclass(frozen=True)
class Origin:
    """A source's images before a part of them is taken."""

    source: str  # as in `data.source`
    lossless: bool  # whether every file keeps its pixels exactly, as PNG does and JPEG does not
    class_counts: dict[str, tuple[int, ...]]  # by part, in the order of the labels
    # Of each channel of all training pixels in [0, 1], to 6 decimals.
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]


def channel_moments(
    pixels_NCHW: NDArray[np.uint8],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel in [0, 1], to 6 decimals.

    They are computed from how often each value occurs, in whole numbers: exact, and the same on
    every machine.
    """
    means, deviations = [], []
    for channel in range(pixels_NCHW.shape[1]):
        count_V = np.zeros(BRIGHTEST + 1, np.int64)
        for first in range(0, len(pixels_NCHW), AT_ONCE):
            values = pixels_NCHW[first : first + AT_ONCE, channel].ravel()
            count_V += np.bincount(values, minlength=BRIGHTEST + 1)
        counts = count_V.tolist()
        total = sum(counts)
        first_moment = sum(count * value for value, count in enumerate(counts))
        second_moment = sum(count * value**2 for value, count in enumerate(counts))
        spread = sqrt(total * second_moment - first_moment**2)
        means.append(round(first_moment / (total * BRIGHTEST), DIGITS))
        deviations.append(round(spread / (total * BRIGHTEST), DIGITS))
    return tuple(means), tuple(deviations)
