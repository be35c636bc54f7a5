"""One seed is one course of events: methods differ in what they do with it and in nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest
import torch
from synthetic import METHODS, some_data, some_spec
from torch import Tensor

from bench.attacks.inner import InnerAttack
from bench.methods.base import names
from bench.training import metrics, run
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.step import TrainingStep

EPOCHS = 2
DATA = some_data()
STARTS = {
    name: getattr(run.create(name, METHODS.get(name, {})).attack, "start", None) for name in names()
}


# Random starts: where an attack begins at x itself nothing is drawn.
DRAWN = {name for name, start in STARTS.items() if start in ("gaussian", "uniform")}


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


def course(method: str, seed: int = 0, **options: Any) -> Course:
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

    with pytest.MonkeyPatch.context() as patched:
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


@pytest.fixture(scope="module")
def of_trades() -> Course:
    return course("trades")


@pytest.mark.parametrize("method", names())
def test_every_method_meets_what_trades_meets_with_the_same_seed(of_trades, method):
    first, second = of_trades, course(method)
    assert equal(list(first.weights.values()), list(second.weights.values()))
    assert equal(first.batches, second.batches)
    assert equal(first.views, second.views)
    assert equal(first.validation, second.validation)
    if STARTS[method] == STARTS["trades"]:
        assert equal(first.noise, second.noise)
    else:
        assert not any(map(torch.equal, first.noise, second.noise))


def test_methods_with_the_same_uniform_start_share_its_noise():
    assert STARTS["pgd_at"] == STARTS["fgsm_rs"] == "uniform"
    assert equal(course("pgd_at").noise, course("fgsm_rs").noise)


@pytest.mark.parametrize("method", names())
def test_another_seed_changes_all_of_it(method):
    first, second = course(method, seed=0), course(method, seed=1)
    assert not torch.equal(first.weights["conv1.weight"], second.weights["conv1.weight"])
    for what in ("batches", "views", *(["noise"] if method in DRAWN else []), "validation"):
        pairs = zip(getattr(first, what), getattr(second, what), strict=True)
        assert not any(torch.equal(one, other) for one, other in pairs), what


@pytest.mark.parametrize("method", names())
def test_every_epoch_and_step_draws_afresh(method):
    met = course(method)
    for what in ("batches", "views", *(["noise"] if method in DRAWN else [])):
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
    ("method", "options"),
    [
        ("memloss", {"beta": 0.5}),
        ("memloss", {"memory_beta": 0.0}),
        ("memloss", {"variant": "v3"}),
        ("memloss", {"alignment": "realigned"}),
        ("memloss", {"alignment": "clean_crop"}),
        ("memloss", {"storage": "float32"}),
        ("memloss_hat", {"h": 3.5}),
        ("hat", {"gamma": 0.0}),
        ("dynat", {"clean_pass": False}),
        ("cure", {"rate": 1.0}),
        ("cure", {"percentile": 0.0}),
        ("cure", {"criterion": "rgp"}),
    ],
)
def test_an_option_of_a_method_shifts_no_stream(method, options):
    plain, changed = course(method), course(method, **METHODS[method] | options)
    for what in ("batches", "views", "noise", "validation"):
        assert equal(getattr(plain, what), getattr(changed, what)), what


@pytest.mark.parametrize("method", names())
def test_a_run_neither_reads_nor_moves_the_global_random_state(method):
    torch.manual_seed(1)
    first = course(method)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = course(method)
    assert torch.equal(torch.get_rng_state(), before)
    assert equal(list(first.weights.values()), list(second.weights.values()))
    for what in ("batches", "views", "noise"):
        assert getattr(first, what) == [] or equal(getattr(first, what), getattr(second, what))
