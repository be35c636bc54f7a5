"""When the cuda_graph engine records an attack again; what a recording does needs a CUDA device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from synthetic import EPS
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.engine import cuda_graph
from bench.models.base import build

ATTACK = InnerAttack(loss="kl", start="gaussian")
BUDGET = Budget(eps=EPS, step=EPS / 2, steps=2)


class Noted:
    """In place of a recording: it runs the attack, and notes that it was made."""

    made = 0

    def __init__(self, run: Callable[..., Tensor], *_example: Tensor) -> None:
        type(self).made += 1
        self.run = run

    def __call__(self, *given: Tensor) -> Tensor:
        return self.run(*given)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> cuda_graph.CudaGraph:
    monkeypatch.setattr(cuda_graph, "Recording", Noted)
    monkeypatch.setattr(Noted, "made", 0)
    return cuda_graph.CudaGraph(
        build("small_cnn", classes=10, channels=1, seed=0, width=4), "float32"
    )


def attack(engine: cuda_graph.CudaGraph, count: int = 4) -> Tensor:
    images = torch.full((count, 1, 8, 8), 0.5)
    noise = ATTACK.noise(images.shape, eps=EPS, generator=torch.Generator().manual_seed(0))
    return engine.attack(ATTACK, images, torch.zeros(count, dtype=torch.int64), BUDGET, noise)


def test_an_attack_is_recorded_once_for_each_shape_of_batch(engine):
    for count in (4, 3, 4, 3):
        attack(engine, count)
    assert Noted.made == 2


def test_weights_that_are_changed_in_place_need_no_new_recording(engine):
    attack(engine)
    with torch.no_grad():
        for parameter in engine.model.parameters():
            parameter.mul_(1.1)
    engine.model.load_state_dict(
        {name: value + 1 for name, value in engine.model.state_dict().items()}
    )
    attack(engine)
    assert Noted.made == 1


def moved_weight(model: nn.Module) -> None:
    parameter = next(model.parameters())
    parameter.data = parameter.detach().clone()


def moved_statistic(model: nn.Module) -> None:
    norm = next(part for part in model.modules() if isinstance(part, nn.BatchNorm2d))
    norm.running_mean = norm.running_mean.clone()


@pytest.mark.parametrize("move", [moved_weight, moved_statistic])
def test_every_attack_is_recorded_again_where_a_tensor_of_the_network_moved(engine, move):
    for count in (4, 3):
        attack(engine, count)
    move(engine.model)
    for count in (4, 3, 4):
        attack(engine, count)
    assert Noted.made == 4
