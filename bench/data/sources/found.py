"""What a source hands over."""

from __future__ import annotations

from dataclasses import dataclass

from bench.data.dataset import Images


@dataclass(frozen=True, eq=False)
class Found:
    """The images of a source."""

    train: Images
    test: Images
    classes: tuple[str, ...] | None  # in the order of the labels; None: the source has no names
    lossy: str = ""  # the first image whose file does not keep its pixels exactly, and its format
