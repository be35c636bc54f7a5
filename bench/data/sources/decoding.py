"""Encoded images (PNG, JPEG and others) into one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.sources.modes import is_lossless, refusal, to_rgb
from bench.runtime.errors import BenchError


class Decoded(NamedTuple):
    """Images uint8 [N, 3, H, W], and the first that its file does not keep exactly, "" if none."""

    pixels: Tensor
    lossy: str


def decode(encoded: Iterable[tuple[str, bytes | Path]]) -> Decoded:
    """Decode images to RGB, by the rules of `bench.data.sources.modes`.

    Parameters
    ----------
    encoded
        For each image how to call it in an error, and its bytes or its file. It may be a
        generator: only one encoded image at a time is held here. At least one.

    Raises
    ------
    BenchError
        An image cannot be decoded, is refused by its mode or has another size; it is named.
    """
    images: list[NDArray[np.uint8]] = []
    lossy = ""
    for where, content in encoded:
        pixels_HWC, loss = _decoded(where, content)
        if images and pixels_HWC.shape != images[0].shape:
            (rows, columns, _), (first_rows, first_columns, _) = pixels_HWC.shape, images[0].shape
            raise BenchError(
                f"{where}: {columns} x {rows} pixels, but the images before it are "
                f"{first_columns} x {first_rows}; bring all images to one size"
            )
        images.append(pixels_HWC)
        lossy = lossy or loss
    return Decoded(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), lossy)


def _decoded(where: str, content: bytes | Path) -> tuple[NDArray[np.uint8], str]:
    """Return one image, uint8 [H, W, 3], and what to call it if it is lossy, else ""."""
    from PIL import Image

    try:
        data = content.read_bytes() if isinstance(content, Path) else content
        with Image.open(BytesIO(data)) as image:
            image.load()
            if reason := refusal(image, data):
                raise BenchError(f"{where}: {reason}")
            loss = "" if is_lossless(image, data) else f"{where} ({image.format})"
            return np.asarray(to_rgb(image), np.uint8), loss
    except (BenchError, MemoryError):
        raise
    # A damaged file may raise whatever its format's parser meets: SyntaxError, struct.error, ...
    except Exception as error:
        raise BenchError(
            f"{where}: not an image that can be decoded ({error}); replace it"
        ) from error
