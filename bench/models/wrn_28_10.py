"""WRN-28-10: a wide residual network of 28 layers, ten times as wide as the narrowest.

Zagoruyko and Komodakis 2016, arXiv:1605.07146; see `bench.models.wide_resnet`. With 10 classes and
3 channels, 36,479,194 parameters.
"""

from __future__ import annotations

from bench.models.base import register
from bench.models.wide_resnet import WideResNet


@register("wrn_28_10")
class Wrn2810(WideResNet):
    """Three stages of 4 blocks; `width` is of the first."""

    def __init__(self, *, classes: int, channels: int, width: int = 160) -> None:
        super().__init__(classes=classes, channels=channels, width=width, blocks=4)
