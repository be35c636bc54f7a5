from __future__ import annotations

import math

import pytest

from bench.analysis.statistics.accuracy import wilson


def test_wilson_solves_its_own_equation():
    # The bounds are the shares p at which the observed share is 1.96 standard errors of p away.
    correct, n = 37, 120
    for bound in wilson(correct, n):
        share = bound / 100
        distance = abs(correct / n - share) / math.sqrt(share * (1 - share) / n)
        assert distance == pytest.approx(1.959963984540054)


def test_wilson_agrees_with_the_published_example():
    # Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E, table I.
    assert wilson(81, 263) == pytest.approx((25.53, 36.62), abs=0.01)


def test_wilson_ends_exactly_at_nothing_and_everything():
    low, high = wilson(0, 20)
    assert low == 0.0
    assert high == pytest.approx(16.11, abs=0.01)
    assert wilson(20, 20) == (pytest.approx(100 - high), 100.0)


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(correct, n):
    with pytest.raises(ValueError, match=f"got {correct} of {n}"):
        wilson(correct, n)
