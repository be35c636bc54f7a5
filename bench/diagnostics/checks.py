"""The checks on one network: what is counted, how much of it is too much, and how sure that is.

A check compares counts of the same images, and fails only where its limit is passed by more than
the choice of those images explains. Standard library only: the analysis and the plan read it too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.results.flags import DIAGNOSTICS

# How often a network exactly at the limit of a check may fail it by the luck of the images.
RISK = 0.001
# The most that each check allows, in percent of the images. docs/diagnostics.md has a section of
# the same name for each: why, what a failure means and what to do.
LIMITS = {
    "random": 1.0,
    "batch_dependent": 1.0,
    "zero_gradient": 1.0,
    "gradient_wrong": 20.0,
    "scale_stronger": 5.0,
    "averaged_stronger": 10.0,
    "eps_zero": 1.0,
    "eps_rise": 1.0,
    "steps_rise": 1.0,
    "steps_flat": 1.0,
    "restarts_flat": 5.0,
    "fgsm_stronger": 1.0,
    "square_stronger": 1.0,
    "autoattack_gap": 20.0,
    "fgsm_gap": 25.0,
    "linearity": 15.0,
    "transfer_stronger": 1.0,
}


def flag(check: str) -> str:
    """Return the flag of summary.csv where `check` fails."""
    return DIAGNOSTICS + check


class Counts(NamedTuple):
    """How many images only the first of two attacks broke, and how many only the second."""

    first: int
    second: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a check found.

    `value` and `threshold` are percentages of `n` images; `chance` is the probability of as much or
    more where the truth is just at the limit, or where two attacks that are compared are equally
    strong.
    """

    value: float
    threshold: float
    chance: float
    n: int
    passed: bool


def share(check: str, count: int, n: int) -> Outcome:
    """Return what `check` says of `count` of `n` images, by an exact binomial test."""
    limit = LIMITS[check]
    chance = tail(count, n, limit / 100)
    return Outcome(
        value=100 * count / n, threshold=limit, chance=chance, n=n, passed=chance >= RISK
    )


def stronger(check: str, pairs: Iterable[Counts], n: int) -> Outcome:
    """Return what `check` says where the second attack of each pair should be the stronger one.

    The first is the stronger one where it breaks more of the same `n` images, by more than the
    limit and more than chance: McNemar's exact test, with Bonferroni's correction for the number of
    pairs. `value` is the largest such difference, below 0 where the second is stronger throughout.
    Without pairs, as where no image is right unattacked, there is nothing to fail.
    """
    compared: Sequence[Counts] = list(pairs)
    limit = LIMITS[check]
    differences = [100 * (pair.first - pair.second) / n for pair in compared]
    chances = [
        min(1.0, len(compared) * tail(pair.first, pair.first + pair.second, 0.5))
        for pair in compared
    ]
    failed = [
        chance
        for difference, chance in zip(differences, chances, strict=True)
        if difference > limit and chance < RISK
    ]
    return Outcome(
        value=max(differences, default=0.0),
        threshold=limit,
        chance=min(failed or chances, default=1.0),
        n=n,
        passed=not failed,
    )


def tail(count: int, n: int, share: float) -> float:
    """Return the probability that at least `count` of `n` independent images have it.

    `share` in (0, 1) is the probability for each. The terms of the binomial distribution are added
    up, smallest first.
    """
    if count <= 0:
        return 1.0
    of_all = math.lgamma(n + 1)
    terms = [
        math.exp(
            of_all
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(share)
            + (n - k) * math.log1p(-share)
        )
        for k in range(count, n + 1)
    ]
    return min(1.0, math.fsum(terms))
