"""One seed is one course of events: methods differ in what they do with it and in nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
import torch
from synthetic import MEMLOSS, METHODS, some_data, some_spec
from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.methods.base import names
from bench.training import metrics, run
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.step import TrainingStep

EPOCHS = 2
DATA = some_data()
PAIRS = list(combinations(names(), 2))
STARTS = {
    name: getattr(run.create(name, METHODS.get(name, {})).attack, "start", None) for name in names()
}


@dataclass
class Course:
    """What a run met: its first weights, then batches, views and noise step by step."""

    weights: dict[str, Tensor]
    batches: list[Tensor] = field(default_factory=list)
    views: list[Tensor] = field(default_factory=list)
    noise: list[Tensor] = field(default_factory=list)
    validation: list[Tensor] = field(default_factory=list)


def quiet(_step: int, _metrics: EpochMetrics) -> None:
    pass


def course(monkeypatch: pytest.MonkeyPatch, method: str, seed: int = 0, **options: Any) -> Course:
    """Train for two epochs and return what the run met."""
    spec = some_spec(method, seed=seed, options=options or None, epochs=EPOCHS)
    trained = untrained(spec, DATA, torch.device("cpu"))
    met = Course({name: value.clone() for name, value in trained.model.state_dict().items()})
    begin, attacked, descended = trained.begin, InnerAttack.__call__, metrics.pgd

    def seen(epoch: int, number: int, index_B: Tensor) -> TrainingStep:
        step = begin(epoch, number, index_B)
        met.batches.append(index_B.clone())
        met.views.append(step.x.clone())
        return step

    def started(self: InnerAttack, *args: Any) -> Tensor:
        _model, _images, _labels, _budget, noise, *_ = args
        met.noise.append(noise.clone())
        return attacked(self, *args)

    def validated(*args: Any, generator: torch.Generator, **given: Any) -> Tensor:
        met.validation.append(generator.get_state().clone())
        return descended(*args, generator=generator, **given)

    with monkeypatch.context() as patched:
        patched.setattr(trained, "begin", seen)
        patched.setattr(InnerAttack, "__call__", started)
        patched.setattr(metrics, "pgd", validated)
        for epoch in range(1, EPOCHS + 1):
            trained.epoch(epoch, quiet)
    return met


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) > 0 and all(map(torch.equal, one, other))


def test_both_start_distributions_and_a_method_without_an_attack_are_among_them():
    assert set(STARTS.values()) >= {None, "gaussian", "uniform"}


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_two_methods_of_one_seed_meet_the_same(monkeypatch, one, other):
    first, second = course(monkeypatch, one), course(monkeypatch, other)
    assert equal(list(first.weights.values()), list(second.weights.values()))
    assert equal(first.batches, second.batches)
    assert equal(first.views, second.views)
    assert equal(first.validation, second.validation)
    if STARTS[one] is not None and STARTS[one] == STARTS[other]:
        assert equal(first.noise, second.noise)
    elif STARTS[one] and STARTS[other]:
        assert not any(map(torch.equal, first.noise, second.noise))


@pytest.mark.parametrize("method", names())
def test_another_seed_changes_all_of_it(monkeypatch, method):
    first, second = course(monkeypatch, method, seed=0), course(monkeypatch, method, seed=1)
    assert not torch.equal(first.weights["conv1.weight"], second.weights["conv1.weight"])
    for what in ("batches", "views", "noise", "validation"):
        pairs = zip(getattr(first, what), getattr(second, what), strict=True)
        assert not any(torch.equal(one, other) for one, other in pairs), what


@pytest.mark.parametrize("method", names())
def test_every_epoch_and_step_draws_afresh(monkeypatch, method):
    met = course(monkeypatch, method)
    for what in ("batches", "views", "noise"):
        for one, other in combinations(getattr(met, what), 2):
            assert not torch.equal(one, other), what


@pytest.mark.parametrize("method", names())
def test_views_of_an_image_do_not_depend_on_its_batch(method):
    runs = [
        untrained(some_spec(method, batch_size=size), DATA, torch.device("cpu")) for size in (16, 7)
    ]
    assert len({len(one.batches(1)) for one in runs}) == 2
    orders = [torch.cat(one.batches(1)) for one in runs]
    assert torch.equal(*orders)
    index_B = runs[0].batches(1)[1]
    whole = runs[1].views.frame(1, torch.arange(len(DATA.train)))
    frame = runs[0].views.frame(1, index_B)
    for name in ("top", "left", "mirrored"):
        assert torch.equal(getattr(frame, name), getattr(whole[index_B], name))


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.5},
        {"memory_beta": 0.0},
        {"variant": "v3"},
        {"alignment": "realigned"},
        {"alignment": "clean_crop"},
        {"storage": "float32"},
    ],
)
def test_an_option_of_a_method_shifts_no_stream(monkeypatch, options):
    plain = course(monkeypatch, "memloss", **MEMLOSS)
    changed = course(monkeypatch, "memloss", **MEMLOSS | options)
    for what in ("batches", "views", "noise", "validation"):
        assert equal(getattr(plain, what), getattr(changed, what)), what


@pytest.mark.parametrize("method", names())
def test_a_run_neither_reads_nor_moves_the_global_random_state(monkeypatch, method):
    torch.manual_seed(1)
    first = course(monkeypatch, method)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = course(monkeypatch, method)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(list(first.weights.values()), list(second.weights.values()))
    for what in ("batches", "views", "noise"):
        assert getattr(first, what) == [] or equal(getattr(first, what), getattr(second, what))
