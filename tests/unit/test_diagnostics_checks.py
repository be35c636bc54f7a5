"""What a check counts as too much, and as more than chance."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import binom

from bench.diagnostics.checks import LIMITS, RISK, Counts, flag, share, stronger, tail

DOCS = Path(__file__).parents[2] / "docs" / "diagnostics.md"


@pytest.mark.parametrize("n", [1, 10, 100, 10_000])
@pytest.mark.parametrize("chance", [0.01, 0.2, 0.5])
def test_the_tail_is_that_of_the_binomial_distribution(n, chance):
    for count in {0, 1, n // 3, round(n * chance), n}:
        assert tail(count, n, chance) == pytest.approx(binom.sf(count - 1, n, chance), rel=1e-6)


@pytest.mark.parametrize("check", LIMITS)
@pytest.mark.parametrize("n", [10, 100, 1000])
def test_a_network_at_the_limit_fails_no_more_often_than_the_risk(check, n):
    limit = LIMITS[check] / 100
    failing = next((k for k in range(n + 1) if not share(check, k, n).passed), n + 1)
    assert binom.sf(failing - 1, n, limit) < RISK
    assert failing > limit * n


def test_a_share_well_above_its_limit_fails():
    outcome = share("zero_gradient", 30, 100)
    assert (outcome.value, outcome.threshold, outcome.n, outcome.passed) == (30.0, 1.0, 100, False)
    assert share("zero_gradient", 0, 100).passed


@pytest.mark.parametrize(
    ("only_first", "only_second", "n", "passed"),
    [
        (0, 0, 100, True),
        (5, 0, 100, True),  # 1 in 32 by luck
        (10, 0, 100, False),  # 1 in 1024
        (30, 22, 100, True),
        (60, 20, 100, False),
        (50, 10, 10_000, True),  # sure, and less than one image in a hundred
        (0, 100, 100, True),
    ],
)
def test_the_first_attack_is_stronger_beyond_the_limit_and_beyond_chance(
    only_first, only_second, n, passed
):
    outcome = stronger("fgsm_stronger", [Counts(only_first, only_second)], n)
    assert outcome.passed == passed
    assert outcome.value == 100 * (only_first - only_second) / n


def test_many_comparisons_need_more_to_fail():
    alone, among = [Counts(10, 0)], [Counts(10, 0), *[Counts(0, 0)] * 20]
    assert not stronger("steps_rise", alone, 100).passed
    assert stronger("steps_rise", among, 100).passed
    assert stronger("steps_rise", among, 100).value == 10.0


@pytest.mark.parametrize("check", LIMITS)
def test_every_check_has_a_section_with_its_meaning_and_a_fix(check):
    text = DOCS.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### {check}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    for part in ("**Asks**", "**Fails**", "**Fix**"):
        assert part in section
    assert f"{LIMITS[check]:g} %" in section
    assert flag(check) == f"diagnostics_{check}"


def test_without_a_pair_to_compare_nothing_fails():
    outcome = stronger("eps_rise", [], 6)
    assert outcome.passed
    assert outcome.chance == 1
