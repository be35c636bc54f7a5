"""The engines on a CUDA device: the same attacks, and no step that waits for the device."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator

import pytest
import torch
from synthetic import EPS, METHODS, MOVED_WEIGHTS, settings_kept, some_data, some_spec
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.attacks.losses import divergence
from bench.config.experiment import Compute
from bench.engine.base import Engine
from bench.engine.choose import create
from bench.models.base import build
from bench.numerics.device import convolutions, prepare
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained

pytestmark = pytest.mark.gpu
# cuBLAS reads it when it starts; the command line sets it too.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
GPU = torch.device("cuda")
# On a pretended device, where a step takes some hundred times as long, few images and steps.
REAL = torch.cuda.is_available()
SHAPE = (16 if REAL else 4, 3, 32, 32)
TRADES_ATTACK = InnerAttack(loss="kl", start="gaussian")
BUDGET = Budget(eps=EPS, step=EPS / 4, steps=10 if REAL else 4)
ENGINES = [
    ("folded", "float32"),
    ("folded", "bfloat16"),
    ("cuda_graph", "float32"),
    ("cuda_graph", "bfloat16"),
]


@pytest.fixture(autouse=True)
def kept() -> Iterator[None]:
    with settings_kept(), convolutions(tf32=False):
        # As in a job: two calls of a kernel that is not deterministic differ.
        prepare(Compute(device="cuda", tf32=False))
        yield


def images(seed: int = 2) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed)).to(GPU)


def trained() -> nn.Module:
    model = build("resnet18", classes=10, channels=3, seed=0, width=8).to(GPU)
    for seed in range(3):
        model(images(seed))
    return model


def attacked(engine: Engine, seed: int, attack: InnerAttack = TRADES_ATTACK) -> Tensor:
    noise = attack.noise(SHAPE, eps=EPS, generator=torch.Generator(GPU).manual_seed(seed))
    labels = torch.arange(len(noise), device=GPU) % 10
    return engine.attack(attack, engine.to_memory_format(images()), labels, BUDGET, noise)


def raised(model: nn.Module, moved: Tensor) -> float:
    """Return the mean KL that an attack reached, measured on the network itself in float64."""
    model = copy.deepcopy(model).eval().double()
    with torch.no_grad():
        return float(divergence(model(images().double()), model(moved.double())).mean())


@pytest.mark.parametrize(("name", "precision"), ENGINES)
def test_every_engine_reaches_the_eager_loss(name, precision):
    model = trained()
    eager = create("eager", copy.deepcopy(model))
    engine = create(name, copy.deepcopy(model), precision=precision)
    reached = [raised(model, attacked(eager, seed)) for seed in range(4)]
    found = [raised(model, attacked(engine, seed)) for seed in range(4)]
    spread = max(reached) - min(reached)
    assert sum(found) / 4 == pytest.approx(sum(reached) / 4, abs=spread + 0.01 * max(reached))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_a_recorded_attack_is_the_attack_that_was_recorded(precision, loss):
    attack = InnerAttack(loss=loss, start="gaussian")
    model = trained()
    folded = create("folded", copy.deepcopy(model), precision=precision)
    graph = create("cuda_graph", copy.deepcopy(model), precision=precision)
    for seed in range(3):
        assert torch.equal(attacked(graph, seed, attack), attacked(folded, seed, attack))


def test_a_recorded_attack_sees_the_weights_of_this_step():
    graph = create("cuda_graph", trained())
    before = attacked(graph, 0)
    with torch.no_grad():
        for parameter in graph.model.parameters():
            parameter.mul_(1.1)
    after = attacked(graph, 0)
    assert torch.equal(after, attacked(create("folded", copy.deepcopy(graph.model)), 0))
    assert not torch.equal(after, before)


def test_a_recorded_attack_sees_weights_that_are_in_another_place_now():
    graph = create("cuda_graph", trained())
    attacked(graph, 0)
    for parameter in graph.model.parameters():
        parameter.data = 1.1 * parameter.detach()
    assert torch.equal(
        attacked(graph, 0), attacked(create("folded", copy.deepcopy(graph.model)), 0)
    )


def test_a_recorded_attack_returns_an_image_of_its_own():
    graph = create("cuda_graph", trained())
    first = attacked(graph, 0)
    kept = first.clone()
    attacked(graph, 1)
    assert torch.equal(first, kept)


def refuse_to_wait() -> None:
    with warnings.catch_warnings():
        # That the mode is a prototype, which says nothing of a step.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("error")


# Every method on two engines, and every engine with a memory of adversarial examples.
@pytest.mark.parametrize(
    ("method", "training", "name", "precision"),
    [
        *((method, {}, "eager", "float32") for method in METHODS),
        *((method, {}, "cuda_graph", "bfloat16") for method in METHODS),
        ("trades", MOVED_WEIGHTS, "folded", "float32"),
        *(("memloss", {}, *how) for how in ENGINES if how != ("cuda_graph", "bfloat16")),
    ],
)
def test_no_step_waits_for_the_device(method, training, name, precision):
    compute = Compute(device="cuda", tf32=True)
    how = {"epochs": 3, "engine": name, "precision": precision, **training}
    run = untrained(some_spec(method, compute=compute, **how), some_data(), GPU)
    for epoch in (1, 2):
        run.epoch(epoch, lambda *_: None)
    metrics, batches = EpochMetrics(GPU), run.batches(3)
    # The first step may prepare what an epoch needs.
    run.step(3, 0, batches[0], metrics)
    torch.cuda.synchronize()
    try:
        refuse_to_wait()
        run.step(3, 1, batches[1], metrics)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert metrics.first_bad_step() is None
