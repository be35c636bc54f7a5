"""What is known of published data sets, by which their images are told from others of that name.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results.records import DataRecord

# The moments are compared to 4 decimals, as they are mostly quoted. CIFAR-10 as JPEG of quality 75
# is 0.0018, 0.0007 and 0.0010 from the standard deviations of its channels.
TOLERANCE = 5e-5
ROBUSTBENCH_DATA = ("cifar10", "cifar100")  # whose test sets and models RobustBench has


@dataclass(frozen=True)
class Published:
    """A data set of 8-bit images."""

    shape: tuple[int, ...]  # channels, rows, columns
    train: int
    test: int
    classes: int
    balanced: bool  # whether each part has equally many images of every class
    # Of each channel over all training pixels in [0, 1]; empty where they are not known.
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


def difference(data: DataRecord) -> str:
    """Return in what the images of a run are not the published ones of that name, else "".

    A name that is not in `PUBLISHED` promises nothing. A record that does not tell enough, as those
    of earlier versions, is taken to be of other images.
    """
    known = PUBLISHED.get(data.name)
    if known is None:
        return ""
    if data.lossless is None or not (data.image_shape and data.class_counts):
        return "its record does not tell size, counts and encoding of the images: train again"
    if said := mismatch(known, data.image_shape, data.class_counts):
        return said
    if not data.lossless:
        return "the image files do not keep the published values: they are encoded with losses"
    for what, ours, theirs in (
        ("means", data.channel_mean, known.mean),
        ("standard deviations", data.channel_std, known.std),
    ):
        if theirs and not _near(ours, theirs):
            return f"the {what} of the training images' channels are {ours}, not {theirs}"
    return ""


def mismatch(
    known: Published, shape: tuple[int, ...], class_counts: Mapping[str, Sequence[int]]
) -> str:
    """Return in what size and counts (by part and class) are not those of `known`, else ""."""
    if shape != known.shape:
        return f"images are {shape} (channels, rows, columns), not {known.shape}"
    parts = (("train", known.train), ("test", known.test))
    found = (_counts(part, class_counts.get(part, ()), total, known) for part, total in parts)
    return next(filter(None, found), "")


def _counts(part: str, counts: Sequence[int], total: int, known: Published) -> str:
    if len(counts) != known.classes:
        return f"{part} has {len(counts)} classes, not {known.classes}"
    if sum(counts) != total:
        return f"{part} has {sum(counts)} images, not {total}"
    if known.balanced and len(set(counts)) > 1:
        each = total // known.classes
        return f"{part} has {min(counts)} to {max(counts)} images of a class, not {each} of each"
    return ""


def _near(ours: Sequence[float], theirs: Sequence[float]) -> bool:
    return len(ours) == len(theirs) and all(
        abs(one - other) <= TOLERANCE for one, other in zip(ours, theirs, strict=True)
    )


def robustbench_name(name: str) -> str | None:
    """Return RobustBench's name for the images that `name` is or is a variant of, or None.

    A variant is the name with a hyphen and more, such as cifar10-jpeg; cifar10.1 and cifar10c are
    other images.
    """
    return next(
        (one for one in ROBUSTBENCH_DATA if name == one or name.startswith(f"{one}-")), None
    )
