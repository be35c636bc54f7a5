"""Batch-norms folded into convolutions: the same function, wherever that is possible."""

from __future__ import annotations

import copy

import pytest
import torch
from synthetic import narrow_width
from torch import Tensor, nn

from bench.config.schema import Normalization
from bench.engine.folding import FoldedNetwork
from bench.models.base import build, names


class Shared(nn.Module):
    """A convolution used twice, a batch-norm behind a branch and called by keyword, and more."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(3)
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.branch = nn.Conv2d(3, 4, 3, padding=1)
        self.after = nn.BatchNorm2d(4)
        self.last = nn.Conv2d(4, 5, 1)
        self.plain = nn.BatchNorm2d(5, affine=False)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.twice(self.first(images))) + self.twice(images)
        branch = self.branch(maps)
        return self.plain(self.last(self.after(input=branch).relu() + branch)).mean(dim=(2, 3))


class Untraceable(nn.Module):
    """Its forward pass looks at the values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm(self.conv(images))
        return (maps if maps.sum() > 0 else -maps).mean(dim=(2, 3))


def settled(model: nn.Module, channels: int = 3) -> tuple[nn.Module, Tensor]:
    """Return `model` with batch-norms that have seen images, and some images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, channels, 12, 12, generator=generator)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d) and part.affine:
                part.weight.uniform_(0.5, 1.5, generator=generator)
                part.bias.uniform_(-0.5, 0.5, generator=generator)
        for _ in range(3):
            model(images)
    return model, images


def norms(model: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())


@pytest.mark.parametrize("name", names())
def test_every_architecture_keeps_its_logits(name: str) -> None:
    network = build(name, classes=10, channels=3, seed=0, width=narrow_width(name))
    model, images = settled(network)
    folded = FoldedNetwork(model)
    # A batch-norm that follows a sum stays, since no convolution can take it in.
    assert norms(folded) <= norms(model)
    assert norms(folded) == 0 or name not in ("resnet18", "small_cnn")
    torch.testing.assert_close(folded(images), model.eval()(images), rtol=1e-4, atol=1e-5)


def test_a_convolution_with_a_bias_keeps_it() -> None:
    model, images = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()))
    folded = FoldedNetwork(model)
    assert norms(folded) == 0
    torch.testing.assert_close(folded(images), model.eval()(images))


def test_what_cannot_be_folded_stays() -> None:
    model, images = settled(Shared())
    folded = FoldedNetwork(model)
    assert norms(folded) == 4
    torch.testing.assert_close(folded(images), model.eval()(images))


def test_a_network_that_cannot_be_traced_is_copied_unfolded() -> None:
    model, images = settled(Untraceable())
    folded = FoldedNetwork(model)
    assert norms(folded) == 1
    torch.testing.assert_close(folded(images), model.eval()(images))


@pytest.mark.parametrize("kind", [Shared, Untraceable])
def test_refreshing_takes_over_every_weight_and_statistic(kind: type[nn.Module]) -> None:
    model, images = settled(kind())
    folded = FoldedNetwork(model)
    changed, _ = settled(kind())
    with torch.no_grad():
        for value in (*changed.parameters(), *changed.buffers()):
            if value.is_floating_point():
                value.add_(0.1)
    folded.refresh(changed)
    torch.testing.assert_close(folded(images), changed.eval()(images))


@pytest.mark.parametrize("kind", [Shared, Untraceable])
def test_a_copy_of_a_folded_network_is_the_network_folded_in_that_precision(
    kind: type[nn.Module],
) -> None:
    model, images = settled(kind())
    coarse = FoldedNetwork(kind(), torch.bfloat16)
    coarse.copy(FoldedNetwork(model))
    assert torch.equal(coarse(images), FoldedNetwork(model, torch.bfloat16)(images))


def test_the_network_is_given_back_untouched() -> None:
    model, images = settled(Shared())
    before = copy.deepcopy(model.state_dict())
    folded = FoldedNetwork(model)
    folded(images).sum()
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert not any(part.training for part in folded.modules())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_bfloat16_computes_in_8_bits_and_answers_in_float32() -> None:
    model, images = settled(build("resnet18", classes=10, channels=3, seed=0, width=4))
    coarse = FoldedNetwork(model, torch.bfloat16)
    assert {value.dtype for value in coarse.parameters()} == {torch.bfloat16}
    found, expected = coarse(images), model.eval()(images)
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_network_that_normalises_its_images_is_folded(dtype: torch.dtype) -> None:
    normalization = Normalization(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.2))
    network = build(
        "resnet18", classes=10, channels=3, seed=0, width=4, normalization=normalization
    )
    model, images = settled(network)
    folded = FoldedNetwork(model, dtype)
    assert norms(folded) == 0
    close = {} if dtype == torch.bfloat16 else {"rtol": 1e-4, "atol": 1e-5}
    if dtype == torch.float32:
        torch.testing.assert_close(folded(images), model.eval()(images), **close)
    assert folded(images).isfinite().all()
