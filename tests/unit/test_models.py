from __future__ import annotations

import sys

import pytest
import torch
from synthetic import narrow_width
from torch import nn

from bench.models import base
from bench.models.base import build, names
from bench.runtime.errors import ConfigError

DEFAULT_WIDTHS = {
    "preact_resnet18": 64,
    "resnet18": 64,
    "small_cnn": 16,
    "wrn_28_10": 160,
    "wrn_34_10": 160,
}
# As the literature counts them, for ten classes and three channels.
PARAMETERS = {
    "preact_resnet18": 11_172_170,
    "resnet18": 11_173_962,
    "wrn_28_10": 36_479_194,
    "wrn_34_10": 46_160_474,
}
LAYER = """
from torch import nn
from bench.models.base import register

@register("flat")
class Flat(nn.Module):
    def __init__(self, *, classes, channels, width=4):
        super().__init__()
        self.linear = nn.Linear(channels * width, classes)
"""


def narrow(name: str, *, seed: int = 0, **changes: int) -> nn.Module:
    options = {"classes": 10, "channels": 3, "width": narrow_width(name, 8)} | changes
    return build(name, seed=seed, **options)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_network_has_the_parameters_of_its_paper(name):
    with torch.device("meta"):
        model = base._discovered()[name](classes=10, channels=3)
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_resnet18_has_the_stages_of_the_usual_cifar_resnet():
    model = build("resnet18", classes=10, channels=3, seed=0)
    assert [name for name, _ in model.named_children()] == [
        *("conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "linear")
    ]
    assert {"layer2.0.shortcut.0.weight", "layer4.1.bn2.running_var"} <= set(model.state_dict())


def test_resnet18_keeps_the_resolution_in_its_stem():
    model = narrow("resnet18")
    stem = model.conv1(torch.zeros(1, 3, 32, 32))
    assert stem.shape == (1, 8, 32, 32)
    assert not any(isinstance(module, nn.MaxPool2d) for module in model.modules())
    last = model.layer4(model.layer3(model.layer2(model.layer1(stem))))
    assert last.shape == (1, 64, 4, 4)


def test_small_cnn_is_16_32_32_without_strides():
    model = build("small_cnn", classes=10, channels=1, seed=0)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert [module.out_channels for module in convolutions] == [16, 32, 32]
    assert [module.stride for module in convolutions] == [(1, 1)] * 3


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32), (1, 28)])
def test_every_model_maps_images_to_one_logit_a_class(name, channels, side):
    model = narrow(name, classes=7, channels=channels)
    logits = model(torch.rand(2, channels, side, side))
    assert logits.shape == (2, 7)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", names())
def test_the_seed_alone_decides_the_initial_weights(name):
    torch.manual_seed(1)
    first = weights(narrow(name, seed=5))
    torch.manual_seed(2)
    torch.rand(3)
    assert torch.equal(first, weights(narrow(name, seed=5)))
    assert not torch.equal(first, weights(narrow(name, seed=6)))


@pytest.mark.parametrize("name", names())
def test_building_leaves_the_global_random_state_alone(name):
    before = torch.get_rng_state()
    narrow(name)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["resnet18", "small_cnn"])
def test_without_a_width_the_architecture_has_its_own(name):
    default = build(name, classes=10, channels=3, seed=0)
    same = build(name, classes=10, channels=3, seed=0, width=DEFAULT_WIDTHS[name])
    assert torch.equal(weights(default), weights(same))


@pytest.mark.parametrize("side", [8, 10, 32])
def test_small_cnn_sees_all_four_borders_of_an_image(side):
    model = narrow("small_cnn", channels=1).eval()
    image = torch.rand(1, 1, side, side, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(image).sum(), image)
    rows, columns = gradient[0, 0].abs().sum(dim=1), gradient[0, 0].abs().sum(dim=0)
    assert (rows[[0, -1]] > 0).all()
    assert (columns[[0, -1]] > 0).all()


def test_an_unknown_model_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigError, match=r"'resnet81'.*'resnet18'"):
        build("resnet81", classes=10, channels=3, seed=0)


def test_a_new_file_in_the_package_is_a_new_model(tmp_path, monkeypatch):
    (tmp_path / "flat.py").write_text(LAYER)
    package = sys.modules["bench.models"]
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(base, "_BUILDERS", dict(base._BUILDERS))
    try:
        assert "flat" in names()
        assert build("flat", classes=2, channels=3, seed=0).linear.in_features == 12
    finally:
        sys.modules.pop("bench.models.flat", None)


def test_two_models_of_one_name_are_refused(monkeypatch):
    monkeypatch.setattr(base, "_BUILDERS", {"flat": nn.Identity})
    with pytest.raises(ValueError, match="'flat'"):
        base.register("flat")(nn.Identity)
