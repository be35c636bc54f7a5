"""What data.json and train.json say of the images alike."""

from __future__ import annotations

from typing import Any

from bench.config.parsing import plain
from bench.data.dataset import Dataset
from bench.data.duplicates import count_duplicates


def images_record(dataset: Dataset) -> dict[str, Any]:
    """Return the origin of the images, as far as it is known, and how many of them are equal."""
    return {**(plain(dataset.origin) or {}), **count_duplicates(dataset)}


def duplicates_note(dataset_name: str, record: dict[str, Any], test_images: int) -> str:
    """Return what to tell of equal images, "" where there are none."""
    copies, shared = record["train_duplicates"], record["train_test_duplicates"]
    found = []
    if shared:
        found.append(f"{shared} of {test_images} test images are training images too")
    if copies:
        found.append(
            f"{copies} training images are copies of others, which may be held out for validation"
        )
    return f"dataset {dataset_name!r}: {'; '.join(found)}" if found else ""
