"""Encoded images (PNG, JPEG and others) into one tensor of 8-bit RGB; docs/data.md tells users.

Pillow's ``convert("RGB")`` takes every mode, and clips, drops or guesses what RGB cannot hold: such
images are refused here.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.runtime.errors import BenchError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")
# Alpha is dropped where every pixel is opaque.
CONVERTED = ("1", "L", "P", "RGB", "LA", "PA", "RGBA")
TIFF_LOSSLESS = (
    *("raw", "tiff_raw_16", "tiff_ccitt", "group3", "group4", "packbits"),
    *("tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "lzma", "zstd"),
)
BITS_PER_SAMPLE, SAMPLE_FORMAT = 258, 339  # TIFF tags
UNSIGNED, UNDEFINED = 1, 4  # values of the second, of which both are read as whole numbers
ORIENTATION = 274  # EXIF tag
UPRIGHT = 1


class Decoded(NamedTuple):
    """Images uint8 [N, 3, H, W], and the first that its file does not keep exactly, "" if none."""

    pixels: Tensor
    lossy: str


def decode(encoded: Iterable[tuple[str, bytes | Path]]) -> Decoded:
    """Decode images to RGB.

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


def refusal(image: Any, content: bytes) -> str:
    """Return why a Pillow `image`, opened from `content`, is refused; empty where it is not.

    A reason ends with what to do about it.
    """
    if image.format not in FORMATS:
        return f"its format is {image.format}; save it as PNG"
    if (frames := getattr(image, "n_frames", 1)) > 1:
        return f"it holds {frames} frames, of which one would be used; save one frame an image"
    if (bits := _bits_of(image, content)) > 8:
        return f"mode {image.mode} with {bits} bits a channel; save it with 8 bits a channel"
    if image.mode not in CONVERTED:
        return f"mode {image.mode}, which is neither grey nor RGB; save it as 8-bit RGB"
    if image.format == "TIFF" and not {*_tag(image, SAMPLE_FORMAT)} <= {UNSIGNED, UNDEFINED}:
        return f"mode {image.mode} with signed values; save it as unsigned 8 bits"
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        return (
            f"mode {image.mode} with transparent pixels, whose colour depends on a background; "
            "flatten it onto one"
        )
    return ""


def to_rgb(image: Any) -> Any:
    """Return an `image` that `refusal` lets pass as RGB, upright as its EXIF orientation says."""
    from PIL import ImageOps

    # A palette with transparency becomes RGB by way of RGBA without a warning.
    image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT:
        image = ImageOps.exif_transpose(image)
    return image.convert("RGB")


def is_lossless(image: Any, content: bytes) -> bool:
    """Say whether the file keeps pixels exactly; with a palette, colours were likely reduced."""
    if image.mode in ("P", "PA"):
        return False
    if image.format == "WEBP":
        return content[12:16] == b"VP8L"
    if image.format == "TIFF":
        return image.info.get("compression") in TIFF_LOSSLESS
    return image.format in ("PNG", "BMP", "PPM")


def _bits_of(image: Any, content: bytes) -> int:
    """Return the bits of a channel in the file: Pillow reduces some to 8 without a word."""
    if image.format == "PNG":
        return content[24]  # IHDR is the first chunk.
    if image.format == "TIFF":
        return max(_tag(image, BITS_PER_SAMPLE))
    if image.format == "PPM":
        return _ppm_bits(content)
    return 8


def _tag(image: Any, number: int) -> tuple[int, ...]:
    found = image.tag_v2.get(number, (1,))
    return found if isinstance(found, tuple) else (found,)


def _ppm_bits(content: bytes) -> int:
    words = (line.partition(b"#")[0].split() for line in content[:4096].splitlines())
    magic, *size_and_white = [word for line in words for word in line][:4]
    # The others have no value of white, and modes of their own.
    return int(size_and_white[2]).bit_length() if magic in (b"P2", b"P3", b"P5", b"P6") else 8
