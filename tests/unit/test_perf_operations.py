"""Operations counted from shapes, and a meter that changes nothing of what it measures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bench.perf.meter import Metered
from bench.perf.operations import Counting

IMAGES, IN, OUT, SIDE, KERNEL = 2, 3, 5, 8, 3
CONVOLUTION = 2 * IMAGES * OUT * IN * KERNEL**2 * SIDE**2
ROWS, INNER, COLUMNS = 4, 6, 7
PRODUCT = 2 * ROWS * INNER * COLUMNS


def counted(work) -> int:
    counting = Counting()
    with counting:
        work()
    return counting.total


def convolution(*, weights: bool) -> tuple[nn.Conv2d, torch.Tensor]:
    layer = nn.Conv2d(IN, OUT, KERNEL, padding=1)
    layer.requires_grad_(weights)
    return layer, torch.rand(IMAGES, IN, SIDE, SIDE, requires_grad=True)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_has_two_operations_for_each_weight_and_place(layout):
    layer, images = convolution(weights=True)
    images = images.detach().to(memory_format=layout)
    assert counted(lambda: layer(images)) == CONVOLUTION
    with torch.no_grad():
        assert counted(lambda: layer(images)) == CONVOLUTION


def test_the_gradient_of_the_images_costs_a_convolution_more():
    layer, images = convolution(weights=False)
    assert counted(lambda: torch.autograd.grad(layer(images).sum(), images)) == 2 * CONVOLUTION


def test_the_gradient_of_the_weights_costs_another():
    layer, images = convolution(weights=True)
    assert counted(lambda: layer(images).sum().backward()) == 3 * CONVOLUTION


def test_matrix_products_count_forward_and_backward():
    layer = nn.Linear(INNER, COLUMNS)
    rows = torch.rand(ROWS, INNER, requires_grad=True)
    assert counted(lambda: layer(rows)) == PRODUCT
    assert counted(lambda: layer(rows).sum().backward()) == 3 * PRODUCT
    assert counted(lambda: rows @ rows.T) == 2 * ROWS * INNER * ROWS


def test_what_is_neither_costs_nothing():
    assert counted(lambda: nn.BatchNorm2d(IN)(torch.rand(IMAGES, IN, SIDE, SIDE)).relu()) == 0


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(INNER, COLUMNS))


def test_a_metered_model_gives_the_same_logits_and_gradients(model):
    images = torch.rand(ROWS, INNER, requires_grad=True)
    meter = Metered(model)
    assert torch.equal(meter(images), model(images))
    (own,) = torch.autograd.grad(model(images).square().sum(), images)
    (through,) = torch.autograd.grad(meter(images).square().sum(), images)
    assert torch.equal(own, through)


def test_a_meter_counts_every_pass_through_the_model(model):
    images = torch.rand(ROWS, INNER, requires_grad=True)
    meter = Metered(model)
    logits = meter(images)
    for column in range(2):
        torch.autograd.grad(logits[:, column].sum(), images, retain_graph=True)
    with torch.no_grad():
        meter(images[:1])
    assert meter.passes == {"forward": 2, "backward": 2}
    assert meter.images == ROWS + 1
    assert all(seconds > 0 for seconds in meter.seconds.values())
