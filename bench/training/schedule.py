"""SGD and its learning-rate schedule, stepped once per iteration."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
)

from bench.config.experiment import Optimizer, Schedule


def build_optimizer(networks: Iterable[nn.Module], optimizer: Optimizer) -> SGD:
    """Return SGD over all parameters, a group for each network; batch-norm and biases decay too."""
    return SGD(
        [{"params": network.parameters()} for network in networks],
        lr=optimizer.learning_rate,
        momentum=optimizer.momentum,
        nesterov=optimizer.nesterov,
        weight_decay=optimizer.weight_decay,
    )


def build_schedule(
    optimizer: SGD, schedule: Schedule, *, epochs: int, steps_per_epoch: int
) -> LRScheduler:
    """Return the schedule over `epochs` of `steps_per_epoch` iterations.

    OneCycle anneals by a cosine from learning rate / 25 up to it and down to 1e-4 of the start,
    while momentum goes 0.95, 0.85, 0.95 and overrides the optimizer's: PyTorch's defaults, which
    the authors' recipe keeps.
    """
    if schedule.name == "onecycle":
        steps, rise = epochs * steps_per_epoch, schedule.warmup
        if rise * steps == 1:
            # PyTorch divides by the length of the rise less one step.
            rise *= 1 + 1e-9
        return OneCycleLR(
            optimizer,
            max_lr=optimizer.param_groups[0]["lr"],
            total_steps=steps,
            pct_start=rise,
        )
    starts = [(milestone - 1) * steps_per_epoch for milestone in schedule.milestones]
    drops = MultiStepLR(optimizer, starts, gamma=schedule.factor)
    if schedule.first_epoch == 1:
        return drops
    first = ConstantLR(optimizer, schedule.first_epoch, total_iters=steps_per_epoch)
    return ChainedScheduler([drops, first])
