"""How each kind of stored pixel becomes 8-bit RGB, or why it is refused; docs/data.md tells users.

Pillow's ``convert("RGB")`` takes every mode, and clips, drops or guesses what RGB cannot hold.
"""

from __future__ import annotations

from typing import Any

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


def refusal(image: Any, content: bytes) -> str:
    """Return why a Pillow `image`, opened from `content`, is refused; empty where it is not.

    A reason ends with what to do about it.
    """
    if image.format not in FORMATS:
        return f"its format is {image.format}; save it as PNG"
    if (frames := getattr(image, "n_frames", 1)) > 1:
        return f"it holds {frames} frames, of which one would be used; save one frame an image"
    if (bits := bits_of(image, content)) > 8:
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


def bits_of(image: Any, content: bytes) -> int:
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
