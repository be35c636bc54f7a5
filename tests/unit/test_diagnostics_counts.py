"""Which images a check compares and in which direction, on curves and results made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import binomtest

from bench.diagnostics.baseline_attacks import autoattack_gap
from bench.diagnostics.checks import Counts, Outcome, stronger
from bench.diagnostics.curves import Curve, restarts_flat, rise, steps_flat, zero
from bench.diagnostics.geometry import SIDE, Surface
from bench.diagnostics.job import _curve_rows, _surface_rows
from bench.diagnostics.target import compared, only
from bench.results.attack_result import AttackResult
from bench.results.columns import CURVES, SURFACES
from bench.results.records import AttackRecord
from bench.results.tables import from_rows

N = 100


def standing(*of: range) -> torch.Tensor:
    """Return which of 100 images stand: those in any of the ranges."""
    return torch.tensor([any(index in part for part in of) for index in range(N)])


def curve(*points: torch.Tensor, losses: torch.Tensor | None = None) -> Curve:
    return Curve("by hand", tuple(range(1, len(points) + 1)), torch.stack(points), losses)


def test_only_counts_what_one_attack_broke_and_the_other_left():
    assert only(standing(range(60)), standing(range(40, 100))) == Counts(first=40, second=40)
    assert only(standing(range(50)), standing(range(90))) == Counts(first=40, second=0)


def test_the_end_of_a_curve_counts_for_eps_zero():
    found = zero(curve(standing(range(90)), standing(range(30)), standing(range(7))))
    assert (found.value, found.n) == (7, N)


def test_a_rise_is_of_any_later_point_above_any_earlier_one():
    # 50, 20 and 45 stand: the last rises by 25 above the second, the first is above all.
    found = rise("steps_rise", curve(*(standing(range(n)) for n in (50, 20, 45))))
    assert (found.value, found.passed) == (25, False)
    assert rise("steps_rise", curve(*(standing(range(n)) for n in (50, 45, 20)))).value == -5


def test_the_last_of_two_numbers_of_steps_is_what_is_compared():
    # Of the last step 30 images fall, and 4 that had fallen stand again.
    points = standing(range(N)), standing(range(80)), standing(range(50), range(96, 100))
    assert steps_flat(curve(*points)).value == 30 - 4


@pytest.mark.parametrize(("left", "value"), [((9,), 0), ((9, 7), 2), ((9, 7, 4), 3)])
def test_the_second_half_of_the_restarts_is_counted(left, value):
    assert restarts_flat(curve(*(standing(range(n)) for n in left))).value == value
    assert restarts_flat(curve(*(standing(range(n)) for n in (90, 70, 40, 10)))).value == 60


@pytest.mark.parametrize("check", ["fgsm_stronger", "square_stronger"])
def test_the_first_attack_is_the_one_that_should_be_weaker(check):
    weak, strong = standing(range(80)), standing(range(30))
    assert compared(check, weak, strong).value == -50
    assert compared(check, strong, weak).value == 50


@pytest.mark.parametrize("pairs", [[(9, 2)], [(9, 2), (0, 4)], [(14, 0), (12, 0), (3, 3)]])
def test_chance_is_mcnemars_with_bonferronis_correction(pairs):
    found = stronger("steps_rise", [Counts(*pair) for pair in pairs], N)
    p = min(binomtest(a, a + b, 0.5, "greater").pvalue for a, b in pairs)
    assert found.chance == pytest.approx(min(1, len(pairs) * p))


def result(index: Sequence[int], robust: Sequence[int], eps: float = 0.1) -> AttackResult:
    stands = np.isin(index, robust)
    record = AttackRecord(
        source="suite",
        seed=0,
        eps=eps,
        n=len(index),
        correct=int(stands.sum()),
        seconds=1.0,
        peak_memory_mb=None,
        sha256="",
        flags=(),
        details={},
    )
    return AttackResult(record, pd.DataFrame({"index": list(index), "robust": stands}))


def gap(**results: AttackResult) -> Outcome | None:
    return autoattack_gap(results)


def test_the_gap_to_autoattack_is_that_of_the_pgd_that_leaves_least():
    clean, found = result(range(20), range(20), eps=0.0), result(range(20), range(4))
    weak, strong = result(range(20), range(16)), result(range(20), range(9))
    other = result(range(20), range(5), eps=0.05)
    both = gap(clean=clean, weak=weak, strong=strong, other=other, autoattack=found)
    assert (both.value, both.n) == (100 * 5 / 20, 20)
    assert gap(clean=clean, weak=weak, autoattack=found).value == 100 * 12 / 20


def test_the_gap_to_autoattack_is_of_the_images_that_both_evaluated():
    # AutoAttack saw images 10 to 19 alone and left 12 and 13; PGD left 8 to 14 of all.
    found = gap(pgd=result(range(20), range(8, 15)), autoattack=result(range(10, 20), (12, 13)))
    assert (found.value, found.n) == (100 * 3 / 10, 10)
    assert gap(pgd=result(range(5), (1,)), autoattack=result(range(5, 9), (6,))) is None
    assert gap(pgd=result(range(5), (1,))) is None
    assert gap(autoattack=result(range(5), (1,))) is None


def test_a_row_of_a_curve_has_the_share_that_stands_and_the_mean_loss():
    losses = torch.stack((torch.arange(100.0), torch.full((N,), 3.0)))
    points = curve(standing(range(73)), standing(range(9)), losses=losses)
    text = CURVES.text(from_rows(CURVES, list(_curve_rows("last", points))))
    assert text.splitlines()[1:] == ["by hand,last,1,73.00,100,49.5", "by hand,last,2,9.00,100,3"]


def test_a_row_of_a_picture_has_the_place_of_its_loss():
    losses = torch.arange(float(SIDE**2)).reshape(SIDE, SIDE)
    right = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    right[2, 5] = True
    text = SURFACES.text(
        from_rows(SURFACES, list(_surface_rows("best", Surface(7, 3, losses, right))))
    )
    rows = [line.split(",") for line in text.splitlines()[1:]]
    assert [row[5] for row in rows] == [f"{loss:g}" for loss in range(SIDE**2)]
    (marked,) = (row for row in rows if row[6] == "1")
    # 21 points from -1 to 1, along first.
    assert marked == ["best", "7", "3", "-0.8", "-0.5", f"{2 * SIDE + 5}", "1"]
