"""Hours and memory counted from operations, where no device can be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.config.loading import read_config
from bench.planning.costs import method_kind
from bench.planning.counted import counted_rates, device_bytes, operations
from bench.planning.sizes import size_of

MODEL = "small_cnn"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def digits():
    return read_config(ROOT / "config" / "digits.yaml")


def test_operations_are_those_that_a_hand_counts(digits):
    from torch import nn

    size = size_of(digits, None)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 10))
    # A multiplication and an addition for each weight and place.
    assert operations(network, size) == 2 * (4 * 9 * 64 + 256 * 10)


def test_a_training_costs_its_attack_its_passes_and_its_selection(digits):
    size = size_of(digits, None)
    rates = counted_rates(digits, size, 1.0)
    (image,) = rates.attacks[MODEL, "", "clean"]
    methods = {method.label: method for method in digits.methods}
    cost = {label: rates.training[method_kind(one)][0] / image for label, one in methods.items()}
    selection = 41 * 149 / 1348
    assert cost["standard"] == pytest.approx(3 + selection)
    assert cost["pgd_at"] == pytest.approx(3 + 20 + selection)
    assert cost["trades"] == pytest.approx(6 + 20 + 1 + selection)
    assert cost["memloss_v1"] == pytest.approx(9 + 20 + 1 + selection)
    assert rates.attacks[MODEL, "", "pgd"] == [2 * image]


def test_hours_fall_with_the_stated_rate_and_memory_does_not(digits):
    size = size_of(digits, None)
    slow, fast = (counted_rates(digits, size, rate) for rate in (1.0, 4.0))
    assert slow.attacks[MODEL, "", "autoattack"][0] == pytest.approx(
        4 * fast.attacks[MODEL, "", "autoattack"][0]
    )
    assert device_bytes(digits, size) > size.train * size.values
