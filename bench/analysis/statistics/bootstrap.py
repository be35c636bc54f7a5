"""The bootstrap crossed over seeds and images, for any function of accuracies.

One resample draws seeds and images, each with replacement, and serves all methods and attacks, so
that what is compared is compared on the same images and seeds. Owen 2007, doi:10.1214/07-AOAS122
(the pigeonhole bootstrap).

Shape suffixes: R resamples, S seeds, N images, K verdict lists.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics.crossed import LEVEL, NOTHING
from bench.analysis.statistics.evidence import Judged
from bench.analysis.statistics.quantities import Quantity, shared

RESAMPLES = 4000
SEED = 20251009
AT_ONCE = 250  # resamples; with 10,000 images their counts take 20 MB


def resampled_accuracies(
    correct: Mapping[Hashable, NDArray[np.bool_]], *, resamples: int = RESAMPLES
) -> dict[Hashable, NDArray[np.float64]]:
    """Return the accuracy in percent [R] of every list of verdicts, all of the same N images.

    The draws depend on N alone, so lists of equally many images share them in whatever call.
    """
    # float32 holds counts up to 2^24 exactly, so the sums do not depend on their order.
    matrix_NK = np.stack([of_N.astype(np.float32) for of_N in correct.values()], axis=1)
    images = len(matrix_NK)
    rng = np.random.default_rng([SEED, images])
    parts = []
    for start in range(0, resamples, AT_ONCE):
        size = min(AT_ONCE, resamples - start)
        drawn = rng.integers(images, size=(size, images), dtype=np.int32)
        place = drawn + images * np.arange(size, dtype=np.int32)[:, None]
        times = np.bincount(place.ravel(), minlength=size * images).reshape(size, images)
        parts.append(times.astype(np.float32) @ matrix_NK)
    accuracy_RK = 100 * np.concatenate(parts).astype(np.float64) / images
    return {key: accuracy_RK[:, place] for place, key in enumerate(correct)}


def resampled_seeds(seeds: Sequence[int], *, resamples: int = RESAMPLES) -> NDArray[np.float64]:
    """Return the weight of each seed in each resample, [R, S]; every row has the sum 1."""
    rng = np.random.default_rng([SEED, 0, *seeds])
    counts_RS = rng.multinomial(len(seeds), np.full(len(seeds), 1 / len(seeds)), size=resamples)
    weights: NDArray[np.float64] = counts_RS / len(seeds)
    return weights


def percentile(values_R: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """Return the interval between the two quantiles that leave out (1 - level) / 2 each."""
    low, high = np.quantile(values_R, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Bootstrap:
    """Resamples of one checkpoint, drawn once for all quantities on the same images."""

    def __init__(self, judged: Mapping[str, Judged]) -> None:
        self.judged = judged
        self.drawn: dict[bytes, dict[Hashable, NDArray[np.float64]]] = {}

    def interval(self, quantity: Quantity) -> tuple[float, float] | None:
        """Return the percentile interval; None with one seed, without verdicts, or of width zero.

        The function is computed anew in each resample, without linear expansion.
        """
        found = shared(self.judged, quantity)
        if found is None or len(found[1]) < 2:
            return None
        parts, seeds = found
        if not all(part.correct for part in parts.values()):
            return None
        drawn = self._accuracies(next(iter(parts.values())).index)
        weights_RS = resampled_seeds(seeds)
        accuracy_RT = np.stack(
            [
                sum(
                    weights_RS[:, place] * drawn[attack, method, seed]
                    for place, seed in enumerate(seeds)
                )
                for attack, method in quantity.terms
            ],
            axis=1,
        )
        low, high = percentile(quantity.value(accuracy_RT))
        return (low, high) if high - low > NOTHING else None

    def _accuracies(self, index_N: NDArray[np.int64]) -> dict[Hashable, NDArray[np.float64]]:
        key = index_N.tobytes()
        if key not in self.drawn:
            self.drawn[key] = resampled_accuracies(
                {
                    (attack, *run): of_N
                    for attack, part in self.judged.items()
                    if np.isin(index_N, part.index).all()
                    for run, of_N in part.on(index_N).correct.items()
                }
            )
        return self.drawn[key]
