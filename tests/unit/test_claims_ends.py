"""Where a claim begins and ends to be true: a fault of half a margin turns a verdict."""

from __future__ import annotations

import pytest
from claimed import AS_CLAIMED, made, measurements, repository_claims, verdicts

from bench.analysis.claims.claim import Region

CLAIMS = {claim.id: claim for claim in repository_claims().claims}


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
        # 0.98 with a margin of 0.49, of V1's 84.5.
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
    assert verdicts(of)[claim].verdict == verdict


@pytest.mark.parametrize(("ratio", "verdict"), [(1.2, "reproduced"), (1.3, "not reproduced")])
def test_a_ratio_of_times_turns_at_its_bound(tmp_path, ratio, verdict):
    measurements(tmp_path, ratio=ratio, forgotten=-0.1)
    assert verdicts(made(AS_CLAIMED, tmp_path))["v1-cost"].verdict == verdict
