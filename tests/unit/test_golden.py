"""Every method gives the values that it gave before: what a refactor must not move."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from golden import CASES, CLOSE, FILE, NEAR, equal, loss_of, spec_of, training_of

from bench.attacks.losses import divergence
from bench.config.experiment import Attack, Threat, TrainSpec
from bench.methods import trades

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_terms_and_gradients_on_fixed_logits(case):
    assert case in GOLDEN, "no golden values yet: make golden"
    assert equal(loss_of(case), GOLDEN[case]["loss"], CLOSE), loss_of(case)


@pytest.mark.parametrize("case", CASES)
def test_the_losses_of_a_few_steps(case):
    assert case in GOLDEN, "no golden values yet: make golden"
    found = training_of(spec_of(case))
    assert equal(found, GOLDEN[case]["training"], NEAR), found


def test_no_golden_value_is_of_a_method_that_is_gone():
    assert set(GOLDEN) == set(CASES)


def other_beta(spec: TrainSpec) -> TrainSpec:
    return replace(spec, options={**spec.options, "beta": 1.01 * spec.options["beta"]})


def other_eps(spec: TrainSpec) -> TrainSpec:
    return replace(spec, threat=Threat(eps=1.01 * spec.threat.eps))


def other_steps(spec: TrainSpec) -> TrainSpec:
    attack = Attack(steps=3, step_size=spec.training.attack.step_size)
    return replace(spec, training=replace(spec.training, attack=attack))


@pytest.mark.parametrize("change", [other_beta, other_eps, other_steps])
@pytest.mark.parametrize("case", ["trades", "mart", "memloss", "memloss v3"])
def test_a_small_change_of_the_method_is_seen(case, change):
    found = training_of(change(spec_of(case)))
    assert not equal(found, GOLDEN[case]["training"], 10 * NEAR)


@pytest.mark.parametrize("case", ["trades", "memloss v2"])
def test_the_other_direction_of_the_divergence_is_seen(case, monkeypatch):
    monkeypatch.setattr(trades, "divergence", lambda first, second: divergence(second, first))
    assert not equal(loss_of(case), GOLDEN[case]["loss"], 10 * CLOSE)
    found = training_of(spec_of(case))
    assert not equal(found, GOLDEN[case]["training"], 10 * NEAR)
