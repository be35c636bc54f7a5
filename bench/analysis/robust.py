"""The attack by which robustness is told: one rule for statistics, tables, figures and the page."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from statistics import fmean

import pandas as pd

from bench.analysis.names import attack_name
from bench.results.order import attack_order


def strongest(left: Mapping[str, Collection[float]]) -> str | None:
    """Return the attack by which robustness is told; None where there is none.

    It is AutoAttack where it was run, which nobody's own choice of an attack can flatter, else what
    leaves the lowest mean accuracy, of the attacks that were run on the most networks. That may be
    the worst case of several attacks, which is never above any of them.

    Parameters
    ----------
    left
        The accuracies by attack, of all networks at a checkpoint.
    """
    attacks = [attack for attack in sorted(left, key=attack_order) if attack != "clean"]
    if "autoattack" in attacks:
        return "autoattack"
    most = max((len(left[attack]) for attack in attacks), default=0)
    attacks = [attack for attack in attacks if len(left[attack]) == most]
    return min(attacks, key=lambda attack: fmean(left[attack]), default=None)


def strongest_at_best(rows: pd.DataFrame) -> str | None:
    """Return `strongest` of the summary's `rows` at the checkpoint best."""
    best = rows[rows["checkpoint"] == "best"]
    return strongest(best.groupby("attack")["accuracy"].apply(list).to_dict())


def under(attack: str) -> str:
    """Return the name of an attack where a sentence tells of an accuracy under it."""
    return "the worst case of all attacks" if attack == "worst_case" else attack_name(attack)
