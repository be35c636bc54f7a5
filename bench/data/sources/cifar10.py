"""CIFAR-10 as its authors published it: checksums are verified before anything is unpickled."""

from __future__ import annotations

import warnings
from http.client import HTTPException
from pathlib import Path

import torch

from bench.data.dataset import Images, to_unit
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError
from bench.runtime.files import refusal

ARCHIVE = "cifar-10-python.tar.gz"
CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def read(path: Path, name: str) -> Found:
    """Return 50,000 training and 10,000 test images, uint8 [N, 3, 32, 32], and the class names.

    The training images come through torchvision and the test images through RobustBench, so that
    a model is evaluated on the very tensors that RobustBench evaluates on. Both fetch the archive
    into `path` when it is not there.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    from torchvision.datasets import CIFAR10

    from bench.attacks.autoattack import provide

    provide()  # RobustBench imports a module of that package by a name that may be missing.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        from robustbench.data import load_cifar10

    try:
        archive = CIFAR10(root=str(path), train=True, download=True)
        test_NCHW, test_labels_N = load_cifar10(data_dir=str(path))
    except (OSError, RuntimeError, HTTPException) as error:
        if refusal(error) is not None:
            raise
        # A download that was not the archive, such as a provider's web page, lies in its place.
        there = f"what is at {path / ARCHIVE} is not the published archive: delete it and "
        raise BenchError(
            f"dataset {name!r}: the images could not be had ({error}); "
            f"{there if (path / ARCHIVE).is_file() else ''}put {ARCHIVE} into {path}, "
            "or use a folder of parquet files through data.source: parquet"
        ) from error
    test_pixels_NCHW = (test_NCHW * 255).round().to(torch.uint8)
    if not torch.equal(to_unit(test_pixels_NCHW), test_NCHW):
        raise BenchError(
            f"dataset {name!r}: RobustBench's test images are not 8-bit values over 255; "
            "install the version of robustbench that environment.yml names"
        )
    train_pixels_NCHW = torch.from_numpy(archive.data).permute(0, 3, 1, 2).contiguous()
    train_labels_N = torch.tensor(archive.targets, dtype=torch.int64)
    return Found(
        Images(train_pixels_NCHW, train_labels_N),
        Images(test_pixels_NCHW, test_labels_N.to(torch.int64)),
        tuple(archive.classes),
    )
