"""What data.json and train.json say of the images alike."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from torch import Tensor

from bench.data.dataset import Dataset
from bench.results.records import DataRecord

DIGEST_BYTES = 16


def data_record(dataset: Dataset) -> DataRecord:
    """Return what the images are, where they came from, and how many of them are equal."""
    sizes = dataset.source_sizes()
    origin = vars(dataset.origin) if dataset.origin else {}
    known: dict[str, Any] = {**origin, **count_duplicates(dataset)}
    return DataRecord(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        classes=dataset.classes,
        train_images=len(dataset.train),
        test_images=len(dataset.test),
        source_train_images=sizes["train"],
        source_test_images=sizes["test"],
        image_shape=tuple(dataset.train.pixels.shape[1:]),
        **known,
    )


def count_duplicates(dataset: Dataset) -> dict[str, int]:
    """Count equal images by their pixels, whatever their labels.

    Returns
    -------
    dict
        ``train_duplicates``: training images of which an earlier one is a copy, some of which may
        be held out of training while the other is trained on. ``train_test_duplicates``: test
        images that are training images too.
    """
    train, test = (list(_digests(images.pixels)) for images in dataset.parts().values())
    known = set(train)
    return {
        "train_duplicates": len(train) - len(known),
        "train_test_duplicates": sum(digest in known for digest in test),
    }


def _digests(pixels_NCHW: Tensor) -> Iterator[bytes]:
    for pixels in pixels_NCHW.cpu().contiguous().numpy():
        yield blake2b(pixels.data, digest_size=DIGEST_BYTES).digest()


def duplicates_note(record: DataRecord) -> str:
    """Return what to tell of equal images, "" where there are none."""
    found = []
    if record.train_test_duplicates:
        found.append(
            f"{record.train_test_duplicates} of {record.test_images} test images are training "
            "images too"
        )
    if record.train_duplicates:
        found.append(
            f"{record.train_duplicates} training images are copies of others, which may be held "
            "out for validation"
        )
    return f"dataset {record.name!r}: {'; '.join(found)}" if found else ""
