"""Scikit-learn's handwritten digits: real images that need no download."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.data.dataset import Images
from bench.data.sources.found import Found
from bench.data.splits import choose

TEST_IMAGES = 300
BRIGHTEST = 16


def read(path: Path, name: str) -> Found:
    """Return 1,497 training and 300 test images, uint8 [N, 1, 8, 8], and the ten class names.

    The values 0 to 16 are spread over 0 to 255. The package has no test set of its own: a fixed
    choice, stratified by label, serves. `path` and `name` are not needed.

    Source: Alpaydin and Kaynak 1998, doi:10.24432/C50P49, as in ``sklearn.datasets.load_digits``.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    values = torch.from_numpy(bunch.images)
    pixels = (values * 255 / BRIGHTEST).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    test = choose(labels, TEST_IMAGES, "digits test")
    is_train = torch.ones(len(labels), dtype=torch.bool)
    is_train[test] = False
    names = tuple(map(str, bunch.target_names))
    train = Images(pixels[is_train], labels[is_train])
    return Found(train, Images(pixels[test], labels[test]), names)
