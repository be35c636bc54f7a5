"""What every registered method keeps to; a new method is held to it without another test."""

from __future__ import annotations

import importlib
import inspect
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.inner import Budget
from bench.config.parsing import plain
from bench.methods.base import Method, _discovered, create, names
from bench.models.base import build
from bench.runtime.errors import ConfigError

PASSES = ("clean", "adversarial", "memory")
LABELS = torch.tensor([0, 1, 2, 3, 0, 1])
KINDS = {name: _discovered()[name] for name in names()}
EVERY = pytest.mark.parametrize("name", KINDS)
REMEMBERING = pytest.mark.parametrize(
    "name", [name for name, kind in KINDS.items() if "memory" in kind.passes]
)
ATTACKING = pytest.mark.parametrize(
    "name", [name for name, kind in KINDS.items() if kind.attack is not None]
)


def some_options(name: str) -> dict[str, Any]:
    """Return a value for every option that has no default."""
    kind = KINDS[name]
    hints = get_type_hints(kind)
    required = [
        parameter.name
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.default is parameter.empty
    ]
    return {
        option: get_args(hints[option])[0] if get_origin(hints[option]) is Literal else 1.5
        for option in required
    }


def some_method(name: str) -> Method:
    return create(name, some_options(name))


def some_model() -> nn.Module:
    return build("small_cnn", classes=4, channels=1, seed=0, width=4)


def images(seed: int) -> Tensor:
    return torch.rand(len(LABELS), 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def some_logits(method: Method) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(len(LABELS), 4, generator=generator, dtype=torch.float64)
        for name in method.passes
    }


def attacked(method: Method, model: nn.Module) -> Tensor:
    assert method.attack is not None
    clean = images(0)
    noise = method.attack.noise(clean.shape, eps=0.1, generator=torch.Generator().manual_seed(1))
    budget = Budget(eps=0.1, step=0.04, steps=3)
    return method.attack(model, clean, LABELS, budget, noise)


@EVERY
def test_passes_are_known_and_an_attack_is_declared_where_they_need_one(name):
    method = some_method(name)
    assert method.name == name
    assert method.passes
    assert set(method.passes) <= set(PASSES)
    assert len(set(method.passes)) == len(method.passes)
    assert method.memory == ("memory" in method.passes)
    assert (method.attack is None) == ("adversarial" not in method.passes)


@EVERY
def test_the_loss_is_finite_and_its_gradient_reaches_every_parameter(name):
    method, model = some_method(name), some_model()
    batches = {"clean": images(0), "memory": images(2)}
    if method.attack is not None:
        batches["adversarial"] = attacked(method, model)
    model.train()
    logits = {which: model(batches[which]) for which in method.passes}
    loss = method.objective(logits, LABELS)
    assert loss.shape == ()
    assert loss.isfinite()
    loss.backward()
    for which, parameter in model.named_parameters():
        assert parameter.grad is not None, which
        assert parameter.grad.isfinite().all(), which
        assert parameter.grad.abs().sum() > 0, which


@EVERY
def test_the_gradient_reaches_the_logits_of_every_pass(name):
    method = some_method(name)
    logits = {which: z.requires_grad_() for which, z in some_logits(method).items()}
    method.objective(logits, LABELS).backward()
    for which, z in logits.items():
        assert z.grad is not None, which
        assert z.grad.abs().sum() > 0, which


@EVERY
def test_terms_are_scalars_that_sum_to_the_objective(name):
    method = some_method(name)
    logits = some_logits(method)
    terms = method.terms(logits, LABELS)
    assert all(term.shape == () for term in terms.values())
    total = torch.stack(list(terms.values())).sum()
    torch.testing.assert_close(method.objective(logits, LABELS), total)


@EVERY
def test_a_module_level_objective_is_the_methods_own(name):
    method = some_method(name)
    logits = some_logits(method)
    module = importlib.import_module(type(method).__module__)
    positional = {f"{which}_logits": z for which, z in logits.items()} | {"labels": LABELS}
    if not hasattr(module, "objective"):
        pytest.skip("it has no function that others could be held against")
    accepted = inspect.signature(module.objective).parameters
    options = {option: value for option, value in plain(method).items() if option in accepted}
    objective = module.objective(**positional, **options)
    torch.testing.assert_close(method.objective(logits, LABELS), objective)


@EVERY
def test_each_term_is_a_mean_over_the_batch(name):
    method = some_method(name)
    logits = some_logits(method)
    twice = {which: torch.cat([z, z]) for which, z in logits.items()}
    once = method.terms(logits, LABELS)
    torch.testing.assert_close(method.terms(twice, torch.cat([LABELS, LABELS])), once)


@EVERY
def test_terms_depend_on_labels_and_on_nothing_that_changes_between_calls(name):
    method = some_method(name)
    logits = some_logits(method)
    first, again = method.terms(logits, LABELS), method.terms(logits, LABELS)
    assert all(torch.equal(first[term], again[term]) for term in first)
    moved = method.objective(logits, (LABELS + 1) % 4)
    assert not torch.equal(method.objective(logits, LABELS), moved)


@REMEMBERING
def test_while_the_memory_is_empty_the_loss_is_finite_and_lacks_only_its_memory_term(name):
    method = some_method(name)
    logits = some_logits(method)
    with_memory = method.terms(logits, LABELS)
    without = method.terms({k: z for k, z in logits.items() if k != "memory"}, LABELS)
    assert without.keys() < with_memory.keys()
    assert all(term.isfinite() for term in without.values())


@EVERY
def test_options_go_through_plain_data_and_back(name):
    method = some_method(name)
    assert create(name, plain(method)) == method
    assert plain(create(name, plain(method))) == plain(method)


@EVERY
def test_an_unknown_option_is_refused_by_name(name):
    with pytest.raises(ConfigError, match=rf"{name}: unknown key 'betta'"):
        create(name, some_options(name) | {"betta": 1.0})


@EVERY
def test_a_method_cannot_be_changed_afterwards(name):
    method = some_method(name)
    with pytest.raises(AttributeError):
        method.beta = 7.0  # type: ignore[attr-defined]


@ATTACKING
def test_the_attack_stays_in_the_ball_and_leaves_the_model_as_it_was(name):
    method, model = some_method(name), some_model().train()
    assert method.attack is not None
    model.bn2.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    moved = attacked(method, model)
    assert (moved - images(0)).abs().max() <= 0.1 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    moving = ("running_mean", "running_var", "num_batches_tracked")
    for key, value in model.state_dict().items():
        declared = method.attack.mode == "train" and key.endswith(moving)
        assert declared or torch.equal(value, before[key]), key
