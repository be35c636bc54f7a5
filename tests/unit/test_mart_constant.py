"""The constant that bounds MART's margin, to the last digit."""

from __future__ import annotations

import math

import pytest
import torch

from bench.methods import mart


def test_the_margin_has_its_constant_in_each_logarithm():
    adversarial = torch.tensor([[0.0, 80, 0, 0]], dtype=torch.float64)
    boosted = mart.terms(adversarial, adversarial, torch.tensor([0]), beta=0.0)
    expected = 80 - math.log(1.0001 - 1.0 + 1e-12)
    assert boosted["boosted_cross_entropy"].item() == pytest.approx(expected, abs=1e-9)
