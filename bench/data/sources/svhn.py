"""SVHN as published, through torchvision, which verifies checksums; the extra images stay out."""

from __future__ import annotations

from http.client import HTTPException
from pathlib import Path
from typing import Literal

import torch

from bench.data.dataset import Images
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError
from bench.runtime.files import refusal

FILES = {"train": "train_32x32.mat", "test": "test_32x32.mat"}


def read(path: Path, name: str) -> Found:
    """Return 73,257 training and 26,032 test images, uint8 [N, 3, 32, 32]; classes are the digits.

    The files are fetched into `path` when they are not there.

    Raises
    ------
    BenchError
        A file is neither in `path` nor to be had, or is not the published one.

    Source: Netzer et al. 2011, "Reading Digits in Natural Images with Unsupervised Feature
    Learning".
    """
    train, test = _part("train", path, name), _part("test", path, name)
    return Found(train, test, tuple(map(str, range(10))))


def _part(part: Literal["train", "test"], path: Path, name: str) -> Images:
    from torchvision.datasets import SVHN

    try:
        found = SVHN(root=str(path), split=part, download=True)
    except (OSError, RuntimeError, HTTPException) as error:
        if refusal(error) is not None:
            raise
        raise BenchError(
            f"dataset {name!r}: {FILES[part]} could not be had ({error}); put the published file "
            f"into {path} (delete another one of that name there)"
        ) from error
    return Images(
        torch.from_numpy(found.data).contiguous(), torch.from_numpy(found.labels).to(torch.int64)
    )
