"""Verdicts: where an interval lies, what is missing, and what would decide."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from claimed import (
    AS_CLAIMED,
    WITHOUT_EFFECT,
    Verdicts,
    made,
    measurements,
    repository_claims,
    write_history,
)
from scipy import stats

from bench.analysis.claims.claim import Region
from bench.analysis.claims.rules import Measured
from bench.analysis.claims.verdict import no_gain, side, undecided
from bench.analysis.statistics.crossed import Estimate, over_seeds

CLAIMS = {claim.id: claim for claim in repository_claims().claims}
BY_SEED = Estimate(10.0, np.array([9.0, 10.0, 11.0]), 0)


def measured(low, high, value=10.0, **changes):
    return Measured(value, low, high, BY_SEED, images_too=False, **changes)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (9.1, 10.9, True),
        (8.0, 8.9, False),
        (11.1, 15.0, False),
        (8.5, 9.5, None),  # across the lower end
        (10.5, 11.5, None),
        (0.0, 20.0, None),  # so wide that it has all of the region
        (9.0, 10.0, None),  # touching an end from within
        (8.0, 9.0, None),  # and from outside
        (11.0, 12.0, None),
        (None, None, None),
    ],
)
def test_only_an_interval_on_one_side_decides(low, high, expected):
    assert side(measured(low, high), Region(9.0, 11.0)) is expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.1, 5.0, True), (-5.0, -0.1, False), (-0.1, 5.0, None), (0.0, 5.0, None)],
)
def test_above_and_below_are_regions_with_one_end(low, high, expected):
    assert side(measured(low, high), Region(low=0.0)) is expected
    opposite = None if expected is None else not expected
    assert side(measured(low, high), Region(high=0.0)) is opposite


def test_a_wider_interval_never_gives_a_verdict_that_a_narrower_one_does_not():
    region = Region(9.0, 11.0)
    for value in np.linspace(5, 15, 41):
        found = [side(measured(value - h, value + h, value), region) for h in (0.1, 0.5, 2.0, 9.0)]
        known = [one for one in found if one is not None]
        assert known == found[: len(known)]
        assert len(set(known)) <= 1


def test_an_undecided_claim_tells_the_least_seeds_that_would_decide():
    interval = over_seeds(BY_SEED)
    of = measured(interval.low, interval.high)
    sentence = undecided(of, Region(8.0, 12.0))
    seeds = int(sentence.split()[1])
    half = stats.t.ppf(0.975, seeds - 1) / math.sqrt(seeds)
    assert half < 2 <= stats.t.ppf(0.975, seeds - 2) / math.sqrt(seeds - 1)
    assert sentence == f"about {seeds} seeds would decide if the estimate stays"


def test_an_estimate_at_an_end_is_never_decided():
    assert undecided(measured(8.0, 12.0), Region(10.0)).startswith("not even 1000 seeds")


def test_one_seed_and_seeds_that_agree_say_why_there_is_no_interval():
    one = replace(measured(None, None), binding=Estimate(1.0, np.array([1.0]), 0))
    assert undecided(one, Region(0.0)).startswith("one seed: the spread over seeds is unknown")
    same = replace(measured(None, None), binding=Estimate(1.0, np.array([1.0, 1.0]), 0))
    assert undecided(same, Region(0.0)).startswith("all 2 seeds give the same number")


def test_all_claims_are_reproduced_where_all_are_true(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder))
    # 10,000 images cannot tell V1 from V2 under AutoAttack: 0.3 points.
    assert {name: one.verdict for name, one in found.items() if name != "v1-v2-autoattack"} == {
        name: "reproduced" for name in found if name != "v1-v2-autoattack"
    }


def test_claims_are_not_reproduced_where_the_memory_does_nothing(tmp_path):
    measurements(tmp_path, ratio=1.6, forgotten=0.1)
    found = Verdicts(made(WITHOUT_EFFECT, tmp_path))
    for name in (
        *("v1-autoattack", "v2-clean", "v3-autoattack", "v1-v2-clean-by", "v3-v1-clean-by"),
        *("v1-v2-clean", "v1-v2-autoattack", "v3-v1-clean", "variants-equal-autoattack"),
        *("v1-beyond-trades", "v1-over-trades-harmonic", "v1-over-mart-harmonic"),
        *("memory-over-placebo", "v1-cost", "v1-forgets-less"),
    ):
        assert found[name].verdict == "not reproduced", name


def test_noise_makes_claims_inconclusive(measured_folder):
    # Seeds three points apart and a tenth of the images.
    found = Verdicts(made(AS_CLAIMED, measured_folder, spread=3.0, images=1000))
    for name in ("v1-clean", "v1-v2-clean-by", "variants-equal-autoattack", "v1-v2-autoattack"):
        assert found[name].verdict == "inconclusive"
        assert "would decide" in found[name].detail or "would, with" in found[name].detail


@pytest.mark.parametrize("spread", [0.05, 0.5, 2.0, 5.0])
def test_more_noise_never_reproduces_more(measured_folder, spread):
    of = {
        name: one.verdict == "reproduced"
        for name, one in Verdicts(made(AS_CLAIMED, measured_folder, spread=spread)).items()
    }
    least = Verdicts(made(AS_CLAIMED, measured_folder, spread=0.01))
    assert all(least[name].verdict == "reproduced" for name, holds in of.items() if holds)


def test_numbers_are_of_their_own_data_and_orders_are_observed_elsewhere(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder, dataset="cifar10-jpeg"))
    for one in found.values():
        if one.claim.kind == "number":
            assert one.verdict == "not run"
            assert one.detail == (
                "stated for cifar10, resnet18, eps 8/255; the data set here is cifar10-jpeg"
            )
        else:
            assert one.verdict in ("observed here", "inconclusive")
    assert found["v1-v2-clean"].verdict == found["v1-beyond-trades"].verdict == "observed here"


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        ("subset", "only a part of the images was used here (subset)"),
        ("train_subset", "only a part of the images was used here (train_subset)"),
        ("selected_on_test", "the test set chose the checkpoint here (selected_on_test)"),
    ],
)
def test_what_is_not_as_stated_is_other_data(measured_folder, flag, why):
    found = Verdicts(made(AS_CLAIMED, measured_folder, flags=flag))
    assert found["v1-clean"].verdict == "not run"
    assert why in found["v1-clean"].detail
    assert found["v1-v2-clean"].verdict == "observed here"


def test_a_part_of_the_images_under_one_attack_is_no_matter_of_another(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    rows = [{**row, "flags": "subset" * (row["attack"] == "autoattack")} for row in whole.rows]
    found = Verdicts(replace(whole, rows=rows))
    assert (found["v1-clean"].verdict, found["v1-clean"].flags) == ("reproduced", ())
    assert found["v1-autoattack"].verdict == "not run"
    assert found["v1-beyond-trades"].verdict == "observed here"


def test_what_is_of_no_image_carries_no_flag_of_an_attack(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder, flags="autoattack_warned"))
    assert found["v1-cost"].flags == found["v1-forgets-less"].flags == ()
    assert found["v1-autoattack"].flags == ("autoattack_warned",)


def test_the_first_half_of_the_epochs_is_not_asked_what_is_forgotten(measured_folder):
    for method, early in (("recycled", 90.0), ("trades_beta3", 10.0)):
        for seed in range(3):
            rates = [None, early, early, 10.0 + seed, 20.0]
            write_history(measured_folder, method, seed, rates)
    found = Verdicts(made(AS_CLAIMED, measured_folder))["v1-forgets-less"]
    assert found.measured is not None
    assert found.measured.value == 0


def test_a_method_that_is_off_the_front_by_luck_widens_the_interval(measured_folder):
    """TRADES with beta 3 equals V1 in truth; its seeds are far apart and low on average."""
    alike = AS_CLAIMED | {"recycled": (84.0, 47.0), "trades_beta3": (83.0, 45.0)}
    whole = made(alike, measured_folder, images=5000)
    outcomes = {}
    for attack, part in whole.outcomes["best"].items():
        correct = dict(part.correct)
        for seed, lost in ((0, 0), (1, 100), (2, 300)):
            of_N = correct["trades_beta3", seed].copy()
            of_N[np.flatnonzero(of_N)[:lost]] = False
            correct["trades_beta3", seed] = of_N
        rates = {run: 100 * float(of_N.mean()) for run, of_N in correct.items()}
        outcomes[attack] = replace(part, accuracy=rates, correct=correct)
    found = Verdicts(replace(whole, outcomes={"best": outcomes}))["v1-beyond-trades"]
    assert found.measured is not None
    assert found.measured.value > 0
    assert found.measured.low < 0
    assert found.verdict == "inconclusive"


def test_no_difference_of_percentages_is_beyond_a_hundred(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder, seeds=(0, 1), spread=20.0))
    for one in found.values():
        if one.measured is not None and one.claim.attacks and one.measured.low is not None:
            assert -100 <= one.measured.low <= one.measured.high <= 100


def test_an_order_that_does_not_hold_elsewhere_is_not_observed(tmp_path):
    measurements(tmp_path, ratio=1.6, forgotten=0.1)
    found = Verdicts(made(WITHOUT_EFFECT, tmp_path, dataset="digits"))
    assert found["v1-v2-clean"].verdict == found["v1-cost"].verdict == "not observed here"


def test_one_seed_decides_nothing(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder, seeds=(0,)))
    assert {one.verdict for one in found.values()} <= {"inconclusive", "not run", "reproduced"}
    for name in ("v1-clean", "v1-v2-clean", "v1-beyond-trades", "variants-differ-clean"):
        assert found[name].verdict == "inconclusive"
        assert found[name].detail.startswith("one seed")


DECIDING = ("v1-beyond-trades", "v1-over-trades-harmonic", "memory-over-placebo")


def test_no_gain_worth_having_is_said_where_the_interval_ends_below_it(measured_folder):
    # V1 is TRADES with its own beta, within a tenth of a point, and so is the placebo.
    none = {"recycled": (84.05, 48.05), "placebo": (84.0, 48.0)}
    none |= {"trades_beta3": (84.0, 48.0), "trades": (80.0, 49.5)}
    of = {**AS_CLAIMED, **none}
    found = Verdicts(made(of, measured_folder, turned=0.002))
    assert {found[name].verdict for name in DECIDING} == {"no gain worth having"}
    found = Verdicts(made(of, measured_folder, turned=0.002, dataset="svhn"))
    assert {found[name].verdict for name in DECIDING} == {"no gain worth having here"}
    assert "svhn" in found["memory-over-placebo"].detail


@pytest.mark.parametrize(
    ("high", "worth", "expected"),
    [(0.4, 0.5, True), (0.5, 0.5, False), (0.4, None, False), (None, 0.5, False)],
)
def test_a_gain_may_be_too_small(high, worth, expected):
    assert no_gain(measured(-0.1, high, 0.1), worth) is expected


def test_a_number_that_cannot_decide_says_nothing_of_gains():
    assert not no_gain(measured(-0.1, 0.1, 0.0, reason="off the front"), 0.5)


def test_what_would_show_that_there_is_no_gain_is_advised_too():
    of = measured(-5.0, 5.0, 0.1)
    binding = replace(BY_SEED, value=0.1)
    seeds = [
        int(undecided(replace(of, binding=binding), Region(low=0.0), worth).split()[1])
        for worth in (0.5, 1.0)
    ]
    assert seeds[1] < seeds[0] < 1000


def test_a_point_off_the_end_of_the_front_decides_nothing(measured_folder):
    of = {**AS_CLAIMED, "recycled": (92.0, 30.0)}
    found = Verdicts(made(of, measured_folder))["v1-beyond-trades"]
    assert found.verdict == "inconclusive"
    assert "better than the whole front in one accuracy" in found.detail


def test_a_method_below_one_of_several_is_not_above_the_best(measured_folder):
    of = {**AS_CLAIMED, "trades_beta4": (86.0, 50.0)}
    found = Verdicts(made(of, measured_folder))["v1-over-trades-harmonic"]
    assert found.verdict == "not reproduced"
    assert found.measured.value == pytest.approx(
        2 * 84.5 * 48.9 / 133.4 - 2 * 86 * 50 / 136, abs=0.02
    )


def test_a_range_is_that_of_the_extremes(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder))["variants-differ-clean"].measured
    assert found.value == pytest.approx(84.5 - 82.2)
    assert found.compared == 3


def test_a_ratio_of_times_is_the_geometric_mean(measured_folder):
    found = Verdicts(made(AS_CLAIMED, measured_folder))["v1-cost"].measured
    assert found.value == pytest.approx(1.1, abs=0.002)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("claim", "region"),
    [
        ("v1-clean", Region(83.52, 85.52)),
        ("v3-v1-clean-by", Region(-3.495, -1.165)),
        ("variants-differ-clean", Region(low=1.165)),
        ("variants-equal-autoattack", Region(high=1.165)),
        ("v1-cost", Region(high=1.25)),
        ("v3-v1-clean", Region(high=0)),
    ],
)
def test_a_region_is_what_the_file_says(claim, region):
    found = CLAIMS[claim].region
    assert (found.low, found.high) == pytest.approx((region.low, region.high))


@pytest.mark.parametrize(
    ("claim", "changes", "verdict"),
    [
        # A margin of one point around 84.52: within and beyond it, on both sides.
        ("v1-clean", {"recycled": (85.3, 48.9)}, "reproduced"),
        ("v1-clean", {"recycled": (83.8, 48.9)}, "reproduced"),
        ("v1-clean", {"recycled": (85.8, 48.9)}, "not reproduced"),
        ("v1-clean", {"recycled": (83.2, 48.9)}, "not reproduced"),
        # 0.98 with a margin of 0.57, of V1's 84.5.
        ("v1-v2-clean-by", {"memloss_v2": (83.2, 48.6)}, "reproduced"),
        ("v1-v2-clean-by", {"memloss_v2": (83.8, 48.6)}, "reproduced"),
        ("v1-v2-clean-by", {"memloss_v2": (82.8, 48.6)}, "not reproduced"),
        ("v1-v2-clean-by", {"memloss_v2": (84.3, 48.6)}, "not reproduced"),
        # A range of 1.165, from 84.5 and from 48.9.
        ("variants-differ-clean", {"memloss_v3": (83.0, 48.6)}, "reproduced"),
        ("variants-differ-clean", {"memloss_v3": (83.7, 48.6)}, "not reproduced"),
        ("variants-equal-autoattack", {"memloss_v3": (82.2, 48.0)}, "reproduced"),
        ("variants-equal-autoattack", {"memloss_v3": (82.2, 47.4)}, "not reproduced"),
        # The least of them is listed first, the largest last.
        ("variants-equal-autoattack", {"memloss_v3": (82.2, 50.4)}, "not reproduced"),
    ],
)
def test_a_verdict_turns_where_the_margin_ends(measured_folder, claim, changes, verdict):
    of = made(AS_CLAIMED | changes, measured_folder, spread=0.02, turned=0.002)
    assert Verdicts(of)[claim].verdict == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.2, "reproduced"), (1.3, "not reproduced")])
def test_a_ratio_of_times_turns_at_its_bound(tmp_path, ratio, verdict):
    measurements(tmp_path, ratio=ratio, forgotten=-0.1)
    assert Verdicts(made(AS_CLAIMED, tmp_path))["v1-cost"].verdict == verdict
