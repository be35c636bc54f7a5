"""Where images come from: one file for each source; each imports its packages only when used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench.config.parsing import nearest
from bench.data.dataset import Dataset
from bench.data.origin import Origin, channel_moments
from bench.data.published import PUBLISHED, mismatch
from bench.data.sources import cifar, digits, folder, parquet, svhn
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError, ConfigError

SOURCES: dict[str, Callable[[Path, str], Found]] = {
    "cifar10": cifar.read_cifar10,
    "cifar100": cifar.read_cifar100,
    "digits": digits.read,
    "folder": folder.read,
    "parquet": parquet.read,
    "svhn": svhn.read,
}


def read(
    source: str,
    *,
    path: Path | None,
    name: str,
    classes: Sequence[str] | None = None,
    allow_copies: bool = False,
) -> Dataset:
    """Read a dataset from one of the known sources.

    Parameters
    ----------
    source
        "digits" (scikit-learn's, inside the package), "cifar10", "cifar100" and "svhn" (the
        original files, fetched when they are not there yet), "parquet" (a folder in Hugging Face's
        layout) or "folder" (one folder of images for each class).
    path
        The folder to read from; "digits" needs none.
    name
        What the dataset is called in every result, e.g. ``cifar10-jpeg`` for re-encoded images.
    classes
        Names that replace the source's own, in the order of the labels.
    allow_copies
        Whether parquet files may be copies of each other, whose images then count twice.
    """
    if source not in SOURCES:
        raise ConfigError(f"data.source: {source!r} is unknown; {nearest(source, SOURCES)}")
    if path is None and source != "digits":
        raise ConfigError(f"data.path: the source {source!r} needs the folder of its images")
    reader = partial(parquet.read, allow_copies=allow_copies)
    found = (reader if source == "parquet" else SOURCES[source])(path or Path(), name)
    train, test, names = found.train, found.test, found.classes
    if classes is not None and names is not None and len(classes) != len(names):
        raise BenchError(
            f"dataset {name!r}: {len(classes)} class names are given for the {len(names)} classes "
            f"of the source {source!r}; give one name for each, or none"
        )
    if classes is None and names is None:
        count = 1 + int(max(train.labels.max(), test.labels.max()))
        classes = default_names(name, count)
    try:
        dataset = Dataset(name, tuple(classes or names or ()), train, test)
    except BenchError as error:
        # Images that do not go together know their name, not the folder they came from.
        raise BenchError(f"{path}: {error}" if path else str(error)) from None
    dataset = replace(dataset, origin=origin_of(source, dataset, lossless=not found.lossy))
    check_name(dataset, path, found.lossy)
    return dataset


def origin_of(source: str, dataset: Dataset, *, lossless: bool) -> Origin:
    """Return what is known of all images of the source."""
    counts = {
        part: tuple(images.labels.bincount(minlength=len(dataset.classes)).tolist())
        for part, images in dataset.parts().items()
    }
    means, deviations = channel_moments(dataset.train.pixels.numpy())
    return Origin(source, lossless, counts, means, deviations)


def check_name(dataset: Dataset, path: Path | None, lossy: str) -> None:
    """Raise ConfigError where other images have the name of a data set that papers report on.

    Their numbers are shown beside it in every result.
    """
    published, origin = PUBLISHED.get(dataset.name), dataset.origin
    if published is None or origin is None:
        return
    why = mismatch(published, tuple(dataset.train.pixels.shape[1:]), origin.class_counts)
    if lossy:
        why = f"{lossy} does not keep the original pixels exactly"
    if not why:
        return
    raise ConfigError(
        f"data.name: {dataset.name!r} is for the images as they were published, and these are not "
        f"({path}: {why}); name it {dataset.name}-mine"
    )


def default_names(name: str, count: int) -> tuple[str, ...]:
    """Return CIFAR-10's class names for a copy of CIFAR-10, else the labels themselves."""
    # Ten classes alone say little: SVHN's and MNIST's are digits.
    if name.startswith("cifar10") and count == len(cifar.CLASSES):
        return cifar.CLASSES
    return tuple(map(str, range(count)))
