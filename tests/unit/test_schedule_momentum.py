"""The momentum of schedules without a cycle."""

from __future__ import annotations

import torch
from torch import nn

from bench.config.experiment import Optimizer, Schedule
from bench.training.schedule import build_optimizer, build_schedule


def test_without_a_cycle_the_momentum_is_the_optimizers_own():
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.grad = torch.zeros_like(layer.weight)
    optimizer = build_optimizer([layer], Optimizer(learning_rate=0.21, momentum=0.5))
    schedule = Schedule(name="steps", milestones=(2,))
    built = build_schedule(optimizer, schedule, epochs=2, steps_per_epoch=3)
    for _ in range(2 * 3):
        assert optimizer.param_groups[0]["momentum"] == 0.5
        optimizer.step()
        built.step()
