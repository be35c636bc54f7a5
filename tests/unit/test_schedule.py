from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.optim import SGD

from bench.config.experiment import Optimizer, Schedule
from bench.models.base import build
from bench.training.schedule import build_optimizer, build_schedule

PEAK = 0.21


def one_weight(**optimizer: object) -> SGD:
    layer = nn.Linear(1, 1, bias=False)
    layer.weight.grad = torch.zeros_like(layer.weight)
    return build_optimizer([layer], Optimizer(**{"learning_rate": PEAK} | optimizer))


def followed(
    schedule: Schedule, *, epochs: int, steps: int, optimizer: SGD | None = None
) -> tuple[list[float], list[float]]:
    """Return learning rate and momentum of every step of a run, stepping as a run does."""
    optimizer = optimizer or one_weight()
    built = build_schedule(optimizer, schedule, epochs=epochs, steps_per_epoch=steps)
    rates, momenta = [], []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        built.step()
    return rates, momenta


def cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def test_onecycle_follows_two_half_cosines_at_every_step():
    rates, momenta = followed(Schedule(warmup=0.25), epochs=10, steps=10)
    low, last = PEAK / 25, PEAK / 25 / 1e4
    rise, fall = range(25), range(25, 100)
    expected = [cosine(low, PEAK, step / 24) for step in rise]
    expected += [cosine(PEAK, last, (step - 24) / 75) for step in fall]
    assert rates == pytest.approx(expected, rel=1e-9)
    expected = [cosine(0.95, 0.85, step / 24) for step in rise]
    expected += [cosine(0.85, 0.95, (step - 24) / 75) for step in fall]
    assert momenta == pytest.approx(expected, rel=1e-9)


def test_onecycle_starts_peaks_and_ends_where_the_protocol_says():
    rates, momenta = followed(Schedule(warmup=0.25), epochs=50, steps=4)
    assert rates[0] == pytest.approx(PEAK / 25)
    assert rates.index(max(rates)) == 50 - 1
    assert max(rates) == pytest.approx(PEAK)
    assert rates[-1] == pytest.approx(PEAK / 25 / 1e4)
    assert (momenta[0], momenta[49], momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))


def test_onecycle_overrides_the_momentum_of_the_optimizer_and_keeps_nesterov():
    optimizer = one_weight(momentum=0.5)
    _, momenta = followed(Schedule(), epochs=4, steps=4, optimizer=optimizer)
    assert momenta[0] == pytest.approx(0.95)
    assert optimizer.param_groups[0]["nesterov"]


@pytest.mark.parametrize(("epochs", "steps", "rise"), [(2, 2, 0.25), (10, 1, 0.1), (1, 5, 0.2)])
def test_a_rise_of_exactly_one_step_is_a_schedule_like_any_other(epochs, steps, rise):
    rates, _ = followed(Schedule(warmup=rise), epochs=epochs, steps=steps)
    assert rates[0] == pytest.approx(PEAK / 25)
    assert rates[1:] == sorted(rates[1:], reverse=True)
    assert rates[-1] == pytest.approx(PEAK / 25 / 1e4)


def test_onecycle_without_warm_up_only_falls():
    rates, _ = followed(Schedule(warmup=0.0), epochs=2, steps=5)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] < PEAK


def test_steps_drop_at_the_start_of_the_milestone_epochs_counted_from_one():
    schedule = Schedule(name="steps", milestones=(2, 4), factor=0.1)
    optimizer = one_weight(momentum=0.5)
    rates, momenta = followed(schedule, epochs=4, steps=3, optimizer=optimizer)
    expected = [PEAK] * 3 + [PEAK * 0.1] * 6 + [PEAK * 0.01] * 3
    assert rates == pytest.approx(expected)
    # Without a cycle it is the optimizer's own.
    assert momenta == [0.5] * 12


def test_a_milestone_at_the_first_epoch_holds_from_the_first_step():
    schedule = Schedule(name="steps", milestones=(1, 2), factor=0.5)
    rates, _ = followed(schedule, epochs=2, steps=2)
    assert rates == pytest.approx([PEAK / 2] * 2 + [PEAK / 4] * 2)


def test_a_milestone_named_twice_drops_twice_and_one_beyond_the_end_never():
    schedule = Schedule(name="steps", milestones=(2, 2, 9), factor=0.5)
    rates, _ = followed(schedule, epochs=3, steps=1)
    assert rates == pytest.approx([PEAK, PEAK / 4, PEAK / 4])


def test_steps_without_milestones_stay():
    rates, _ = followed(Schedule(name="steps"), epochs=2, steps=2)
    assert rates == [PEAK] * 4


def test_marts_own_shell_drops_at_epochs_75_90_and_100():
    optimizer = one_weight(learning_rate=0.01, nesterov=False, weight_decay=3.5e-3)
    schedule = Schedule(name="steps", milestones=(75, 90, 100))
    rates, _ = followed(schedule, epochs=120, steps=2, optimizer=optimizer)
    first = {epoch: rates[2 * (epoch - 1)] for epoch in (1, 74, 75, 89, 90, 99, 100, 120)}
    assert first == pytest.approx(
        {1: 1e-2, 74: 1e-2, 75: 1e-3, 89: 1e-3, 90: 1e-4, 99: 1e-4, 100: 1e-5, 120: 1e-5}
    )


def test_dynats_own_recipe_has_a_fifth_of_its_rate_in_the_first_epoch():
    schedule = Schedule(name="steps", milestones=(4,), first_epoch=0.2)
    rates, _ = followed(schedule, epochs=4, steps=3, optimizer=one_weight(learning_rate=0.1))
    assert rates == pytest.approx([0.02] * 3 + [0.1] * 6 + [0.01] * 3)
    schedule = Schedule(name="steps", milestones=(1,), first_epoch=0.2)
    rates, _ = followed(schedule, epochs=2, steps=2, optimizer=one_weight(learning_rate=0.1))
    assert rates == pytest.approx([0.002] * 2 + [0.01] * 2)


def test_one_group_holds_every_parameter_and_all_of_them_decay():
    model = build("small_cnn", classes=10, channels=1, seed=0, width=4)
    (group,) = build_optimizer([model], Optimizer(learning_rate=0.1)).param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
    kept = {key: group[key] for key in ("lr", "momentum", "nesterov", "weight_decay")}
    assert kept == {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}


def test_batch_norm_and_biases_shrink_under_weight_decay_alone():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for parameter in model.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    settings = Optimizer(learning_rate=0.5, momentum=0.0, nesterov=False, weight_decay=0.2)
    build_optimizer([model], settings).step()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.data, torch.full_like(parameter, 0.9), msg=name)


def test_nesterov_is_as_asked():
    assert one_weight().param_groups[0]["nesterov"]
    assert not one_weight(momentum=0.0, nesterov=False).param_groups[0]["nesterov"]
    assert not one_weight(nesterov=False).param_groups[0]["nesterov"]
