from __future__ import annotations

import math

import plain_losses as plain
import pytest
import torch

from bench.attacks.losses import cross_entropy, divergence, margin, strongest_rival


def test_cross_entropy_is_one_value_an_image_and_equals_the_equation():
    z, labels = plain.logits(seed=1), torch.tensor([0, 3, 1])
    loss = cross_entropy(z, labels)
    expected = [plain.cross_entropy(row, y) for row, y in zip(z.tolist(), [0, 3, 1], strict=True)]
    torch.testing.assert_close(loss.detach(), torch.tensor(expected, dtype=torch.float64))


def test_divergence_is_one_value_an_image_and_equals_the_equation():
    p, q = plain.logits(seed=1), plain.logits(seed=2)
    expected = [plain.kl(a, b) for a, b in zip(p.tolist(), q.tolist(), strict=True)]
    actual = divergence(p, q).detach()
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64))


def test_divergence_takes_the_expectation_under_its_first_argument():
    sure, unsure = torch.tensor([[30.0, 0, 0, 0]]), torch.zeros(1, 4)
    forwards, backwards = divergence(sure, unsure), divergence(unsure, sure)
    assert forwards.item() == pytest.approx(math.log(4), abs=1e-4)
    assert backwards.item() == pytest.approx(0.75 * 30 - math.log(4), abs=1e-4)


def test_divergence_of_equal_logits_is_zero_and_ignores_a_shift():
    z = plain.logits(seed=3).detach()
    torch.testing.assert_close(divergence(z, z + 5.0), torch.zeros(3, dtype=torch.float64))


def test_divergence_has_a_gradient_through_both_arguments():
    p, q = plain.logits(seed=1), plain.logits(seed=2)

    def value(a: plain.Rows, b: plain.Rows) -> float:
        return sum(plain.kl(left, right) for left, right in zip(a, b, strict=True))

    plain.assert_same(divergence(p, q).sum(), value, [p, q])


def test_a_prediction_that_underflows_leaves_divergence_and_gradient_finite():
    p = torch.tensor([[300.0, -300, 0]], requires_grad=True)
    q = torch.tensor([[-300.0, 300, 0]], requires_grad=True)
    loss = divergence(p, q).sum()
    assert loss.item() == pytest.approx(600.0)
    for gradient in torch.autograd.grad(loss, (p, q)):
        assert gradient.isfinite().all()


def test_margin_is_above_zero_exactly_where_the_model_is_wrong():
    z = torch.tensor([[3.0, 1, 2], [1, 3, 2], [3, 1, 2]])
    labels = torch.tensor([0, 0, 2])
    assert margin(z, labels).tolist() == [-1.0, 2.0, 1.0]


def test_the_strongest_rival_is_never_the_label():
    z = torch.tensor([[9.0, 1, 2], [0, 9, -1], [-5, -7, -9]])
    assert strongest_rival(z, torch.tensor([0, 1, 2])).tolist() == [2, 0, 0]
