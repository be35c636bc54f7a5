"""What a source hands over."""

from __future__ import annotations

from dataclasses import dataclass

from bench.data.dataset import Images


@dataclass(frozen=True, eq=False)
class Found:
    """The images of a source.

    Parameters
    ----------
    classes
        The class names that the source carries, in the order of the labels; None: it has none.
    lossy
        The first image that is stored in a way that does not keep its pixels exactly, with its
        format; empty where there is none.
    """

    train: Images
    test: Images
    classes: tuple[str, ...] | None
    lossy: str = ""
