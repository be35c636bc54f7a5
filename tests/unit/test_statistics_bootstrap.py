"""The bootstrap over seeds and images against exact binomial distributions."""

from __future__ import annotations

import numpy as np
import pytest
from claimed import judged_by_hand
from scipy import stats

from bench.analysis.statistics.bootstrap import (
    Bootstrap,
    percentile,
    resampled_accuracies,
    resampled_seeds,
)
from bench.analysis.statistics.quantities import accuracy, difference


def test_resamples_have_the_mean_and_variance_of_the_multinomial():
    of_N = np.arange(400) < 100
    drawn_R = resampled_accuracies({"a": of_N})["a"]
    assert drawn_R.mean() == pytest.approx(25, abs=0.2)
    assert drawn_R.std() == pytest.approx(100 * np.sqrt(0.25 * 0.75 / 400), rel=0.05)
    weights_RS = resampled_seeds((0, 1, 2))
    assert weights_RS.sum(axis=1) == pytest.approx(1)
    assert weights_RS.mean(axis=0) == pytest.approx(1 / 3, abs=0.02)
    assert weights_RS.std(axis=0) == pytest.approx(np.sqrt(2 / 27), rel=0.05)


def test_the_interval_leaves_out_one_in_forty_on_either_side():
    assert percentile(np.arange(1001.0)) == pytest.approx((25, 975))


def test_both_methods_of_a_difference_have_the_seeds_and_images_of_one_resample():
    # Seeds are 30 points apart, and `a` is right on ten of 200 images more with each of them.
    right = {seed: np.arange(200) < last for seed, last in enumerate((40, 100, 160))}
    correct = {("a", seed): of_N for seed, of_N in right.items()}
    correct |= {("b", seed): of_N & (np.arange(200) >= 10) for seed, of_N in right.items()}
    of = difference(accuracy("clean", "a"), accuracy("clean", "b"))
    found = Bootstrap({"clean": judged_by_hand(correct)}).interval(of)
    # What is left is how often the ten are drawn.
    assert found == pytest.approx(stats.binom.ppf([0.025, 0.975], 200, 0.05) / 2, abs=0.51)


def test_verdicts_that_are_all_the_same_have_no_interval():
    part = judged_by_hand({("a", seed): [1, 1, 1] for seed in (0, 1)})
    assert Bootstrap({"clean": part}).interval(accuracy("clean", "a")) is None
