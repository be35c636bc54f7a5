from __future__ import annotations

import math

import plain_losses as plain
import pytest
import torch

from bench.methods import pgd_at, standard, trades

LABELS = torch.tensor([0, 3, 1])


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_equals_the_equation_and_nothing_is_detached(beta):
    clean, adversarial = plain.logits(seed=1), plain.logits(seed=2)

    def value(a: plain.Rows, b: plain.Rows) -> float:
        return plain.trades(a, b, LABELS.tolist(), beta=beta)

    objective = trades.objective(clean, adversarial, LABELS, beta=beta)
    plain.assert_same(objective, value, [clean, adversarial])


def test_the_clean_prediction_is_the_target():
    sure, unsure = torch.tensor([[30.0, 0, 0, 0]]), torch.zeros(1, 4)
    label = torch.tensor([0])
    forwards = trades.terms(sure, unsure, label, beta=2.0)["divergence"]
    backwards = trades.terms(unsure, sure, label, beta=2.0)["divergence"]
    assert forwards.item() == pytest.approx(2 * math.log(4), abs=1e-3)
    assert backwards.item() == pytest.approx(2 * (0.75 * 30 - math.log(4)), abs=1e-3)


def test_with_equal_predictions_trades_is_cross_entropy():
    clean = plain.logits(seed=1)
    objective = trades.objective(clean, clean, LABELS, beta=6.0)
    torch.testing.assert_close(objective, standard.objective(clean, LABELS))


@pytest.mark.parametrize("module", [standard, pgd_at])
def test_standard_and_pgd_training_are_cross_entropy_of_their_images(module):
    z = plain.logits(seed=1)

    def value(rows: plain.Rows) -> float:
        pairs = zip(rows, LABELS.tolist(), strict=True)
        return plain.mean([plain.cross_entropy(row, label) for row, label in pairs])

    plain.assert_same(module.objective(z, LABELS), value, [z])


def test_each_method_reads_the_logits_of_its_own_pass():
    clean, adversarial = plain.logits(seed=1), plain.logits(seed=2)
    passes = {"clean": clean, "adversarial": adversarial}
    cases = [
        (standard.Standard(), standard.objective(clean, LABELS)),
        (pgd_at.PgdAt(), pgd_at.objective(adversarial, LABELS)),
        (trades.Trades(beta=2.5), trades.objective(clean, adversarial, LABELS, beta=2.5)),
    ]
    for method, expected in cases:
        torch.testing.assert_close(method.objective(passes, LABELS), expected)


def test_the_attacks_are_the_published_ones():
    assert standard.Standard.attack is None
    assert (pgd_at.PgdAt.attack.loss, pgd_at.PgdAt.attack.start) == ("ce", "uniform")
    assert (trades.Trades.attack.loss, trades.Trades.attack.start) == ("kl", "gaussian")
    assert pgd_at.PgdAt.attack.mode == trades.Trades.attack.mode == "eval"


def test_the_default_beta_is_the_authors():
    assert trades.Trades().beta == 6.0
