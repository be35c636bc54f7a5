"""Distances to the front of mixtures, and harmonic means, against plain formulations."""

from __future__ import annotations

import numpy as np
import pytest
from claimed import by_hand

from bench.analysis.statistics.front import distance, slope
from bench.analysis.statistics.outcomes import Outcomes
from bench.analysis.statistics.quantities import (
    accuracy,
    difference,
    front_distance,
    harmonic_mean,
    measure,
)

FRONT = np.array([[90.0, 40.0], [80.0, 50.0]])


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((85.0, 45.0), 0.0),  # on the line between the two
        ((84.0, 44.0), 1.0),  # below it
        ((86.0, 46.0), -1.0),  # beyond it
        ((70.0, 30.0), 15.0),  # the line is met at (85, 45)
        ((95.0, 10.0), -5.0),  # beyond the end: no method has more than 90
        ((60.0, 60.0), -10.0),
    ],
)
def test_distance_is_along_the_diagonal(point, expected):
    assert distance(np.array(point), FRONT) == pytest.approx(expected)


def test_distance_is_the_best_over_a_fine_grid_of_mixtures():
    draw = np.random.default_rng(0)
    point, front = draw.uniform(40, 60, 2), draw.uniform(40, 60, (4, 2))
    shares = draw.dirichlet(np.full(4, 0.3), size=200_000)
    reached = (shares @ front - point).min(axis=1).max()
    found = float(distance(point, front))
    assert reached <= found + 1e-9
    assert found == pytest.approx(reached, abs=0.1)


def test_distance_of_many_is_the_distance_of_each():
    draw = np.random.default_rng(1)
    points, fronts = draw.uniform(0, 100, (5, 2)), draw.uniform(0, 100, (5, 3, 2))
    each = [float(distance(*pair)) for pair in zip(points, fronts, strict=True)]
    assert distance(points, fronts).tolist() == each


@pytest.mark.parametrize("seed", range(8))
def test_slope_is_the_numerical_derivative(seed):
    draw = np.random.default_rng(seed)
    point, front = draw.uniform(40, 60, 2), draw.uniform(40, 60, (4, 2))
    found, step = slope(point, front), 1e-6
    for axis in (0, 1):
        moved = point.copy()
        moved[axis] += step
        rise = (distance(moved, front) - distance(point, front)) / step
        assert found.of_point[axis] == pytest.approx(float(rise), abs=1e-4)
        for other in range(4):
            raised = front.copy()
            raised[other, axis] += step
            rise = (distance(point, raised) - distance(point, front)) / step
            assert found.of_front[other, axis] == pytest.approx(float(rise), abs=1e-4)


@pytest.mark.parametrize(
    ("point", "beyond"),
    [
        ((86.0, 46.0), False),
        ((84.0, 44.0), False),
        ((95.0, 10.0), True),
        ((60.0, 60.0), True),
        ((60.0, 45.0), False),  # below an end, not off it
        ((85.0, 20.0), False),
    ],
)
def test_a_point_off_the_end_of_the_front_is_known(point, beyond):
    assert slope(np.array(point), FRONT).beyond is beyond


def test_harmonic_mean_is_that_of_the_mean_accuracies():
    found = measure(
        {
            "clean": by_hand({("a", 0): [1, 1, 1, 0], ("a", 1): [1, 1, 1, 1]}),
            "autoattack": by_hand({("a", 0): [1, 1, 0, 0], ("a", 1): [1, 0, 0, 0]}),
        },
        harmonic_mean("autoattack", "a"),
    )
    assert found.value == pytest.approx(2 * 87.5 * 37.5 / 125)


@pytest.mark.parametrize("rates", [(84.0, 49.0), (99.0, 0.0), (30.0, 30.0)])
def test_gradient_of_the_harmonic_mean_is_the_numerical_one(rates):
    of, at, step = harmonic_mean("autoattack", "a"), np.array(rates), 1e-6
    for axis in (0, 1):
        moved = at.copy()
        moved[axis] += step
        rise = (of.value(moved) - of.value(at)) / step
        assert of.gradient(at)[axis] == pytest.approx(float(rise), abs=1e-4)


def test_nothing_right_has_harmonic_mean_zero():
    of = harmonic_mean("autoattack", "a")
    assert of.value(np.zeros(2)) == 0
    assert of.gradient(np.zeros(2)).tolist() == [0, 0]


def test_a_difference_is_over_the_seeds_that_both_have():
    part = by_hand({("a", 0): [1, 1], ("a", 1): [1, 0], ("b", 1): [0, 0], ("b", 2): [1, 1]})
    found = measure({"clean": part}, difference(accuracy("clean", "a"), accuracy("clean", "b")))
    assert (found.value, found.seeds) == (50.0, 1)
    lone = by_hand({("a", 0): [1], ("b", 1): [1]})
    assert measure({"clean": lone}, difference(*(accuracy("clean", m) for m in "ab"))) is None


def test_attacks_on_different_images_are_joined_on_the_common_ones():
    clean = by_hand({("a", 0): [1, 0, 1, 1]})
    part = Outcomes(2, {("a", 0): 50.0}, np.array([1, 2]), {("a", 0): np.array([False, True])})
    found = measure({"clean": clean, "autoattack": part}, harmonic_mean("autoattack", "a"))
    assert (found.value, found.images) == (50.0, 2)  # both are right on image 2 alone


def test_distance_to_a_front_expands_in_every_accuracy():
    draw = np.random.default_rng(3)
    names = ("a", "b", "c")
    rates = {
        "clean": {"a": 0.84, "b": 0.9, "c": 0.8},
        "autoattack": {"a": 0.45, "b": 0.4, "c": 0.5},
    }
    parts = {
        attack: by_hand({(m, s): draw.random(2000) < of[m] for m in names for s in range(3)})
        for attack, of in rates.items()
    }
    of = front_distance("autoattack", "a", ["b", "c"])
    found = measure(parts, of)
    # The seeds' linear values are near the distances of each seed's own three models.
    own = [
        float(of.value(np.array([parts[attack].accuracy[m, seed] for attack, m in of.terms])))
        for seed in range(3)
    ]
    assert found.by_seed == pytest.approx(own, abs=0.1)
