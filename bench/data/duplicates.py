"""Images that are in a data set more than once; a test image seen in training is no test."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from torch import Tensor

from bench.data.dataset import Dataset

DIGEST_BYTES = 16


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
