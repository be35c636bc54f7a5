"""CIFAR-10 and CIFAR-100 as published: checksums are verified before anything is unpickled."""

from __future__ import annotations

import warnings
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import torch

from bench.data.dataset import Images, to_unit
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError
from bench.runtime.files import refusal

ARCHIVES = {10: "cifar-10-python.tar.gz", 100: "cifar-100-python.tar.gz"}
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


def read(path: Path, name: str, *, classes: Literal[10, 100]) -> Found:
    """Return 50,000 training and 10,000 test images, uint8 [N, 3, 32, 32], and the class names.

    CIFAR-100's are its 100 fine classes. The training images come through torchvision and the test
    images through RobustBench, so that a model is evaluated on the very tensors that RobustBench
    evaluates on. Both fetch the archive into `path` when it is not there.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images".
    """
    import torchvision.datasets

    from bench.attacks.autoattack import provide

    provide()  # RobustBench imports a module of that package by a name that may be missing.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        import robustbench.data

    archive_file = ARCHIVES[classes]
    original = getattr(torchvision.datasets, f"CIFAR{classes}")
    load_test = getattr(robustbench.data, f"load_cifar{classes}")
    try:
        archive = original(root=str(path), train=True, download=True)
        test_NCHW, test_labels_N = load_test(data_dir=str(path))
    except (OSError, RuntimeError, HTTPException) as error:
        if refusal(error) is not None:
            raise
        # A download that was not the archive, such as a provider's web page, lies in its place.
        there = f"what is at {path / archive_file} is not the published archive: delete it and "
        raise BenchError(
            f"dataset {name!r}: the images could not be had ({error}); "
            f"{there if (path / archive_file).is_file() else ''}put {archive_file} into {path}, "
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


read_cifar10 = partial(read, classes=10)
read_cifar100 = partial(read, classes=100)
