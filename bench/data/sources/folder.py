"""Image files sorted into one folder for each class."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.data.dataset import Images
from bench.data.sources.decoding import decode
from bench.parsing import BenchError

SUFFIXES = (".png", ".jpg", ".jpeg")


def read(path: Path, name: str) -> tuple[Images, Images, tuple[str, ...]]:
    """Read ``train/<class>/*`` and ``test/<class>/*``: PNG or JPEG files of one size, as RGB.

    Classes and the files of each class are in the sorted order of their names.

    Raises
    ------
    BenchError
        A missing folder, a class without images, a test class that training does not have, an
        unreadable image, or images of several sizes.
    """
    classes = class_folders(path / "train", name)
    unknown = set(class_folders(path / "test", name)) - set(classes)
    if unknown:
        raise BenchError(
            f"{path / 'test'}: no training images for {', '.join(sorted(unknown))}; "
            "the classes must be those of the folder train"
        )
    return read_part(path / "train", classes), read_part(path / "test", classes), tuple(classes)


def class_folders(part: Path, name: str) -> list[str]:
    """Return the sorted names of the folders in `part`."""
    names = (
        sorted(entry.name for entry in part.iterdir() if entry.is_dir()) if part.is_dir() else []
    )
    if not names:
        raise BenchError(
            f"dataset {name!r}: {part} does not exist or has no folders; put one folder of images "
            "for each class there or correct data.path"
        )
    return names


def read_part(part: Path, classes: list[str]) -> Images:
    """Return the images below `part`; their labels are positions in `classes`."""
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        entries = sorted((part / name).iterdir()) if (part / name).is_dir() else []
        found = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
        if not found:
            raise BenchError(
                f"{part / name}: it holds no {', '.join(SUFFIXES)} file; add images of this class"
            )
        files += found
        labels += [label] * len(found)
    pixels_NCHW = decode((str(file), file) for file in files)
    return Images(pixels_NCHW, torch.tensor(labels, dtype=torch.int64))
