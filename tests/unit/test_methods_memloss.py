from __future__ import annotations

import math
from typing import get_args, get_type_hints

import plain_losses as plain
import pytest
import torch

from bench.data import memory
from bench.methods import memloss, trades
from bench.methods.memloss import MemLoss
from bench.runtime.errors import ConfigError

LABELS = torch.tensor([0, 3, 1])
VARIANTS = [("v1", "A"), ("v1", "F"), ("v1", "none"), ("v2", "A"), ("v3", "A")]


def passes() -> list[torch.Tensor]:
    return [plain.logits(seed=1), plain.logits(seed=2), plain.logits(seed=3)]


def memory_term(
    clean: torch.Tensor,
    adversarial: torch.Tensor,
    remembered: torch.Tensor,
    *,
    variant: str,
    weight: str = "A",
) -> torch.Tensor:
    options = {"variant": variant, "beta": 3.0, "memory_beta": 1.0, "weight": weight}
    labels = torch.zeros(len(clean), dtype=torch.int64)
    return memloss.terms(clean, adversarial, remembered, labels, **options)["memory"]


@pytest.mark.parametrize(("variant", "weight"), VARIANTS)
@pytest.mark.parametrize(("beta", "memory_beta"), [(3.0, 2.0), (0.0, 1.0)])
def test_memloss_equals_the_equation_and_nothing_is_detached(variant, weight, beta, memory_beta):
    options = {"variant": variant, "beta": beta, "memory_beta": memory_beta, "weight": weight}

    def value(a: plain.Rows, b: plain.Rows, m: plain.Rows) -> float:
        return plain.memloss(a, b, m, LABELS.tolist(), **options)

    tensors = passes()
    plain.assert_same(memloss.objective(*tensors, LABELS, **options), value, tensors)


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
def test_while_the_memory_is_empty_memloss_is_trades_to_the_bit(variant):
    clean, adversarial, _ = passes()
    options = {"variant": variant, "beta": 4.0, "memory_beta": 2.0}
    expected = trades.terms(clean, adversarial, LABELS, beta=4.0)
    terms = memloss.terms(clean, adversarial, None, LABELS, **options)
    assert terms.keys() == expected.keys()
    assert all(torch.equal(terms[name], expected[name]) for name in expected)
    method = MemLoss(**options)
    without = method.terms({"clean": clean, "adversarial": adversarial}, LABELS)
    assert without.keys() == expected.keys()
    assert memloss.objective(clean, adversarial, None, LABELS, **options) == trades.objective(
        clean, adversarial, LABELS, beta=4.0
    )


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
def test_with_memory_beta_0_the_objective_is_trades(variant):
    clean, adversarial, remembered = passes()
    options = {"variant": variant, "beta": 4.0, "memory_beta": 0.0}
    objective = memloss.objective(clean, adversarial, remembered, LABELS, **options)
    torch.testing.assert_close(objective, trades.objective(clean, adversarial, LABELS, beta=4.0))


def test_the_target_is_the_clean_prediction_in_v2_and_the_remembered_one_in_v3():
    sure, unsure = torch.tensor([[30.0, 0, 0, 0]]), torch.zeros(1, 4)
    low = pytest.approx(math.log(4), abs=1e-3)
    high = pytest.approx(0.75 * 30 - math.log(4), abs=1e-3)
    other = torch.tensor([[0.0, 7, 0, 0]])
    assert memory_term(sure, other, unsure, variant="v2").item() == low
    assert memory_term(unsure, other, sure, variant="v2").item() == high
    assert memory_term(other, unsure, sure, variant="v3").item() == low
    assert memory_term(other, sure, unsure, variant="v3").item() == high


def test_weight_a_is_read_at_the_remembered_image_and_f_at_the_clean_one():
    right, wrong = torch.tensor([[40.0, 0, 0, 0]]), torch.tensor([[0.0, 40, 0, 0]])
    harmless = memory_term(wrong, right, right, variant="v1", weight="A")
    harmful = memory_term(right, right, wrong, variant="v1", weight="A")
    assert harmless.item() == pytest.approx(0.0, abs=1e-4)
    assert harmful.item() == pytest.approx(40.0, rel=1e-4)
    assert memory_term(right, right, wrong, variant="v1", weight="F").item() < 1e-4
    unweighted = memory_term(wrong, right, right, variant="v1", weight="none")
    assert unweighted.item() == pytest.approx(40.0, rel=1e-4)


def test_v1_without_its_weight_is_v2():
    tensors = passes()
    bare = memory_term(*tensors, variant="v1", weight="none")
    torch.testing.assert_close(bare, memory_term(*tensors, variant="v2"))


def test_the_gradient_of_weight_a_passes_through_the_remembered_prediction():
    clean, adversarial, remembered = passes()
    term = memory_term(clean, adversarial, remembered, variant="v1")
    (gradient,) = torch.autograd.grad(term, remembered)
    weight = 1.0000001 - remembered.softmax(dim=1)[:, 0]
    log_p, log_m = clean.log_softmax(dim=1), remembered.log_softmax(dim=1)
    distance = (log_p.exp() * (log_p - log_m)).sum(dim=1)
    (detached,) = torch.autograd.grad((weight.detach() * distance).mean(), remembered)
    assert (gradient - detached).abs().max() > 1e-3


def test_predictions_that_underflow_leave_every_gradient_finite():
    one, other = torch.tensor([[300.0, -300, 0]]), torch.tensor([[-300.0, 300, 0]])
    for variant, weight in VARIANTS:
        tensors = [z.clone().requires_grad_() for z in (one, other, other)]
        term = memory_term(*tensors, variant=variant, weight=weight)
        for gradient in torch.autograd.grad(term, tensors, allow_unused=True):
            assert gradient is None or gradient.isfinite().all()


def test_the_method_passes_every_option_on():
    clean, adversarial, remembered = passes()
    logits = {"clean": clean, "adversarial": adversarial, "memory": remembered}
    for variant, weight in VARIANTS:
        options = {"variant": variant, "beta": 3.0, "memory_beta": 2.0, "weight": weight}
        expected = memloss.objective(clean, adversarial, remembered, LABELS, **options)
        torch.testing.assert_close(MemLoss(**options).objective(logits, LABELS), expected)


def test_the_attack_is_that_of_trades_and_the_passes_come_in_the_authors_order():
    assert MemLoss.attack == trades.Trades.attack
    assert MemLoss.passes == ("clean", "adversarial", "memory")


def test_the_defaults_are_the_named_ones_and_the_weights_of_the_terms_have_none():
    method = MemLoss(variant="v2", beta=4, memory_beta=1)
    assert (method.weight, method.alignment, method.storage) == ("A", "as_seen", "int8")
    assert method.beta == 4.0
    with pytest.raises(TypeError):
        MemLoss(variant="v2")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variant": "v4"}, r"memloss\.variant: 'v4' is unknown; .*known: v1, v2, v3"),
        ({"weight": "a"}, r"memloss\.weight: 'a' is unknown"),
        ({"alignment": "as seen"}, r"memloss\.alignment: .*did you mean 'as_seen'"),
        ({"storage": "int4"}, r"memloss\.storage: 'int4' is unknown"),
        ({"beta": -1.0}, r"memloss\.beta: expected a number of at least 0, got -1\.0"),
        ({"memory_beta": math.nan}, r"memloss\.memory_beta: expected a number"),
        ({"variant": "v3", "weight": "F"}, r"memloss\.weight: 'F' counts with variant: v1 only"),
        ({"variant": "v2", "weight": "none"}, r"memloss\.weight: 'none' counts with variant: v1"),
    ],
)
def test_a_value_that_is_not_allowed_is_named_with_its_option(change, message):
    options = {"variant": "v1", "beta": 3.0, "memory_beta": 2.0} | change
    with pytest.raises(ConfigError, match=message):
        MemLoss(**options)


@pytest.mark.parametrize("remembered", [None, torch.zeros(3, 4)])
def test_the_pure_functions_refuse_unknown_words_even_while_the_memory_is_empty(remembered):
    logits = torch.zeros(3, 4)
    options = {"beta": 1.0, "memory_beta": 1.0}
    with pytest.raises(ConfigError, match=r"memloss\.variant: 'V1'"):
        memloss.terms(logits, logits, remembered, LABELS, variant="V1", **options)
    with pytest.raises(ConfigError, match=r"memloss\.weight: 'B'"):
        memloss.terms(logits, logits, remembered, LABELS, variant="v1", weight="B", **options)


def test_the_memory_understands_every_storage_and_alignment_of_the_method():
    hints = get_type_hints(MemLoss)
    assert get_args(hints["storage"]) == get_args(memory.Storage)
    assert get_args(hints["alignment"]) == get_args(memory.Alignment)
