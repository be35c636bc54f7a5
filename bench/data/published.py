"""What is known of the data sets for which papers report numbers. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """A data set as its authors published it.

    Parameters
    ----------
    image_shape
        Channels, rows, columns.
    class_counts
        Images of each class, by part.
    channel_mean, channel_std
        Of each channel of the training pixels in [0, 1].
    """

    image_shape: tuple[int, ...]
    class_counts: dict[str, tuple[int, ...]]
    channel_mean: tuple[float, ...]
    channel_std: tuple[float, ...]


PUBLISHED = {
    "cifar10": Published(
        image_shape=(3, 32, 32),
        class_counts={"train": (5000,) * 10, "test": (1000,) * 10},
        channel_mean=(0.49139968, 0.48215841, 0.44653091),
        channel_std=(0.24703223, 0.24348513, 0.26158784),
    ),
    "cifar100": Published(
        image_shape=(3, 32, 32),
        class_counts={"train": (500,) * 100, "test": (100,) * 100},
        channel_mean=(0.50707516, 0.48654887, 0.44091784),
        channel_std=(0.26733429, 0.25643846, 0.27615047),
    ),
}
