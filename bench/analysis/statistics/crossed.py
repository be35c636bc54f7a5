"""Estimates over seeds and images, and three intervals that differ in what they speak of.

Every seed evaluates every image, so seeds and images are crossed as readers and cases are in
studies of diagnostic images. A quantity is a matrix of one value per seed and image whose mean it
is; its two-way analysis of variance says what training and what the choice of images add to its
variance.

Shape suffixes: S seeds, N images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes a second and 60 MB to import

from bench.results.wilson import wilson

LEVEL = 0.95
NOTHING = 1e-9  # of a percentage point: what is left of a spread of zero after rounding
MOST_SEEDS = 1000
MOST_IMAGES = 1_000_000


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares of the two-way analysis of variance, in squared percentage points.

    With one seed `seeds` and `rest` (seeds x images, and chance) are None.
    """

    images: float
    seeds: float | None
    rest: float | None


@dataclass(frozen=True)
class SeedVariance:
    """The variance of a quantity between seeds, moderated by the spreads of all methods.

    It has `df` degrees of freedom. `p_equal` is the p value of all methods' spreads being equal,
    and `own` names the methods that keep their own.
    """

    variance: float
    df: float
    p_equal: float
    own: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Estimate:
    """A quantity, in percent or percentage points unless it says otherwise.

    `by_seed` [S] is its value for each seed, with mean `value`. `squares` is None where nothing is
    known image by image; `images` is 0 where the quantity is of no images at all. Of a quantity of
    accuracies `numbers` are those of the seeds, and `means` the accuracies' means over them;
    `moderated` is None where there are too few methods to borrow from.
    """

    value: float
    by_seed: NDArray[np.float64]
    images: int
    squares: MeanSquares | None = None
    numbers: tuple[int, ...] = ()
    means: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    moderated: SeedVariance | None = None

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.by_seed)

    @property
    def spread(self) -> float | None:
        """The sample standard deviation over seeds; None with one seed, where it is unknown."""
        return float(np.std(self.by_seed, ddof=1)) if self.seeds > 1 else None


@dataclass(frozen=True)
class Interval:
    """A two-sided interval, with what it was made from; `p` is that of the value zero."""

    low: float
    high: float
    standard_error: float
    df: float
    p: float


@dataclass(frozen=True)
class Needed:
    """The least seeds, or else images, for an interval of a wanted width; None: none is enough.

    `images` is only looked for where no number of seeds is enough on the images at hand.
    """

    seeds: int | None = None
    images: int | None = None


def estimate(z_SN: NDArray[np.float64], value: float | None = None) -> Estimate:
    """Return the mean of a matrix with one value for each seed and image.

    Parameters
    ----------
    z_SN
        In percentage points: the quantity's terms, or its linear expansion.
    value
        The quantity itself where `z_SN` expands a function that is not linear. The matrix is then
        shifted to this mean, so that every interval lies around it.
    """
    seeds, images = z_SN.shape
    mean = float(z_SN.mean())
    row_S, column_N = z_SN.mean(axis=1), z_SN.mean(axis=0)
    between_images = seeds * float(np.square(column_N - mean).sum())
    squares = None
    if images > 1:
        by_seeds = rest = None
        if seeds > 1:
            by_seeds = images * float(np.square(row_S - mean).sum()) / (seeds - 1)
            left = z_SN - row_S[:, None] - column_N + mean
            rest = float(np.square(left).sum()) / ((seeds - 1) * (images - 1))
        squares = MeanSquares(between_images / (images - 1), by_seeds, rest)
    shift = 0.0 if value is None else value - mean
    return Estimate(mean + shift, row_S + shift, images, squares)


def over_seeds(of: Estimate, level: float = LEVEL) -> Interval | None:
    """Return Student's interval over seeds: other trainings, these very images.

    For a difference it is the paired one, since both methods have the same seeds. None with one
    seed, and where all seeds agree to the image: no spread was seen then, which is not no spread.

    Student 1908, doi:10.1093/biomet/6.1.1.
    """
    if of.spread is None or of.spread <= NOTHING:
        return None
    return _student(of.value, of.spread / math.sqrt(of.seeds), of.seeds - 1, level)


def over_seeds_moderated(of: Estimate, level: float = LEVEL) -> Interval | None:
    """Return `over_seeds` with the moderated variance; None where there is none."""
    if of.moderated is None or of.moderated.variance <= NOTHING**2:
        return None
    error = math.sqrt(of.moderated.variance / of.seeds)
    return _student(of.value, error, of.moderated.df, level)


def over_both(of: Estimate, level: float = LEVEL) -> Interval | None:
    """Return the interval over seeds and images: other trainings, other images of this kind.

    Var = (MS_seeds + I) / (S N), where I = max(MS_images - MS_rest, 0), and the degrees of freedom
    are (MS_seeds + I)^2 / (MS_seeds^2 / (S - 1) + I^2 / (N - 1)): Hillis 2007,
    doi:10.1002/sim.2532, with Satterthwaite's second term, which matters for few images. MS_seeds
    is at least MS_rest here, which it exceeds in expectation: few seeds that agree by luck must not
    make the error smaller than over images alone. None with one seed or without
    per-example results.
    """
    return _over_both(of, _components(of), level)


def over_both_moderated(of: Estimate, level: float = LEVEL) -> Interval | None:
    """Return `over_both` with the moderated variance between seeds; None where there is none.

    N times that variance takes the place of MS_seeds, and its degrees of freedom that of S - 1.
    """
    return _over_both(of, _components(of, of.moderated) if of.moderated else None, level)


def over_images(of: Estimate, level: float = LEVEL) -> Interval | None:
    """Return the interval over images alone: these models, other images of this kind.

    Each image has one value, the mean over seeds, because its results are not independent.
    """
    if of.squares is None:
        return None
    error = math.sqrt(of.squares.images / (of.seeds * of.images))
    return _student(of.value, error, of.images - 1, level) if error > NOTHING else None


def wilson_over_images(of: Estimate) -> tuple[float, float] | None:
    """Return Wilson's 95 % interval of an accuracy over images alone, in percent.

    The seeds evaluate the same images, so S N results are worth fewer: n = p (1 - p) / Var of
    `over_images`, between N and S N (Franco et al. 2019, PMC6690503). Unlike a normal interval it
    has a width where every result is the same.
    """
    if of.squares is None:
        return None
    share, most = of.value / 100, of.seeds * of.images
    variance = of.squares.images / most / 100**2
    n = share * (1 - share) / variance if variance > NOTHING**2 else of.images
    n = min(max(n, of.images), most)
    return wilson(share * n, n)


def needed(
    of: Estimate,
    half_width: float,
    *,
    images_too: bool,
    moderated: bool = False,
    level: float = LEVEL,
) -> Needed:
    """Return what would make the interval of `of` narrower than `half_width` on either side.

    Parameters
    ----------
    of
        At least two seeds; what is asked is how many there would have to be if the variances stay
        as they were estimated.
    half_width
        In the quantity's unit.
    images_too
        Whether the interval is the one over seeds and images, else the one over seeds.
    moderated
        Whether it is made with the moderated variance.
    """
    borrowed = of.moderated if moderated else None
    parts = _components(of, borrowed) if images_too else None
    if half_width <= 0 or of.spread is None or (images_too and parts is None):
        return Needed()
    spread = of.spread if borrowed is None else math.sqrt(borrowed.variance)
    each = 1.0 if borrowed is None else borrowed.df / (of.seeds - 1)
    for seeds in range(of.seeds + 1, MOST_SEEDS + 1):
        error, df = spread / math.sqrt(seeds), each * (seeds - 1)
        if parts is not None:
            error, df = parts.expected(seeds, of.images)
        if special.stdtrit(df, (1 + level) / 2) * error < half_width:
            return Needed(seeds=seeds)
    if parts is None or parts.images <= 0:
        return Needed()
    z = special.ndtri((1 + level) / 2)
    # An estimate that is almost at an end would need more than there are anywhere.
    if z * math.sqrt(parts.images / MOST_IMAGES) > half_width:
        return Needed()
    images = math.ceil(z**2 * parts.images / half_width**2)
    # Where those at hand would be enough, it is the seeds that are too few.
    return Needed(images=images) if images > of.images else Needed()


def simultaneous(count: int, level: float = LEVEL) -> float:
    """Return the level of each of `count` intervals that hold together at `level` (Bonferroni)."""
    return 1 - (1 - level) / count


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Return the p values of one family, adjusted; None stays None and does not count.

    The k-th smallest of m is multiplied by m - k + 1, is at least its predecessor and at most 1.
    Holm 1979, Scandinavian Journal of Statistics 6, 65-70.
    """
    known = sorted((value, place) for place, value in enumerate(p) if value is not None)
    adjusted: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[place] = largest
    return adjusted


@dataclass(frozen=True)
class _Components:
    """What one seed, one image and one result add to the variance, in squared points.

    Every seed but the first brings `df` degrees of freedom.
    """

    seeds: float
    images: float
    rest: float
    df: float

    def expected(self, seeds: int, images: int) -> tuple[float, float]:
        """Return the standard error with so many seeds and images, and its degrees of freedom."""
        of_seeds, of_images = images * self.seeds + self.rest, seeds * self.images
        total = of_seeds + of_images
        if total <= NOTHING**2:
            return 0.0, math.inf
        df = total**2 / (of_seeds**2 / (self.df * (seeds - 1)) + of_images**2 / (images - 1))
        return math.sqrt(total / (seeds * images)), df


def _components(of: Estimate, moderated: SeedVariance | None = None) -> _Components | None:
    squares = of.squares
    if squares is None or squares.seeds is None or squares.rest is None:
        return None
    between = squares.seeds if moderated is None else of.images * moderated.variance
    return _Components(
        seeds=max(between - squares.rest, 0.0) / of.images,
        images=max(squares.images - squares.rest, 0.0) / of.seeds,
        rest=squares.rest,
        df=1.0 if moderated is None else moderated.df / (of.seeds - 1),
    )


def _over_both(of: Estimate, parts: _Components | None, level: float) -> Interval | None:
    if parts is None:
        return None
    error, df = parts.expected(of.seeds, of.images)
    return _student(of.value, error, df, level) if error > NOTHING else None


def _student(value: float, error: float, df: float, level: float) -> Interval:
    half = float(special.stdtrit(df, (1 + level) / 2)) * error
    p = 2 * float(special.stdtr(df, -abs(value) / error))
    return Interval(value - half, value + half, error, df, p)
