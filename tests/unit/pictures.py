"""Small pictures whose pixels all differ, for tests of the sources."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image


def picture(shade: int, size: tuple[int, int] = (6, 4)) -> Image.Image:
    """A picture of width 6 and height 4 whose pixels all differ."""
    width, height = size
    values = (np.arange(width * height * 3) + shade).reshape(height, width, 3)
    return Image.fromarray(values.astype(np.uint8))


def png(image: Image.Image) -> bytes:
    return encoded(image, "png")


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    return stream.getvalue()


def write_tree(root: Path, shades: dict[str, int], *, suffix: str = "png") -> None:
    """Write one picture for each ``part/class/name`` below `root`."""
    for where, shade in shades.items():
        path = root / f"{where}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(shade).save(path)


def pixels_of(shade: int) -> torch.Tensor:
    return torch.from_numpy(np.array(picture(shade))).permute(2, 0, 1)
