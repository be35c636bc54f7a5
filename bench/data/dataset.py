"""Images with labels as tensors, and the file that holds a whole dataset.

Shape suffixes: N images of a dataset, C channels, H rows, W columns.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bench.config.parsing import parse, plain
from bench.data.origin import Origin
from bench.results.data_header import KEY
from bench.runtime.errors import BenchError
from bench.runtime.files import appearing

FIX = "make it with `python -m bench data`, or name another file"


@dataclass(frozen=True, eq=False)
class Images:
    """Images as they are stored: 8 bits a value."""

    pixels: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]

    def __post_init__(self) -> None:
        if self.pixels.dtype != torch.uint8 or self.pixels.ndim != 4:
            raise ValueError(f"pixels must be uint8 [N, C, H, W], not {describe(self.pixels)}")
        if self.labels.dtype != torch.int64 or self.labels.shape != self.pixels.shape[:1]:
            raise ValueError(
                f"labels must be int64 [{len(self.pixels)}], not {describe(self.labels)}"
            )
        if not len(self.labels):
            raise ValueError("there must be at least one image")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of the same classes and the same size."""

    name: str  # what results are reported under; it tells a re-encoded copy from the original
    classes: tuple[str, ...]  # one name for each label, in the order of the labels
    train: Images
    test: Images  # never used to choose anything
    # How many images the source has of each part; None: these are all.
    of_train: int | None = None
    of_test: int | None = None
    origin: Origin | None = None  # of the source, if there is one

    def __post_init__(self) -> None:
        for part, images in self.parts().items():
            low, high = int(images.labels.min()), int(images.labels.max())
            if low < 0 or high >= len(self.classes):
                raise BenchError(
                    f"dataset {self.name!r}: the {part} labels run from {low} to {high}, but its "
                    f"{len(self.classes)} classes are numbered from 0; correct the labels or "
                    "name the missing classes"
                )
        train, test = (tuple(images.pixels.shape[1:]) for images in self.parts().values())
        if train != test:
            raise BenchError(
                f"dataset {self.name!r}: training images are {train} (channels, rows, columns), "
                f"test images are {test}; bring them to one size"
            )

    def parts(self) -> dict[str, Images]:
        """Return the images by the name of their part."""
        return {"train": self.train, "test": self.test}

    def source_sizes(self) -> dict[str, int]:
        """Return how many images the source has, by the name of the part."""
        return {
            "train": len(self.train) if self.of_train is None else self.of_train,
            "test": len(self.test) if self.of_test is None else self.of_test,
        }

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over shapes, pixels and labels of both parts, and nothing else."""
        digest = hashlib.sha256()
        for part, images in self.parts().items():
            digest.update(f"{part} {tuple(images.pixels.shape)}".encode())
            digest.update(images.pixels.cpu().contiguous().numpy().data)
            # Little-endian, so that every machine hashes the same bytes.
            digest.update(images.labels.cpu().contiguous().numpy().astype("<i8", copy=False).data)
        return digest.hexdigest()


def describe(values: Tensor) -> str:
    """Return the type and the shape of `values` for an error's text."""
    return f"{str(values.dtype).removeprefix('torch.')} {list(values.shape)}"


def to_unit(pixels: Tensor) -> Tensor:
    """Return uint8 pixels as float32 in [0, 1]: the one scale that every part of the suite uses."""
    return pixels.to(torch.float32) / 255


def save(dataset: Dataset, path: Path, spec: dict[str, Any] | None = None) -> None:
    """Write the dataset to one safetensors file, which appears only when it is complete.

    `spec` is the section of the config that it was made for: see `bench.results.data_header`.
    """
    tensors = {
        f"{part}.{field}": getattr(images, field).clone(memory_format=torch.contiguous_format)
        for part, images in dataset.parts().items()
        for field in ("pixels", "labels")
    }
    about = {
        "name": dataset.name,
        "classes": dataset.classes,
        "fingerprint": dataset.fingerprint,
        "source_sizes": dataset.source_sizes(),
        "origin": plain(dataset.origin),
        "spec": spec,
    }
    with appearing(path) as partial:
        # One entry: safetensors writes several in no fixed order, and equal data is equal bytes.
        save_file(tensors, partial, {KEY: json.dumps(about)})


def load(path: Path) -> Dataset:
    """Read what `save` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            train, test = (
                Images(file.get_tensor(f"{part}.pixels"), file.get_tensor(f"{part}.labels"))
                for part in ("train", "test")
            )
        sizes, origin = about["source_sizes"], about["origin"]
        dataset = Dataset(
            about["name"],
            tuple(about["classes"]),
            train,
            test,
            of_train=sizes["train"],
            of_test=sizes["test"],
            origin=parse(Origin, origin, where="origin") if origin else None,
        )
        written = about["fingerprint"]
    except FileNotFoundError:
        raise BenchError(f"{path}: there is no such file; {FIX}") from None
    except (SafetensorError, OSError, KeyError, ValueError, BenchError) as error:
        raise BenchError(f"{path}: damaged or not a dataset ({error}); {FIX}") from error
    if dataset.fingerprint != written:
        raise BenchError(f"{path}: its images are not the ones that were written; {FIX}")
    return dataset
