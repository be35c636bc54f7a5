"""Estimates over seeds and images against SciPy, tables and a simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bench.analysis.statistics.crossed import (
    Estimate,
    MeanSquares,
    Needed,
    estimate,
    holm,
    needed,
    over_both,
    over_images,
    over_seeds,
    simultaneous,
    wilson_over_images,
)
from bench.results.wilson import wilson

# Three seeds, four images, so that the analysis of variance can be followed by hand.
HAND = np.array([[1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 1.0]])


def some_matrix(seeds=3, images=60, *, of_seeds=2.0, of_images=30.0, rest=20.0, rng=0):
    draw = np.random.default_rng(rng)
    return (
        of_seeds * draw.normal(size=(seeds, 1))
        + of_images * draw.normal(size=images)
        + rest * draw.normal(size=(seeds, images))
    )


def test_mean_squares_are_those_of_the_hand_computed_table():
    # Seeds 2/4, 3/4, 3/4 and images 3/3, 1/3, 3/3, 1/3 around 2/3: sums of squares 1/6, 4/3, 7/6.
    found = estimate(HAND)
    assert found.value == pytest.approx(2 / 3)
    assert found.squares.seeds == pytest.approx(1 / 6 / 2)
    assert found.squares.images == pytest.approx(4 / 3 / 3)
    assert found.squares.rest == pytest.approx(7 / 6 / 6)


def test_interval_over_both_is_hillis_formula_on_the_hand_computed_table():
    # MS_seeds 1/12 is below MS_rest 7/36, which then takes its place.
    found = over_both(estimate(HAND))
    error = math.sqrt((7 / 36 + 1 / 4) / 12)
    df = (7 / 36 + 1 / 4) ** 2 / ((7 / 36) ** 2 / 2 + (1 / 4) ** 2 / 3)
    assert (found.standard_error, found.df) == pytest.approx((error, df))
    assert (found.low, found.high) == pytest.approx(
        stats.t.interval(0.95, df, loc=2 / 3, scale=error)
    )


@pytest.mark.parametrize(
    "z_SN",
    [
        np.array([[1.0, 0.0], [0.0, 1.0]]),  # images agree, so I would be negative
        np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]),
        some_matrix(seeds=2, images=7, of_images=0.0),
        some_matrix(seeds=4, images=9, of_seeds=40.0),
        some_matrix(seeds=5, images=3),
    ],
)
def test_interval_over_both_follows_the_formula_cell_by_cell(z_SN):
    seeds, images = z_SN.shape
    mean, row, column = z_SN.mean(), z_SN.mean(axis=1), z_SN.mean(axis=0)
    ms_seeds = sum(images * (r - mean) ** 2 for r in row) / (seeds - 1)
    ms_images = sum(seeds * (c - mean) ** 2 for c in column) / (images - 1)
    ms_rest = sum(
        (z_SN[s, i] - row[s] - column[i] + mean) ** 2 for s in range(seeds) for i in range(images)
    ) / ((seeds - 1) * (images - 1))
    of_seeds, of_images = max(ms_seeds, ms_rest), max(ms_images - ms_rest, 0)
    error = math.sqrt((of_seeds + of_images) / (seeds * images))
    df = (of_seeds + of_images) ** 2 / (of_seeds**2 / (seeds - 1) + of_images**2 / (images - 1))
    found = over_both(estimate(z_SN))
    assert (found.standard_error, found.df) == pytest.approx((error, df))
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, df, mean, error))
    assert found.p == pytest.approx(2 * stats.t.sf(abs(mean) / error, df))


def test_interval_over_seeds_of_a_difference_is_scipys_paired_one():
    one, other = some_matrix(rng=1), some_matrix(rng=2)
    ours = over_seeds(estimate(one - other))
    theirs = stats.ttest_rel(one.mean(axis=1), other.mean(axis=1))
    bounds = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((bounds.low, bounds.high))
    assert (ours.p, ours.df) == pytest.approx((theirs.pvalue, theirs.df))


def test_interval_over_images_is_scipys_over_the_means_of_seeds():
    matrix_SN = some_matrix()
    ours, theirs = over_images(estimate(matrix_SN)), stats.ttest_1samp(matrix_SN.mean(axis=0), 0)
    bounds = theirs.confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((bounds.low, bounds.high))
    assert ours.p == pytest.approx(theirs.pvalue)


def test_one_seed_has_an_interval_over_images_alone():
    found = estimate(some_matrix(seeds=1))
    assert found.spread is None
    assert over_seeds(found) is None
    assert over_both(found) is None
    assert over_images(found).low < found.value < over_images(found).high


def test_seeds_that_agree_have_no_interval_over_seeds():
    matrix_SN = np.array([[0.0, 100.0, 100.0, 0.0, 100.0], [100.0, 0.0, 100.0, 0.0, 100.0]])
    found = estimate(matrix_SN)
    assert found.spread == 0
    assert over_seeds(found) is None
    assert over_both(found).low < found.value < over_both(found).high


def test_results_that_are_all_the_same_have_only_wilsons_interval():
    found = estimate(np.zeros((2, 50)))
    assert over_seeds(found) is over_both(found) is over_images(found) is None
    assert wilson_over_images(found) == pytest.approx(wilson(0, 50))


def test_wilson_over_images_is_the_plain_one_where_seeds_add_nothing():
    once = 100.0 * (np.arange(40) < 31)
    again = estimate(np.stack([once, once, once]))
    # The sample variance has one less in its divisor, so the effective number is one less.
    assert wilson_over_images(again) == pytest.approx(wilson(31, 40), abs=0.2)


def test_wilson_over_images_counts_independent_seeds_as_more_images():
    draw = np.random.default_rng(5)
    found = estimate(100.0 * (draw.random((3, 4000)) < 0.3))
    low, high = wilson_over_images(found)
    right = round(found.value / 100 * 12000)
    assert high - low == pytest.approx(np.diff(wilson(right, 12000))[0], rel=0.03)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("of_seeds", "of_images", "rest"), [(0, 9, 9), (3, 30, 3), (1, 0, 30)])
def test_error_over_both_is_never_smaller_than_over_images(seed, of_seeds, of_images, rest):
    found = estimate(some_matrix(of_seeds=of_seeds, of_images=of_images, rest=rest, rng=seed))
    error = over_both(found).standard_error
    assert error >= over_images(found).standard_error * (1 - 1e-12)


@pytest.mark.parametrize(
    ("of_seeds", "of_images", "rest"),
    [(0.0, 30.0, 20.0), (1.0, 30.0, 20.0), (3.0, 20.0, 20.0), (1.0, 10.0, 30.0)],
)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_cover_what_they_speak_of(seeds, of_seeds, of_images, rest):
    # 400 experiments on 500 images: the share that covers is within 0.03 of its expectation.
    draw = np.random.default_rng(7)
    covered = {"both": 0, "seeds": 0, "images": 0}
    for _ in range(400):
        seed_S, image_N = of_seeds * draw.normal(size=seeds), of_images * draw.normal(size=500)
        chance_SN = rest * draw.normal(size=(seeds, 500))
        found = estimate(seed_S[:, None] + image_N + chance_SN)
        for name, interval, truth in (
            ("both", over_both(found), 0.0),
            ("seeds", over_seeds(found), image_N.mean()),
            ("images", over_images(found), seed_S.mean()),
        ):
            covered[name] += interval.low <= truth <= interval.high
    assert covered["both"] / 400 >= 0.92
    assert covered["seeds"] / 400 == pytest.approx(0.95, abs=0.035)
    assert covered["images"] / 400 == pytest.approx(0.95, abs=0.035)


def test_needed_seeds_are_the_least_that_give_the_width():
    found = Estimate(1.0, np.array([0.0, 1.0, 2.0]), 0)  # standard deviation 1
    least = needed(found, 0.5, images_too=False).seeds
    halves = [stats.t.ppf(0.975, n - 1) / math.sqrt(n) for n in (least - 1, least)]
    assert halves[0] >= 0.5 > halves[1]


def test_needed_images_are_given_where_seeds_alone_do_not_decide():
    found = estimate(some_matrix(images=100, of_seeds=0.1, of_images=30.0, rest=1.0))
    least = needed(found, 1.0, images_too=True)
    assert least.seeds is None
    # 1.96 x 30 / sqrt(N) = 1
    assert least.images == pytest.approx((1.96 * 30) ** 2, rel=0.4)


def test_images_are_not_asked_for_where_those_at_hand_are_more():
    squares = MeanSquares(images=902, seeds=190000, rest=900)
    of = Estimate(0.1, np.array([-3.0, 3.2]), 10000, squares)
    assert needed(of, 0.1, images_too=True) == Needed()


@pytest.mark.parametrize("half_width", [1e-3, 1e-14, 1e-200])
def test_more_images_than_there_are_anywhere_are_not_asked_for(half_width):
    found = estimate(some_matrix(images=100, of_seeds=0.1, of_images=30.0, rest=1.0))
    assert needed(found, half_width, images_too=True) == Needed()


@pytest.mark.parametrize("half_width", [0.0, -1.0])
def test_at_an_end_no_number_is_enough(half_width):
    assert needed(estimate(some_matrix()), half_width, images_too=True) == needed(
        estimate(some_matrix(seeds=1)), 1.0, images_too=True
    )


def test_holm_agrees_with_the_hand_computed_example():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, each at least its predecessor.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_stops_at_one_and_does_not_count_what_is_unknown():
    assert holm([0.6, None, 0.5]) == [1.0, None, 1.0]
    assert holm([None]) == [None]


def test_simultaneous_intervals_share_the_error():
    assert simultaneous(1) == 0.95
    assert simultaneous(5) == pytest.approx(0.99)


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
