from __future__ import annotations

import math

import plain_losses as plain
import pytest
import torch

from bench.methods import mart

LABELS = torch.tensor([0, 3, 1])


@pytest.mark.parametrize("beta", [0.0, 1.0, 5.0])
@pytest.mark.parametrize("scale", [0.5, 2.0, 6.0])
def test_mart_equals_the_equation_and_nothing_is_detached(beta, scale):
    clean, adversarial = plain.logits(seed=1, scale=scale), plain.logits(seed=2, scale=scale)

    def value(a: plain.Rows, b: plain.Rows) -> float:
        return plain.mart(a, b, LABELS.tolist(), beta=beta)

    objective = mart.objective(clean, adversarial, LABELS, beta=beta)
    plain.assert_same(objective, value, [clean, adversarial])


def test_the_gradient_passes_through_the_weight():
    clean, adversarial = plain.logits(seed=1), plain.logits(seed=2)
    weighted = mart.terms(clean, adversarial, LABELS, beta=1.0)["weighted_divergence"]
    (gradient,) = torch.autograd.grad(weighted, clean)
    p, q = clean.softmax(dim=1), adversarial.softmax(dim=1)
    weight = 1.0000001 - p.gather(1, LABELS[:, None])
    unweighted = (p * (p.log() - q.log())).sum(dim=1, keepdim=True)
    (detached,) = torch.autograd.grad((weight.detach() * unweighted).mean(), clean)
    assert (gradient - detached).abs().max() > 1e-3


def test_there_is_no_cross_entropy_on_clean_images():
    clean, adversarial = plain.logits(seed=1), plain.logits(seed=2)
    boosted = mart.terms(clean, adversarial, LABELS, beta=1.0)["boosted_cross_entropy"]
    (gradient,) = torch.autograd.grad(boosted, clean, allow_unused=True)
    assert gradient is None


def test_the_margin_is_that_of_the_likeliest_wrong_class_and_bounded_by_its_constant():
    adversarial = torch.tensor([[0.0, 80, 0, 0]], dtype=torch.float64)
    label = torch.tensor([0])
    boosted = mart.terms(adversarial, adversarial, label, beta=0.0)["boosted_cross_entropy"]
    assert boosted.item() == pytest.approx(80 - math.log(1.0001 - 1.0), abs=1e-6)
    right = mart.terms(adversarial, adversarial, torch.tensor([1]), beta=0.0)
    assert right["boosted_cross_entropy"].item() == pytest.approx(-math.log(1.0001), abs=1e-9)


def test_a_vanishing_adversarial_probability_costs_no_more_than_its_constant():
    clean = torch.tensor([[0.0, 900, 0, 0]], dtype=torch.float64)
    adversarial = torch.tensor([[900.0, 0, 0, 0]], dtype=torch.float64)
    label = torch.tensor([0])
    weighted = mart.terms(clean, adversarial, label, beta=1.0)["weighted_divergence"]
    assert weighted.item() == pytest.approx(-math.log(1e-12) * 1.0000001, rel=1e-12)


def test_an_image_that_is_surely_right_still_weighs_a_little():
    clean = torch.tensor([[900.0, 0, 0, 0]], dtype=torch.float64)
    adversarial = torch.tensor([[0.0, 900, 0, 0]], dtype=torch.float64)
    weighted = mart.terms(clean, adversarial, torch.tensor([0]), beta=1.0)["weighted_divergence"]
    assert weighted.item() == pytest.approx(-math.log(1e-12) * 1e-7, rel=1e-6)


def test_predictions_that_underflow_leave_every_gradient_finite():
    clean = torch.tensor([[300.0, -300, 0], [-300, 300, 0]], requires_grad=True)
    adversarial = torch.tensor([[-300.0, 300, 0], [-300, 300, 0]], requires_grad=True)
    objective = mart.objective(clean, adversarial, torch.tensor([0, 0]), beta=5.0)
    assert objective.isfinite()
    for gradient in torch.autograd.grad(objective, (clean, adversarial)):
        assert gradient.isfinite().all()


def test_the_method_reads_its_passes_and_attacks_the_cross_entropy_from_gaussian_noise():
    clean, adversarial = plain.logits(seed=1), plain.logits(seed=2)
    method = mart.Mart(beta=4.0)
    torch.testing.assert_close(
        method.objective({"clean": clean, "adversarial": adversarial}, LABELS),
        mart.objective(clean, adversarial, LABELS, beta=4.0),
    )
    assert (method.attack.loss, method.attack.start, method.attack.mode) == (
        *("ce", "gaussian", "eval"),
    )
    assert mart.Mart().beta == 5.0


def test_the_margin_has_its_constant_in_each_logarithm():
    adversarial = torch.tensor([[0.0, 80, 0, 0]], dtype=torch.float64)
    boosted = mart.terms(adversarial, adversarial, torch.tensor([0]), beta=0.0)
    expected = 80 - math.log(1.0001 - 1.0 + 1e-12)
    assert boosted["boosted_cross_entropy"].item() == pytest.approx(expected, abs=1e-9)
