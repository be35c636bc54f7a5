"""What is known of published data sets, by which their images are told from others of that name.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A data set of 8-bit images.

    Parameters
    ----------
    shape
        Channels, rows and columns.
    train, test
        The number of images of each part.
    classes
        The number of classes.
    balanced
        Whether each part has equally many images of every class.
    mean, std
        Of each channel over all training pixels in [0, 1]; empty where they are not known.
    """

    shape: tuple[int, ...]
    train: int
    test: int
    classes: int
    balanced: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


# By the name that `data.name` and reported numbers use.
PUBLISHED: Mapping[str, Published] = {
    "cifar10": Published(
        shape=(3, 32, 32),
        train=50_000,
        test=10_000,
        classes=10,
        balanced=True,
        mean=(0.49139968, 0.48215841, 0.44653091),
        std=(0.24703223, 0.24348513, 0.26158784),
    ),
    "cifar100": Published(
        shape=(3, 32, 32),
        train=50_000,
        test=10_000,
        classes=100,
        balanced=True,
        mean=(0.50707516, 0.48654887, 0.44091784),
        std=(0.26733429, 0.25643846, 0.27615047),
    ),
    "svhn": Published(shape=(3, 32, 32), train=73_257, test=26_032, classes=10, balanced=False),
}
