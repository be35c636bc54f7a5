"""Every kind of stored pixel becomes the 8-bit RGB that it means, or is refused by name."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from pictures import encoded, picture, png
from PIL import Image

from bench.data.sources.decoding import decode
from bench.runtime.errors import BenchError

RGB = picture(1)
GREY = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10)
FEW = RGB.quantize(24)  # colours of a palette
BLACK_OR_WHITE = GREY.point(lambda value: 255 * (value > 100))


def decoded(content: bytes) -> tuple[np.ndarray[Any, Any], str]:
    pixels, lossy = decode([("one.img", content)])
    return pixels[0].permute(1, 2, 0).numpy(), lossy


def same(image: Image.Image) -> np.ndarray[Any, Any]:
    """The pixels of a grey or an RGB image as they are, for each of three channels."""
    values = np.asarray(image)
    return values if values.ndim == 3 else np.repeat(values[:, :, None], 3, axis=2)


def with_alpha(image: Image.Image, lowest: int) -> Image.Image:
    alpha = np.full((4, 6), 255, np.uint8)
    alpha[1, 2] = lowest
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def deep_png(bits: int, colour: int, channels: int) -> bytes:
    """A PNG of 2 x 2 pixels with that many bits a channel, which Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = bytes(1) + bytes(range(2 * channels * bits // 8))
    head = struct.pack(">IIBBBBB", 2, 2, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(row * 2)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png(RGB), RGB),
        (png(GREY), GREY),
        (png(BLACK_OR_WHITE.convert("1")), BLACK_OR_WHITE),
        (png(FEW), FEW.convert("RGB")),
        (encoded(FEW, "png", transparency=b"\xff\xff"), FEW.convert("RGB")),
        (png(with_alpha(RGB, 255)), RGB),
        (png(with_alpha(GREY, 255)), GREY),
        (encoded(RGB, "png", transparency=(1, 1, 1)), RGB),
        (encoded(GREY.convert("P"), "png", transparency=201), GREY),
        *((encoded(RGB, kind), RGB) for kind in ("bmp", "tiff", "ppm")),
        (encoded(GREY, "ppm"), GREY),
        (encoded(GREY, "gif"), GREY),
        (encoded(RGB, "tiff", compression="tiff_lzw"), RGB),
        (encoded(RGB, "webp", lossless=True), RGB),
        (b"P2 # white is 15\n1 1 15\n15\n", Image.new("L", (1, 1), 255)),
    ],
)  # fmt: skip
def test_what_8_bit_rgb_can_hold_is_held(content: bytes, expected: Image.Image) -> None:
    assert np.array_equal(decoded(content)[0], same(expected))


DEEP = Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 2000)
FRAMED = ("gif", "png", "tiff", "webp")
FRAMES = {"save_all": True, "append_images": [picture(9)]}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (png(DEEP), "mode I;16 with 16 bits"),
        (encoded(DEEP, "tiff"), "mode I;16 with 16 bits"),
        (encoded(DEEP, "ppm"), "mode I with 16 bits"),
        (b"P6 1 1 65535\n" + bytes(6), "mode RGB with 16 bits"),
        (deep_png(16, 2, 3), "mode RGB with 16 bits"),
        (deep_png(16, 6, 4), "mode RGBA with 16 bits"),
        (deep_png(16, 4, 2), "with 16 bits"),
        (encoded(GREY.convert("I"), "tiff"), "mode I with 32 bits"),
        (encoded(GREY.convert("F"), "tiff"), "mode F with 32 bits"),
        (encoded(GREY, "tiff", tiffinfo={339: 2}), "mode L with signed values"),
        *((encoded(RGB.convert(mode), "tiff"), f"mode {mode}") for mode in ("CMYK", "YCbCr")),
        (encoded(Image.new("LAB", (6, 4)), "tiff"), "mode LAB"),
        (encoded(RGB.convert("CMYK"), "jpeg"), "mode CMYK"),
        (png(with_alpha(RGB, 254)), "mode RGBA with transparent pixels"),
        (png(with_alpha(GREY, 0)), "mode LA with transparent pixels"),
        (encoded(with_alpha(RGB, 0), "webp", lossless=True), "mode RGBA with transparent"),
        (encoded(GREY, "png", transparency=100), "mode L with transparent pixels"),
        (encoded(RGB, "png", transparency=RGB.getpixel((0, 0))), "mode RGB with transparent"),
        (encoded(FEW, "png", transparency=3), "mode P with transparent pixels"),
        (encoded(FEW, "png", transparency=b"\xff\x80"), "mode P with transparent"),
        *((encoded(RGB, kind, **FRAMES), "holds 2 frames") for kind in FRAMED),
        (encoded(RGB, "tga"), "its format is TGA"),
        (encoded(RGB, "ico", sizes=[(6, 4)]), "its format is ICO"),
    ],
)  # fmt: skip
def test_what_it_cannot_hold_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(BenchError, match=r"^one\.img: ") as caught:
        decoded(content)
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(9))
def test_an_image_stands_upright_as_its_exif_says(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    # Blocks of 16 pixels of one value pass a lossy format too.
    image = Image.fromarray(np.kron([[0, 90], [180, 250]], np.ones((16, 32))).astype(np.uint8))
    upright = {
        2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.T,
        6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).T, 8: np.rot90,
    }.get(orientation, lambda a: a)  # fmt: skip
    found = decoded(encoded(image.convert("RGB"), kind, exif=exif))[0][:, :, 0]
    expected = upright(np.asarray(image))
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= 8


@pytest.mark.parametrize(
    ("content", "lossy"),
    [
        *((encoded(RGB, kind), "") for kind in ("png", "bmp", "ppm", "tiff")),
        (encoded(RGB, "tiff", compression="tiff_adobe_deflate"), ""),
        (encoded(RGB, "webp", lossless=True), ""),
        (encoded(RGB, "tiff", compression="jpeg"), "one.img (TIFF)"),
        (encoded(RGB, "webp"), "one.img (WEBP)"),
        (encoded(RGB, "jpeg"), "one.img (JPEG)"),
        (encoded(RGB, "gif"), "one.img (GIF)"),
        (png(FEW), "one.img (PNG)"),
    ],
)
def test_only_formats_that_keep_every_pixel_are_lossless(content: bytes, lossy: str) -> None:
    assert decoded(content)[1] == lossy


def test_the_first_lossy_image_is_named() -> None:
    images = [("a", png(RGB)), ("b", encoded(RGB, "jpeg")), ("c", encoded(RGB, "gif"))]
    assert decode(images).lossy == "b (JPEG)"


@pytest.mark.parametrize("content", [b"", b"P6 1", b"P6 x y z\n", png(RGB)[:40], b"GIF89a"])
def test_a_damaged_image_is_named(content: bytes) -> None:
    with pytest.raises(BenchError, match=r"^one\.img: "):
        decoded(content)
