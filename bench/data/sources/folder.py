"""Image files sorted into one folder for each class."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.data.dataset import Images
from bench.data.listing import NOTES, PARTS, SUFFIXES, tell_unread, visible
from bench.data.sources.decoding import decode
from bench.data.sources.found import Found
from bench.runtime.errors import BenchError


def read(path: Path, name: str) -> Found:
    """Read ``train/<class>/*`` and ``test/<class>/*``: image files of one size, as RGB.

    Classes and the files of each class are in the sorted order of their names. Hidden files and
    folders are left out; what else is not read is printed.

    Raises
    ------
    BenchError
        A missing folder, a class without images, a test class that training does not have, a file
        that is no image or in no class, an unreadable image, or images of several sizes.
    """
    classes = class_folders(path / "train", name)
    unknown = set(class_folders(path / "test", name)) - set(classes)
    if unknown:
        raise BenchError(
            f"{path / 'test'}: no training images for {', '.join(sorted(unknown))}; "
            "the classes must be those of the folder train"
        )
    tell_unread(path, [entry for entry in visible(path) if entry.name not in PARTS])
    train, lossy_train = read_part(path / "train", classes)
    test, lossy_test = read_part(path / "test", classes)
    return Found(train, test, tuple(classes), lossy_train or lossy_test)


def class_folders(part: Path, name: str) -> list[str]:
    """Return the sorted names of the folders in `part`."""
    entries = visible(part)
    names = [entry.name for entry in entries if entry.is_dir()]
    if not names:
        raise BenchError(
            f"dataset {name!r}: {part} does not exist or has no folders; put one folder of images "
            "for each class there or correct data.path"
        )
    stray = [entry for entry in entries if not entry.is_dir()]
    for entry in stray:
        if entry.suffix.lower() not in NOTES:
            raise BenchError(f"{entry}: it is in no class; move it into the folder of its class")
    tell_unread(part, stray)
    return names


def read_part(part: Path, classes: list[str]) -> tuple[Images, str]:
    """Return the images below `part`, and the first lossy one, "" where there is none.

    Labels are positions in `classes`.
    """
    files: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = class_files(part / name)
        if not found:
            raise BenchError(
                f"{part / name}: it holds no {', '.join(SUFFIXES)} file; add images of this class"
            )
        files += found
        labels += [label] * len(found)
    pixels_NCHW, lossy = decode((str(file), file) for file in files)
    return Images(pixels_NCHW, torch.tensor(labels, dtype=torch.int64)), lossy


def class_files(folder: Path) -> list[Path]:
    """Return the image files of one class, and make sure that no image is left out."""
    found: list[Path] = []
    notes: list[Path] = []
    for entry in visible(folder):
        suffix = entry.suffix.lower()
        if entry.is_dir():
            raise BenchError(
                f"{entry}: a folder within a class is not read; move its images into {folder}, or "
                "move it away"
            )
        if suffix not in (*SUFFIXES, *NOTES):
            raise BenchError(
                f"{entry}: {suffix or 'a file without a suffix'} is not read as an image; save it "
                "as .png, or move it away"
            )
        (notes if suffix in NOTES else found).append(entry)
    tell_unread(folder, notes)
    return found
