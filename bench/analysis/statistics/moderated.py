"""The variance over seeds of a method, with what the spreads of all methods say about it.

Two or three seeds tell little of a variance, and twelve methods much of how large variances are
here. Empirical Bayes shrinks each towards a prior whose own degrees of freedom follow from how much
the variances differ: Smyth 2004, doi:10.2202/1544-6115.1027.

Shape suffix: M methods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

LEAST_METHODS = 6  # of which a prior is made: of fewer one that is unlike the rest moves it
# From which on moderated intervals decide: with two, a method that is unlike the others is not told
# from them often enough.
LEAST_SEEDS = 3
# A method whose variance is larger than the prior lets it be with this probability keeps its own:
# with three seeds a method of two to four times the others' spread would else be called better than
# it is more than 5 % of the time (docs/simulations.py).
OWN_LEVEL = 0.15
# A variance that does not belong to the others at this level, over all of them, is kept out of the
# prior: a network that is right on no image under attack hardly varies.
OUTLIER_LEVEL = 0.05
MOST_STEPS, CONVERGED = 50, 1e-8
EQUAL = 1e-3  # of the variance of log variances: what is below is no difference between methods


@dataclass(frozen=True, eq=False)
class Moderated:
    """Variances and their degrees of freedom.

    `own` [M] says which methods keep their own variance, and `p_equal` is Bartlett's p value of
    all being equal. `most_df` is what all of them together know.
    """

    variance: Floats
    df: Floats
    own: NDArray[np.bool_]
    p_equal: float
    most_df: float


def moderate(variance_M: Floats, df: int, own_level: float = OWN_LEVEL) -> Moderated | None:
    """Return the variances with what they say about each other.

    Parameters
    ----------
    variance_M
        Sample variances of independent samples, each with `df` degrees of freedom.
    own_level
        How unlikely a variance must be, given the prior, for its method to keep it.

    Returns
    -------
    None where fewer than `LEAST_METHODS` of them are comparable.
    """
    kept = _comparable(variance_M, df)
    if kept.sum() < LEAST_METHODS:
        return None
    prior, prior_df = _prior(variance_M[kept], df)
    most = float(kept.sum() * df)
    known = min(prior_df, most)
    own = ~kept | (special.fdtrc(df, known, variance_M / prior) < own_level)
    share = df / (prior_df + df)
    shrunk_M = (1 - share) * prior + share * variance_M
    return Moderated(
        variance=np.where(own, variance_M, shrunk_M),
        df=np.where(own, df, min(prior_df + df, most)),
        own=own,
        p_equal=_bartlett(variance_M[variance_M > 0], df),
        most_df=most,
    )


def _comparable(variance_M: Floats, df: int) -> NDArray[np.bool_]:
    """Return which variances are like those of the others: an F test against their mean, by turns.

    One that is zero, where all seeds gave the same number, is like none.
    """
    kept = variance_M > 0
    level = OUTLIER_LEVEL / max(len(variance_M), 1)
    while (count := kept.sum()) >= LEAST_METHODS:
        others_M = (variance_M[kept].sum() - variance_M) / (count - 1)
        ratio_M, others_df = variance_M / others_M, df * (count - 1)
        p_M = 2 * np.minimum(
            special.fdtr(df, others_df, ratio_M), special.fdtrc(df, others_df, ratio_M)
        )
        worst = int(np.where(kept, p_M, np.inf).argmin())
        if p_M[worst] >= level:
            break
        kept[worst] = False
    return kept


def _prior(variance_M: Floats, df: int) -> tuple[float, float]:
    """Return the prior variance and its degrees of freedom, infinite where spreads are alike."""
    logs_M = np.log(variance_M) - special.digamma(df / 2) + np.log(df / 2)
    beyond = float(logs_M.var(ddof=1) - special.polygamma(1, df / 2))
    if beyond < EQUAL:
        return float(variance_M.mean()), np.inf
    half = _inverse_trigamma(beyond)
    return float(np.exp(logs_M.mean() + special.digamma(half) - np.log(half))), 2 * half


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = `value`, by Newton's method from Smyth's start."""
    x = 0.5 + 1 / value
    for _ in range(MOST_STEPS):
        found = float(special.polygamma(1, x))
        step = found * (1 - found / value) / float(special.polygamma(2, x))
        x += step
        if -step < CONVERGED * x:
            break
    return x


def _bartlett(variance_M: Floats, df: int) -> float:
    """Return the p value of equal variances: Bartlett 1937, doi:10.1098/rspa.1937.0109."""
    count = len(variance_M)
    statistic = df * (count * np.log(variance_M.mean()) - np.log(variance_M).sum())
    correction = 1 + (count + 1) / (3 * count * df)
    return float(special.chdtrc(count - 1, statistic / correction))
