"""Wilson's interval of an accuracy over images."""

from __future__ import annotations

import math

Z95 = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


def wilson(correct: float, n: float) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy, in percent, for `correct` of `n` images.

    It says how far the accuracy on all images of this kind may lie from the one on these `n`; it
    knows nothing of seeds. Wilson 1927, doi:10.1080/01621459.1927.10502953, without continuity
    correction. Where images are not independent, `n` is their effective number, not a whole one.

    Raises
    ------
    ValueError
        If there are no images, or `correct` is not between 0 and `n`.
    """
    if n < 1 or not 0 <= correct <= n:
        raise ValueError(f"an accuracy needs 0 <= correct <= n and n >= 1, got {correct} of {n}")
    share = correct / n
    scale = 1 + Z95**2 / n
    middle = (share + Z95**2 / (2 * n)) / scale
    half = Z95 / scale * math.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    # At the ends the bound is exactly 0 or 100; rounding would leave 1e-15 on either side.
    low = 0.0 if correct == 0 else 100 * (middle - half)
    high = 100.0 if correct == n else 100 * (middle + half)
    return low, high
