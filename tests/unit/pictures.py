"""Small pictures whose pixels all differ, for tests of the sources."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image


def picture(shade: int, size: tuple[int, int] = (6, 4)) -> Image.Image:
    """A picture of width 6 and height 4 whose pixels all differ."""
    width, height = size
    values = (np.arange(width * height * 3) + shade).reshape(height, width, 3)
    return Image.fromarray(values.astype(np.uint8))


def png(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "png")
    return stream.getvalue()


def pixels_of(shade: int) -> torch.Tensor:
    return torch.from_numpy(np.array(picture(shade))).permute(2, 0, 1)
