"""What the attacks on one checkpoint say together, image by image.

Shape suffix: N images, in the order of their indices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics.accuracy import wilson
from bench.results.runs import Result


def robust_to_all(attacks: Sequence[Result]) -> NDArray[np.bool_]:
    """Return whether each image that all attacks have in common was broken by none: bool [N]."""
    index_N = reduce(np.intersect1d, (attack.verdicts.index for attack in attacks))
    robust_N: NDArray[np.bool_] = np.all([_robust_on(index_N, one) for one in attacks], axis=0)
    return robust_N


def above_another(results: Mapping[str, Result]) -> bool:
    """Say whether AutoAttack leaves more images standing than some attack of those both judged."""
    auto = results["autoattack"]
    for attack, other in results.items():
        if attack in ("clean", "autoattack") or abs(other.record.eps - auto.record.eps) > 1e-6:
            continue
        index_N = np.intersect1d(other.verdicts.index, auto.verdicts.index)
        if _robust_on(index_N, auto).sum() > _robust_on(index_N, other).sum():
            return True
    return False


def at_chance(results: Mapping[str, Result]) -> bool:
    """Say whether the network is not shown to be better than naming the most frequent class.

    Every attack notes whether it found an image classified correctly; that on most images tells it.
    """
    verdicts = max(results.values(), key=lambda result: result.record.n).verdicts
    n = len(verdicts.clean)
    low, _ = wilson(int(verdicts.clean.sum()), n)
    _, counts = np.unique(verdicts.label, return_counts=True)
    return low <= 100 * int(counts.max()) / n


def _robust_on(index_N: NDArray[np.int64], result: Result) -> NDArray[np.bool_]:
    # Verdicts are ordered by index, and so is the intersection.
    return result.verdicts.robust[np.isin(result.verdicts.index, index_N)]
