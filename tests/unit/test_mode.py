from __future__ import annotations

import pytest
from torch import nn

from bench.attacks.mode import evaluating, frozen


@pytest.fixture
def model() -> nn.Sequential:
    inner = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), inner)
    model[1].eval()
    inner[0].bias.requires_grad_(False)
    return model


def modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def flags(model: nn.Module) -> list[bool]:
    return [parameter.requires_grad for parameter in model.parameters()]


def test_evaluating_reaches_every_submodule_and_gives_each_its_own_mode_back(model):
    before = modes(model)
    with evaluating(model):
        assert not any(modes(model))
    assert modes(model) == before
    assert not all(before), "one submodule was frozen in eval before"


def test_a_model_in_eval_with_a_layer_in_train_comes_back_so(model):
    model.eval()
    model[2][1].train()
    before = modes(model)
    with evaluating(model):
        assert not any(modes(model))
    assert modes(model) == before


def test_frozen_reaches_every_parameter_and_gives_each_its_own_flag_back(model):
    before = flags(model)
    with frozen(model):
        assert not any(flags(model))
    assert flags(model) == before
    assert not all(before), "one parameter asked for no gradient before"


@pytest.mark.parametrize("block", [evaluating, frozen])
def test_an_error_inside_does_not_keep_the_model(model, block):
    before = modes(model), flags(model)
    with pytest.raises(RuntimeError, match="inside"), block(model):
        raise RuntimeError("inside")
    assert (modes(model), flags(model)) == before


def test_blocks_nest(model):
    before = modes(model), flags(model)
    with evaluating(model), frozen(model), evaluating(model), frozen(model):
        pass
    assert (modes(model), flags(model)) == before
