"""What every registered method keeps to; a new method is held to it without another test."""

from __future__ import annotations

import copy
import importlib
import inspect
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from synthetic import EPS, some_data, some_spec
from torch import Tensor, nn

from bench.attacks.inner import Budget
from bench.config.parsing import plain
from bench.methods.base import Method, _discovered, create, logits_of, names
from bench.models.base import build
from bench.runtime.errors import ConfigError
from bench.training.passes import untrained
from bench.training.run import Run
from bench.training.step import TrainingStep

# What of a method makes its images in another way than its first choice of options.
VARIANTS = [("sat", {"variant": "r2"}), ("sat", {"variant": "r3"}), ("cure", {"criterion": "rgp"})]
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
        for name in (*method.passes, *method.teacher_passes)
    }


def declared(method: Method) -> tuple[str, ...]:
    return (*method.passes, *method.teacher_passes, *method.statistics_passes)


def some_run(name: str, **options: Any) -> Run:
    spec = some_spec(name, options=some_options(name) | options, engine="eager")
    return untrained(spec, some_data(), torch.device("cpu"))


@cache
def stepped(name: str, **options: Any) -> tuple[Run, TrainingStep, dict[str, Tensor]]:
    """Return a run after an epoch, and a step of the next with its logits; all tests share it."""
    run = some_run(name, **options)
    run.epoch(1, lambda *_: None)
    step = run.begin(2, 0, run.batches(2)[0])
    return run, step, logits_of(run.method, step)


def attacked(method: Method, model: nn.Module) -> Tensor:
    assert method.attack is not None
    clean = images(0)
    noise = method.attack.noise(clean.shape, eps=0.1, generator=torch.Generator().manual_seed(1))
    budget = Budget(eps=0.1, step=0.04, steps=3)
    return method.attack(model, clean, LABELS, budget, noise)


@EVERY
def test_passes_are_named_once_and_an_attack_is_declared_where_they_need_one(name):
    method = some_method(name)
    every = declared(method)
    assert method.name == name
    assert method.passes
    assert len(set(every)) == len(every)
    assert method.memory == ("memory" in method.passes)
    assert method.robust == ("adversarial" in method.passes)
    if type(method).forward is Method.forward:
        assert set(every) <= set(PASSES)
        assert (method.attack is None) == ("adversarial" not in method.passes)


@EVERY
def test_a_step_returns_the_logits_that_are_declared_one_row_for_each_image(name):
    _, step, logits = stepped(name)
    assert set(logits) == set(declared(some_method(name)))
    for which, z in logits.items():
        assert z.shape[1:] == (10,), which
        assert len(z) == len(step.images.get(which, step.x)), which
        assert z.isfinite().all(), which


@EVERY
def test_the_loss_is_finite_and_its_gradient_reaches_every_parameter(name):
    run, step, logits = stepped(name)
    loss = run.method.objective(logits, step.labels)
    assert loss.shape == ()
    assert loss.isfinite()
    for network in (run.model, *run.networks.trained()):
        names, parameters = zip(*network.named_parameters(), strict=True)
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True)
        for which, gradient in zip(names, gradients, strict=True):
            assert gradient.isfinite().all(), which
            assert gradient.abs().sum() > 0, which


@EVERY
def test_passes_have_a_gradient_and_what_is_read_as_a_constant_has_none(name):
    run, _, logits = stepped(name)
    assert all(logits[which].requires_grad for which in run.method.passes)
    assert not any(logits[which].requires_grad for which in run.method.teacher_passes)


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in KINDS), *VARIANTS])
def test_adversarial_images_are_constants_in_the_methods_ball_and_in_pixel_range(name, options):
    run, step, _ = stepped(name, **options)
    made = [step.images[which] for which in ("adversarial", "other") if which in step.images]
    assert bool(made) == run.method.robust
    for images_BCHW in made:
        # The other image of a single one belongs to the last of the batch.
        away = (images_BCHW - step.x[-len(images_BCHW) :]).abs().max()
        assert 0 < away <= run.method.radius(EPS) + 1e-6
        assert images_BCHW.min() >= 0
        assert images_BCHW.max() <= 1
        assert not images_BCHW.requires_grad


@EVERY
def test_a_network_beside_changes_as_its_kind_says_and_in_no_other_way(name, monkeypatch):
    run = some_run(name)
    before = {which: copy.deepcopy(run.networks[which].state_dict()) for which in run.networks}
    # What else than this could move the parameters of an average?
    monkeypatch.setattr(TrainingStep, "move_average", lambda *_: None)
    run.epoch(1, lambda *_: None)
    for which, kind in run.method.networks.items():
        network = run.networks[which]
        changed = {
            key
            for key, value in network.state_dict().items()
            if not value.equal(before[which][key])
        }
        parameters = {key for key, _ in network.named_parameters()}
        statistics = set(network.state_dict()) - parameters
        expected = {"frozen": set(), "average": statistics, "trained": parameters | statistics}
        assert changed == expected[kind], which


@EVERY
def test_a_trained_network_begins_elsewhere_than_the_target_and_an_average_where_it_does(name):
    run, trades = some_run(name), some_run("trades")
    for key, value in run.model.state_dict().items():
        assert value.equal(trades.model.state_dict()[key]), key
    for which, kind in run.method.networks.items():
        begun = run.networks[which].get_parameter("conv1.weight")
        assert begun.equal(run.model.get_parameter("conv1.weight")) == (kind == "average")


@EVERY
def test_the_gradient_reaches_the_logits_of_every_pass(name):
    method = some_method(name)
    logits = some_logits(method)
    for which in method.passes:
        logits[which].requires_grad_()
    method.objective(logits, LABELS).backward()
    for which in method.passes:
        gradient = logits[which].grad
        assert gradient is not None, which
        assert gradient.abs().sum() > 0, which


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
