"""Encoded images (PNG, JPEG and others) into one tensor."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.parsing import BenchError


def decode(encoded: Iterable[tuple[str, bytes | Path]]) -> Tensor:
    """Decode images to RGB.

    Parameters
    ----------
    encoded
        For each image how to call it in an error, and its bytes or its file. It may be a
        generator: only one encoded image at a time is held here. At least one.

    Returns
    -------
    Tensor
        uint8 [N, 3, H, W].

    Raises
    ------
    BenchError
        An image cannot be decoded or has another size; it is named.
    """
    from PIL import Image

    images: list[NDArray[np.uint8]] = []
    for where, content in encoded:
        try:
            with Image.open(BytesIO(content) if isinstance(content, bytes) else content) as image:
                pixels_HWC = np.asarray(image.convert("RGB"))
        # A PNG whose chunks are damaged raises SyntaxError.
        except (OSError, SyntaxError, ValueError) as error:
            raise BenchError(
                f"{where}: not an image that can be decoded ({error}); replace it"
            ) from error
        if images and pixels_HWC.shape != images[0].shape:
            (rows, columns, _), (first_rows, first_columns, _) = pixels_HWC.shape, images[0].shape
            raise BenchError(
                f"{where}: {columns} x {rows} pixels, but the images before it are "
                f"{first_columns} x {first_rows}; bring all images to one size"
            )
        images.append(pixels_HWC)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
