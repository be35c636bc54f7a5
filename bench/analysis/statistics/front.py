"""The front that methods reach together, and how far from it another method is.

A mixture that draws one of two models for each image gets, on average, every point of the line
between theirs in clean accuracy, and at least that line in robust accuracy, since a perturbation
that breaks one model need not break the other. So the front is the upper concave hull, not a
staircase: a method must do better than mixing others.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # [..., 2]: clean and robust accuracy in percent


class Slope(NamedTuple):
    """How the distance changes with every accuracy.

    `of_front` [K, 2] and `of_point` [2] are its derivatives. `beyond` says that the point is off
    the front's end: better than all of it in one accuracy, so that only its other one could tell.
    """

    of_front: NDArray[np.float64]
    of_point: NDArray[np.float64]
    beyond: bool


def distance(point: Points, front: Points) -> NDArray[np.float64]:
    """Return by how much both accuracies must rise for the point to reach the front.

    Parameters
    ----------
    point
        [..., 2].
    front
        [..., K, 2], the methods whose mixtures are the front.

    Returns
    -------
    Percentage points, [...]: max over mixtures q of min(q_clean - clean, q_robust - robust).
    Negative where the point is beyond the front: what it could lose in both before mixtures of the
    others were as good. It is the additive epsilon indicator of Zitzler et al. 2003,
    doi:10.1109/TEVC.2003.810758, against all mixtures.
    """
    reached, _ = _mixtures(point, front)
    best: NDArray[np.float64] = reached.max(axis=(-2, -1))
    return best


def slope(point: Points, front: Points) -> Slope:
    """Return the derivatives of `distance` for one `point` [2] and one `front` [K, 2].

    The best mixture is that of a saddle point, so the mixture and the weights of the two accuracies
    count as fixed (envelope theorem). Where two mixtures are equally good there is a kink, and
    these are the derivatives on one side of it.
    """
    reached, share = _mixtures(point, front)
    first, second = np.unravel_index(int(reached.argmax()), reached.shape)
    t = float(share[first, second])
    gap = front - point
    rise = gap[second] - gap[first]
    if 0 < t < 1 and rise[0] * rise[1] < 0:
        weight = np.array([rise[1], -rise[0]]) / (rise[1] - rise[0])
    else:
        at = gap[first] + t * rise
        weight = np.array([1.0, 0.0]) if at[0] < at[1] else np.array([0.0, 1.0])
    of_front = np.zeros_like(front)
    of_front[first] += (1 - t) * weight
    of_front[second] += t * weight
    lead = float(reached.max()) < 0
    return Slope(of_front, -weight, lead and float(weight.max()) == 1.0)


def _mixtures(point: Points, front: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what the best mixture of each two methods reaches, and the share of the second."""
    gap = front - point[..., None, :]
    lead = gap[..., 0] - gap[..., 1]
    fall = lead[..., :, None] - lead[..., None, :]
    # Where the two accuracies fall equally short; elsewhere one of the ends is better, and the ends
    # are on the diagonal.
    meeting = np.divide(lead[..., :, None], fall, out=np.zeros_like(fall), where=fall != 0)
    share = np.clip(meeting, 0.0, 1.0)
    mixed = gap[..., :, None, :] + share[..., None] * (gap[..., None, :, :] - gap[..., :, None, :])
    reached: NDArray[np.float64] = mixed.min(axis=-1)
    return reached, share
