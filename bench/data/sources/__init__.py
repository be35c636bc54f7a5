"""Where images come from: one file for each source; each imports its packages only when used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.data.dataset import Dataset
from bench.data.sources import cifar10, digits, folder, parquet
from bench.parsing import BenchError, ConfigError, nearest

SOURCES = {
    "cifar10": cifar10.read,
    "digits": digits.read,
    "folder": folder.read,
    "parquet": parquet.read,
}


def read(
    source: str, *, path: Path | None, name: str, classes: Sequence[str] | None = None
) -> Dataset:
    """Read a dataset from one of the known sources.

    Parameters
    ----------
    source
        "digits" (scikit-learn's, inside the package), "cifar10" (the original archive, fetched
        when it is not there yet), "parquet" (a folder in Hugging Face's layout) or "folder"
        (one folder of images for each class).
    path
        The folder to read from; "digits" needs none.
    name
        What the dataset is called in every result, e.g. ``cifar10-jpeg`` for re-encoded images.
    classes
        Names that replace the source's own, in the order of the labels.

    Raises
    ------
    ConfigError
        The source is unknown, or it needs a folder.
    BenchError
        The images cannot be had, or they are not what they should be.
    """
    if source not in SOURCES:
        raise ConfigError(f"data.source: {source!r} is unknown; {nearest(source, SOURCES)}")
    if path is None and source != "digits":
        raise ConfigError(f"data.path: the source {source!r} needs the folder of its images")
    train, test, names = SOURCES[source](path or Path(), name)
    if classes is not None and names is not None and len(classes) != len(names):
        raise BenchError(
            f"dataset {name!r}: {len(classes)} class names are given for the {len(names)} classes "
            f"of the source {source!r}; give one name for each, or none"
        )
    if classes is None and names is None:
        count = 1 + int(max(train.labels.max(), test.labels.max()))
        # A name each for 2**40 classes would not fit into any memory.
        if count > (images := len(train) + len(test)):
            raise BenchError(
                f"{path}: dataset {name!r}: its {images} images have labels up to {count - 1}, "
                "more than one class an image; number the labels from 0 or name all classes in "
                "data.classes"
            )
        classes = default_names(name, count)
    try:
        return Dataset(name, tuple(classes or names or ()), train, test)
    except BenchError as error:
        # Images that do not go together know their name, not the folder they came from.
        raise BenchError(f"{path}: {error}" if path else str(error)) from None


def default_names(name: str, count: int) -> tuple[str, ...]:
    """Return CIFAR-10's class names for a copy of CIFAR-10, else the labels themselves."""
    # Ten classes alone say little: SVHN's and MNIST's are digits.
    if name.startswith("cifar10") and count == len(cifar10.CLASSES):
        return cifar10.CLASSES
    return tuple(map(str, range(count)))
