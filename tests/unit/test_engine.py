"""The folded engine against the eager one: the same method and the same attack, up to rounding."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from synthetic import EPS, METHODS, some_data, some_spec
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.attacks.losses import divergence
from bench.config.experiment import TrainSpec
from bench.engine import folding
from bench.engine.base import Engine
from bench.engine.choose import create
from bench.engine.memory_format import layout
from bench.models.base import build
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.run import Run

CPU = torch.device("cpu")
SHAPE = (12, 3, 8, 8)
LABELS = torch.arange(12) % 10
TRADES_ATTACK = InnerAttack(loss="kl", start="gaussian")
BUDGET = Budget(eps=EPS, step=EPS / 4, steps=10)
ONE_STEP = replace(BUDGET, steps=1)


def trained(width: int = 8) -> nn.Module:
    """Return a ResNet-18 whose batch-norms have statistics, weights and biases of their own."""
    model = build("resnet18", classes=10, channels=3, seed=0, width=width)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.weight.uniform_(0.5, 1.5, generator=generator)
                part.bias.uniform_(-0.3, 0.3, generator=generator)
    for _ in range(3):
        model(torch.rand(SHAPE, generator=generator))
    return model


def images(seed: int = 2) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def spec_with(method: str, engine: str, precision: str = "float32", epochs: int = 1) -> TrainSpec:
    spec = some_spec(method, options=METHODS[method], epochs=epochs)
    return replace(spec, training=replace(spec.training, engine=engine, precision=precision))


def attacked(engine: Engine, seed: int, attack: InnerAttack = TRADES_ATTACK) -> Tensor:
    noise = attack.noise(SHAPE, eps=EPS, generator=torch.Generator().manual_seed(seed))
    return engine.attack(attack, engine.to_memory_format(images()), LABELS, BUDGET, noise)


def raised(model: nn.Module, moved: Tensor) -> float:
    """Return the mean KL that an attack reached, measured on the network itself in float64."""
    model = copy.deepcopy(model).eval().double()
    with torch.no_grad():
        return float(divergence(model(images().double()), model(moved.double())).mean())


# What the loss may be off by, relatively, in either precision.
TOLERANCE = {"float32": 1e-4, "bfloat16": 2e-2}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("method", METHODS)
def test_on_the_same_images_and_noise_the_loss_is_the_eager_one(
    method, precision, monkeypatch
) -> None:
    specs = {"eager": spec_with(method, "eager"), "folded": spec_with(method, "folded", precision)}
    runs = {name: untrained(spec, some_data(), CPU) for name, spec in specs.items()}
    losses: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for epoch in (1, 2):
        batches = {name: run.batches(epoch)[0] for name, run in runs.items()}
        steps = {name: run.begin(epoch, 0, batches[name]) for name, run in runs.items()}
        # The eager run's images for both: an attack's signs multiply the last bits.
        steps["folded"]._made = steps["eager"]._made
        for name, run in runs.items():
            monkeypatch.setattr(run, "begin", lambda *_, step=steps[name]: step)
            metrics = EpochMetrics(CPU)
            run.step(epoch, 0, batches[name], metrics)
            losses[name].append(metrics.means())
        monkeypatch.undo()
    for eager, folded in zip(losses["eager"], losses["folded"], strict=True):
        assert eager.keys() == folded.keys()
        losses_of = [{k: v for k, v in means.items() if "loss" in k} for means in (eager, folded)]
        close = TOLERANCE[precision]
        assert losses_of[1] == pytest.approx(losses_of[0], rel=close, abs=close / 100)


def test_weights_after_a_step_are_the_eager_ones_up_to_rounding() -> None:
    weights = {}
    for name in ("eager", "folded"):
        run = Run(spec_with("standard", name), some_data(), CPU)
        index_B = run.batches(1)[0]
        run.step(1, 0, index_B, EpochMetrics(CPU))
        weights[name] = run.model.state_dict()
    for key, value in weights["eager"].items():
        torch.testing.assert_close(weights["folded"][key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_the_first_gradient_points_where_the_eager_one_points(loss) -> None:
    attack = InnerAttack(loss=loss, start="uniform")
    noise = attack.noise(SHAPE, eps=EPS, generator=torch.Generator().manual_seed(0))
    model, moved = trained(), {}
    for name in ("eager", "folded"):
        engine = create(name, copy.deepcopy(model))
        moved[name] = engine.attack(attack, images(), LABELS, ONE_STEP, noise)
    same = (moved["eager"] - moved["folded"]).abs() < 1e-6
    assert same.float().mean() > 0.999


# The attacks of TRADES and MemLoss, of MART, and of PGD-AT.
@pytest.mark.parametrize(
    ("loss", "start"), [("kl", "gaussian"), ("ce", "gaussian"), ("ce", "uniform")]
)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_attack_reaches_the_eager_loss_as_nearly_as_other_noise_does(
    precision, loss, start
) -> None:
    attack = InnerAttack(loss=loss, start=start)
    model = trained()
    eager = create("eager", copy.deepcopy(model))
    folded = create("folded", copy.deepcopy(model), precision=precision)
    reached = [raised(model, attacked(eager, seed, attack)) for seed in range(4)]
    found = [raised(model, attacked(folded, seed, attack)) for seed in range(4)]
    spread = max(reached) - min(reached)
    assert sum(found) / 4 == pytest.approx(sum(reached) / 4, abs=spread + 0.01 * max(reached))


def test_bfloat16_keeps_the_target_and_the_first_gradient_of_a_kl_attack_in_float32() -> None:
    model = trained()
    noise = TRADES_ATTACK.noise(SHAPE, eps=EPS, generator=torch.Generator().manual_seed(0))
    moved = {}
    for precision in ("float32", "bfloat16"):
        engine = create("folded", copy.deepcopy(model), precision=precision)
        moved[precision] = engine.attack(TRADES_ATTACK, images(), LABELS, ONE_STEP, noise)
    assert torch.equal(moved["bfloat16"], moved["float32"])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_logits_and_weights_are_float32_whatever_passes_compute_in(precision) -> None:
    engine = create("folded", trained(), precision=precision)
    logits = engine.logits({"clean": images(), "adversarial": images(3)})
    assert list(logits) == ["clean", "adversarial"]
    assert {value.dtype for value in logits.values()} == {torch.float32}
    sum(value.sum() for value in logits.values()).backward()
    for parameter in engine.model.parameters():
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None
        assert parameter.grad.dtype == torch.float32


@pytest.mark.parametrize("name", ["eager", "folded"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_attack_leaves_the_network_as_it_was(name, precision) -> None:
    model = trained()
    before = copy.deepcopy(model.state_dict())
    moved = attacked(create(name, model, precision=precision), 0)
    assert (moved - images()).abs().max() <= EPS + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(parameter.grad is None for parameter in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])


def test_an_attack_sees_the_weights_and_statistics_of_this_step() -> None:
    model = trained()
    engine = create("folded", model)
    before = attacked(engine, 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    model(images())
    after = attacked(engine, 0)
    assert torch.equal(after, attacked(create("folded", copy.deepcopy(model)), 0))
    assert not torch.equal(after, before)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_attack_folds_each_batch_norm_once(precision, monkeypatch) -> None:
    model = trained()
    engine = create("folded", model, precision=precision)
    real, folds = folding.folded_weights, []

    def counted(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
        folds.append(norm)
        return real(convolution, norm)

    monkeypatch.setattr(folding, "folded_weights", counted)
    attacked(engine, 0)
    assert len(folds) == len(set(map(id, folds)))
    assert len(folds) == sum(isinstance(part, nn.BatchNorm2d) for part in model.modules())


def test_an_attack_in_train_mode_moves_the_statistics_of_the_network_itself() -> None:
    model = trained()
    before = model.bn1.running_mean.clone()
    attacked(create("folded", model), 0, InnerAttack(loss="ce", start="uniform", mode="train"))
    assert not torch.equal(model.bn1.running_mean, before)


def test_narrow_networks_stay_contiguous_on_a_cpu_and_wide_ones_do_not() -> None:
    narrow = build("small_cnn", classes=10, channels=1, seed=0)
    assert layout(narrow) == torch.contiguous_format
    wide = build("resnet18", classes=10, channels=3, seed=0, width=8)
    assert layout(wide) == torch.channels_last


def test_no_step_reads_a_number_back_from_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(spec_with("memloss", "folded", epochs=2), some_data(), CPU)
    run.epoch(1, lambda *_: None)
    metrics, batches = EpochMetrics(CPU), run.batches(2)
    # The first step may prepare what an epoch needs.
    run.step(2, 0, batches[0], metrics)

    def refused(*_given: object, **_named: object) -> None:
        raise AssertionError("the host waits for the device")

    for name in ("item", "tolist", "numpy", "cpu", "nonzero", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(Tensor, name, refused)
    run.step(2, 1, batches[1], metrics)
