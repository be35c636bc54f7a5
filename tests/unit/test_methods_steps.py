"""Whole steps against the equations written out a second time, in float64 and plain PyTorch.

Nothing here uses the suite's attacks, losses or passes: a step is made by hand from the networks
and the images that the run's step began with.

Shape suffixes: B images of a batch, K classes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from synthetic import EPS, MEMLOSS, some_data, some_spec
from torch import Tensor, nn

from bench.attacks.inner import InnerAttack
from bench.config.schema import WeightAveraging, WeightPerturbation
from bench.data.memory import Memory
from bench.numerics.seeding import stream
from bench.training import run as module
from bench.training.metrics import EpochMetrics
from bench.training.networks import AveragedWeights
from bench.training.passes import untrained
from bench.training.run import Run
from bench.training.step import TrainingStep

CPU = torch.device("cpu")
STEPS, SIZE = 2, EPS / 2  # of the recipe's attack
FLOAT32 = {"storage": "float32"}


@dataclass
class Made:
    """A step by the suite, and what it began with.

    `networks` are copies from before: "model", and those beside by their names.
    """

    run: Run
    step: TrainingStep
    terms: dict[str, float]
    networks: dict[str, nn.Module]
    before: dict[str, Tensor]
    place: tuple[int, int] = (2, 0)

    def stream(self, *names: str) -> torch.Generator:
        return stream(self.run.spec.seed, *names, *self.place)

    def noise(self) -> Tensor:
        """The start of the attacks from 0.001 * N(0, 1)."""
        generator = self.stream("attack", "gaussian")
        return (0.001 * torch.randn(self.step.x.shape, generator=generator)).double()

    def signs(self) -> Tensor:
        drawn = torch.randint(0, 2, tuple(self.step.x.shape), generator=self.stream("signs"))
        return 2 * drawn.double() - 1


@dataclass
class ByHand:
    """What the equations say of the same step; gradients and statistics are the networks' own."""

    images: dict[str, Tensor]
    terms: dict[str, Tensor]
    networks: dict[str, nn.Module]


@pytest.fixture(autouse=True)
def images_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = module.to_unit
    monkeypatch.setattr(module, "to_unit", lambda pixels: narrow(pixels).double())
    recall = Memory.recall
    monkeypatch.setattr(Memory, "recall", lambda *given: recall(*given).double())


def a_run(method: str, options: dict[str, Any] | None = None, **training: Any) -> Run:
    """Return a run in float64 that follows no images."""
    spec = some_spec(method, options=options, engine="eager", **training)
    run = untrained(spec, some_data(), CPU)
    for network in (run.model, *(run.networks[name] for name in run.networks)):
        network.double()
    run.probe = None
    return run


def made(method: str, options: dict[str, Any] | None = None, **training: Any) -> Made:
    """Return the first step of the second epoch, on images that the first epoch saw."""
    run = a_run(method, options, **training)
    index_B, other_B, _ = run.batches(1)
    before = run.step(1, 0, index_B, EpochMetrics(CPU)).images
    run.step(1, 1, other_B, EpochMetrics(CPU))
    networks = {"model": run.model} | {name: run.networks[name] for name in run.networks}
    copies = {name: copy.deepcopy(network) for name, network in networks.items()}
    metrics = EpochMetrics(CPU)
    step = run.step(2, 0, index_B, metrics)
    terms = {
        name.removeprefix("loss_"): value
        for name, value in metrics.means().items()
        if name.startswith("loss_")
    }
    for network in copies.values():
        network.zero_grad()
    return Made(run, step, terms, copies, before)


def ce(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    return -logits_BK.softmax(1)[torch.arange(len(labels_B)), labels_B].log()


def kl(p_BK: Tensor, q_BK: Tensor) -> Tensor:
    p, q = p_BK.softmax(1), q_BK.softmax(1)
    return (p * (p.log() - q.log())).sum(1)


def slope(net: nn.Module, images: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the sign of the gradient of the loss of the logits, in whatever mode `net` is."""
    images = images.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(net(images)).mean(), images)
    return gradient.sign()


def fgsm(net: nn.Module, images: Tensor, labels_B: Tensor, size: float) -> Tensor:
    net.eval()
    moved = images + size * slope(net, images, lambda z: ce(z, labels_B))
    net.train()
    return moved.clip(0, 1)


def ascent(net: nn.Module, made: Made, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Section 0.2 of the specification: from 0.001 * N(0, 1), in evaluation mode."""
    x = made.step.x
    net.eval()
    v = x + made.noise()
    for _ in range(STEPS):
        v = v + SIZE * slope(net, v, loss)
        v = torch.minimum(torch.maximum(v, x - EPS), x + EPS).clip(0, 1)
    net.train()
    return v


def kl_ascent(net: nn.Module, made: Made) -> Tensor:
    net.eval()
    target = net(made.step.x).detach()
    return ascent(net, made, lambda z: kl(target, z))


def ce_ascent(net: nn.Module, made: Made, labels_B: Tensor) -> Tensor:
    return ascent(net, made, lambda z: ce(z, labels_B))


def boosted(b: Tensor, y: Tensor) -> Tensor:
    """MART's BCE."""
    p = b.softmax(1)
    rivals = p.detach().clone()
    rivals[torch.arange(len(y)), y] = -1
    rival = p[torch.arange(len(y)), rivals.argmax(1)]
    return ce(b, y).mean() - (1.0001 - rival + 1e-12).log().mean()


def hat(made: Made, *, beta: float = 2.5, gamma: float = 0.5, h: float = 2.0) -> ByHand:
    net, helper, x, y = (
        made.networks["model"],
        made.networks["helper"],
        made.step.x,
        made.step.labels,
    )
    v = kl_ascent(net, made)
    label = helper.eval()(v).argmax(1)
    far = x + h * (v - x)
    a, b, c = net(x), net(v), net(far)
    terms = {
        "cross_entropy": ce(a, y).mean(),
        "divergence": beta * kl(a, b).mean(),
        "helper": gamma * ce(c, label).mean(),
    }
    sum(terms.values()).backward()
    return ByHand({"clean": x, "adversarial": v, "helped": far}, terms, {"model": net})


def memloss_hat(made: Made) -> ByHand:
    net, helper, x, y = (
        made.networks["model"],
        made.networks["helper"],
        made.step.x,
        made.step.labels,
    )
    v = kl_ascent(net, made)
    label = helper.eval()(v).argmax(1)
    old, far = made.step.images["memory"], x + 2 * (v - x)
    a, b, m, c = net(x), net(v), net(old), net(far)
    weight = 1.0000001 - m.softmax(1)[torch.arange(len(y)), y]
    terms = {
        "cross_entropy": ce(a, y).mean(),
        "divergence": 3 * kl(a, b).mean(),
        "memory": 2 * (weight * kl(a, m)).mean(),
        "helper": 0.5 * ce(c, label).mean(),
    }
    sum(terms.values()).backward()
    images = {"clean": x, "adversarial": v, "memory": old, "helped": far}
    return ByHand(images, terms, {"model": net})


def memory_mart(made: Made) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    v, old = ce_ascent(net, made, y), made.step.images["memory"]
    net(x)
    b, m = net(v), net(old)
    terms = {"boosted_cross_entropy": boosted(b, y), "memory": 5 * kl(m, b).mean()}
    sum(terms.values()).backward()
    return ByHand({"clean": x, "adversarial": v, "memory": old}, terms, {"model": net})


def dynat(made: Made, *, coefficient: float = 1.0, clean_pass: bool = True) -> ByHand:
    net, guide, x, y = made.networks["model"], made.networks["guide"], made.step.x, made.step.labels
    g = guide.train()(x)
    label = g.argmax(1)
    v = ce_ascent(net, made, label)
    b = net(v)
    if clean_pass:
        net(x)
    terms = {"guide": ce(g, y).mean(), "target": coefficient * ce(b, label).mean()}
    sum(terms.values()).backward()
    images = {"adversarial": v} | ({"clean": x} if clean_pass else {})
    return ByHand(images, terms, {"model": net, "guide": guide})


def cure(made: Made, *, gamma: float = 1.0, p: float = 30.0, rgp: bool = False) -> ByHand:
    net, slow, x, y = (
        made.networks["model"],
        made.networks["revision"],
        made.step.x,
        made.step.labels,
    )
    v = kl_ascent(net, made)
    slow.train()
    slow_a, slow_b = slow(x).detach(), slow(v).detach()
    a, b = net(x), net(v)
    consistency = gamma * (kl(slow_a, a).mean() + kl(slow_b, b).mean())
    if rgp:
        terms = {
            "cross_entropy": 0.1 * ce(a, y).mean(),
            "robust_cross_entropy": 0.9 * ce(b, y).mean(),
        }
    else:
        terms = {"cross_entropy": ce(a, y).mean(), "divergence": kl(a, b).mean()}
    terms["consistency"] = consistency
    weights = list(net.parameters())
    natural = torch.autograd.grad(ce(a, y).mean(), weights, retain_graph=True)
    robust = torch.autograd.grad(ce(b, y).mean(), weights, retain_graph=True)
    sum(terms.values()).backward()
    for (name, weight), n, r in zip(net.named_parameters(), natural, robust, strict=True):
        if rgp and "linear" in name:
            continue
        prominence = weight.grad.abs() if rgp else 0.1 * n.abs() + 0.9 * r.abs()
        kept = prominence >= float(np.percentile(prominence.numpy(), p))
        weight.grad = weight.grad * kept
    return ByHand({"clean": x, "adversarial": v}, terms, {"model": net})


def sat_r1(made: Made) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    single = fgsm(net, x, y, EPS)
    last = x[-1:]
    for _ in range(3):
        last = fgsm(net, last, y[-1:], EPS / 3)
    z = net(torch.cat([single, last]))
    # Of the last image of the batch, and of what iterated steps make of it.
    distance = ((z[len(x) - 1] - z[len(x)]) ** 2).sum()
    terms = {"cross_entropy": ce(z[: len(x)], y).mean(), "regularizer": 0.2 * distance}
    sum(terms.values()).backward()
    return ByHand({"adversarial": single, "other": last}, terms, {"model": net})


def sat_r2(made: Made) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    noisy = x + EPS / 4 * made.signs()
    single, other = fgsm(net, x, y, EPS), fgsm(net, noisy, y, EPS)
    a, b = net(torch.cat([single, other])).chunk(2)
    terms = {
        "cross_entropy": ce(a, y).mean(),
        "regularizer": 25 * ((a - b) ** 2).sum(1).mean(),
    }
    sum(terms.values()).backward()
    return ByHand({"adversarial": single, "other": other}, terms, {"model": net})


def sat_r3(made: Made, *, tau: float = 0.6) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    start = (x + EPS / 4 * made.signs()).clip(0, 1)
    net.eval()
    sign = slope(net, start, lambda z: ce(z, y))
    net.train()
    low, high = (start + EPS / 4 * sign).clip(0, 1), (start + EPS * sign).clip(0, 1)
    b, a = net(torch.cat([low, high])).chunk(2)
    hinge = torch.relu(ce(b, y).mean() - tau * ce(a, y).mean())
    assert hinge > 0
    terms = {"cross_entropy": ce(a, y).mean(), "regularizer": hinge}
    sum(terms.values()).backward()
    return ByHand({"adversarial": high, "other": low}, terms, {"model": net})


def fgsm_at(made: Made) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    v = fgsm(net, x, y, EPS)
    terms = {"cross_entropy": ce(net(v), y).mean()}
    terms["cross_entropy"].backward()
    return ByHand({"adversarial": v}, terms, {"model": net})


def fgsm_rs(made: Made) -> ByHand:
    net, x, y = made.networks["model"], made.step.x, made.step.labels
    generator = made.stream("attack", "uniform")
    delta = torch.empty(x.shape).uniform_(-EPS, EPS, generator=generator).double()
    delta = (x + delta).clip(0, 1) - x
    # The attack's pass is in train mode too.
    sign = slope(net.train(), x + delta, lambda z: ce(z, y))
    delta = (delta + 1.25 * EPS * sign).clip(-EPS, EPS)
    v = (x + delta).clip(0, 1)
    terms = {"cross_entropy": ce(net(v), y).mean()}
    terms["cross_entropy"].backward()
    return ByHand({"adversarial": v}, terms, {"model": net})


CASES: dict[str, tuple[str, dict[str, Any], Callable[[Made], ByHand]]] = {
    "hat": ("hat", {}, hat),
    "hat further out": (
        "hat",
        {"beta": 4.0, "gamma": 1.0, "h": 3.5},
        lambda made: hat(made, beta=4.0, gamma=1.0, h=3.5),
    ),
    "memloss_hat": ("memloss_hat", MEMLOSS | FLOAT32, memloss_hat),
    "memory_mart": ("memory_mart", FLOAT32, memory_mart),
    "dynat": ("dynat", {}, dynat),
    "dynat without the clean pass": (
        "dynat",
        {"coefficient": 0.2, "clean_pass": False},
        lambda made: dynat(made, coefficient=0.2, clean_pass=False),
    ),
    "cure": ("cure", {}, cure),
    "cure p 10": (
        "cure",
        {"gamma": 0.5, "percentile": 0.1},
        lambda made: cure(made, gamma=0.5, p=10),
    ),
    "cure rgp": ("cure", {"criterion": "rgp"}, lambda made: cure(made, rgp=True)),
    "sat r1": ("sat", {"variant": "r1"}, sat_r1),
    "sat r2": ("sat", {"variant": "r2"}, sat_r2),
    "sat r3": ("sat", {"variant": "r3"}, sat_r3),
    "fgsm_at": ("fgsm_at", {}, fgsm_at),
    "fgsm_rs": ("fgsm_rs", {}, fgsm_rs),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_that_of_the_equations(case):
    method, options, write_out = CASES[case]
    found = made(method, options)
    expected = write_out(found)
    assert found.step.images.keys() == expected.images.keys()
    for name, images in expected.images.items():
        close(found.step.images[name], images, name)
    assert found.terms == pytest.approx(
        {name: term.item() for name, term in expected.terms.items()}, rel=1e-10
    )
    for which, network in expected.networks.items():
        ours = found.run.model if which == "model" else found.run.networks[which]
        for name, parameter in network.named_parameters():
            close(ours.get_parameter(name).grad, parameter.grad, f"{which} {name}")
    for which, network in found.networks.items():
        ours = found.run.model if which == "model" else found.run.networks[which]
        for name, buffer in network.named_buffers():
            close(ours.get_buffer(name), buffer, f"{which} {name}")


def close(found: Tensor, expected: Tensor, name: str) -> None:
    """Relative to the tensor's largest value: single entries may be differences of large ones."""
    with torch.no_grad():
        bound = 1e-10 * float(expected.abs().max()) + 1e-15
        assert (found - expected).abs().max() <= bound, name


@pytest.mark.parametrize("method", ["memloss_hat", "memory_mart"])
def test_what_is_recalled_is_what_the_attack_made_an_epoch_before(method):
    found = made(method, (MEMLOSS if method == "memloss_hat" else {}) | FLOAT32)
    away = found.step.images["memory"] - found.before["adversarial"]
    assert away.abs().max() < 1e-7
    assert (found.step.images["memory"] - found.step.x).abs().max() > EPS


def test_revision_moves_the_parameters_after_the_step_by_the_steps_of_the_run():
    found = made("cure", {"rate": 1.0})
    decay = 1 - 1 / (4 + 1)  # the first step of the second epoch of three steps
    slow = found.networks["revision"]
    for name, weight in found.run.model.named_parameters():
        expected = decay * slow.get_parameter(name) + (1 - decay) * weight
        close(found.run.networks["revision"].get_parameter(name), expected, name)


def test_revision_is_as_frequent_as_its_rate():
    run = a_run("cure", {"rate": 0.3})
    steps = [run.begin(epoch, 0, run.batches(1)[0]) for epoch in range(1, 201)]
    moved: list[int] = []
    for step in steps:
        step.move_average = lambda *_, step=step: moved.append(step.epoch)  # type: ignore[method-assign]
        run.method.after_step(step)
    assert 40 <= len(moved) <= 80  # three standard deviations about 60


def test_in_natural_epochs_cure_is_standard_training_and_the_revision_a_copy():
    ours, plain = a_run("cure", {"natural_epochs": 1}), a_run("standard")
    for number, index_B in enumerate(ours.batches(1)):
        for run in (ours, plain):
            run.step(1, number, index_B, EpochMetrics(CPU))
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], weight), name
    for name, weight in ours.model.named_parameters():
        assert torch.equal(ours.networks["revision"].get_parameter(name), weight), name
    step = ours.step(2, 0, ours.batches(2)[0], EpochMetrics(CPU))
    assert set(step.images) == {"clean", "adversarial"}


@pytest.mark.parametrize("engine", ["eager", "folded"])
def test_cure_without_its_parts_is_trades_to_the_last_bit(engine, monkeypatch):
    monkeypatch.undo()
    nothing = {"gamma": 0.0, "percentile": 0.0, "rate": 0.0}
    specs = (
        some_spec("cure", options=nothing, engine=engine),
        some_spec("trades", options={"beta": 1.0}, engine=engine),
    )
    ours, theirs = (untrained(spec, some_data(), CPU) for spec in specs)
    for run in (ours, theirs):
        run.epoch(1, lambda *_: None)
    for name, weight in theirs.model.state_dict().items():
        assert torch.equal(ours.model.state_dict()[name], weight), name


def test_hat_without_its_term_has_the_terms_of_trades():
    found = {}
    for method, options in (("hat", {"gamma": 0.0, "beta": 3.0}), ("trades", {"beta": 3.0})):
        run, metrics = a_run(method, options), EpochMetrics(CPU)
        run.step(1, 0, run.batches(1)[0], metrics)
        found[method] = metrics.means()
    assert found["hat"].pop("loss_helper") == 0
    assert found["hat"] == found["trades"]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 1.0])
def test_cure_conserves_a_share_of_every_tensor(share):
    found = made("cure", {"percentile": share})
    for name, weight in found.run.model.named_parameters():
        count = weight.numel()
        assert int((weight.grad == 0).sum()) == int(np.ceil(share * (count - 1))), name


def test_conserved_weights_still_move_by_momentum_and_weight_decay():
    found = made("cure")
    weight, before = found.run.model.conv2.weight, found.networks["model"].conv2.weight
    assert (weight != before)[weight.grad == 0].all()


def test_the_guide_learns_nothing_from_the_targets_term():
    run = a_run("dynat")
    step = run.begin(1, 0, run.batches(1)[0])
    logits = run.method.forward(step)
    target = run.method.terms(logits, step.labels)["target"]
    guide = run.networks["guide"]
    found = torch.autograd.grad(target, list(guide.parameters()), allow_unused=True)
    assert found == (None,) * len(found)
    assert target.requires_grad


def test_the_other_images_of_r2_and_r3_reach_beyond_eps():
    for variant, name in (("r2", "other"), ("r3", "adversarial")):
        run = a_run("sat", {"variant": variant})
        step = run.step(1, 0, run.batches(1)[0], EpochMetrics(CPU))
        away = (step.images[name] - step.x).abs().max()
        assert float(away) == pytest.approx(EPS / 4 + EPS)


def test_the_average_of_the_weights_is_the_sum_that_its_decay_says():
    decay, run = 0.9, a_run("trades", weight_averaging=WeightAveraging(decay=0.9))
    run.averaged = AveragedWeights(run.model, decay)  # in float64, as the network is by now
    passed = [[weight.detach().clone() for weight in run.model.parameters()]]
    for number, index_B in enumerate(run.batches(1)):
        run.step(1, number, index_B, EpochMetrics(CPU))
        passed.append([weight.detach().clone() for weight in run.model.parameters()])
    n = len(passed) - 1
    shares = [decay**n, *((1 - decay) * decay ** (n - i) for i in range(1, n + 1))]
    assert sum(shares) == pytest.approx(1)
    average = run.network()
    assert average is not run.model
    for place, found in enumerate(average.parameters()):
        terms = [share * weights[place] for share, weights in zip(shares, passed, strict=True)]
        close(found, torch.stack(terms).sum(0), str(place))
    for name, buffer in run.model.named_buffers():
        assert torch.equal(average.get_buffer(name), buffer), name


def test_a_step_with_perturbed_weights_is_that_of_the_equations():
    gamma, beta = 0.05, 3.0
    run = a_run("trades", awp=WeightPerturbation(gamma=gamma, first_epoch=1))
    (group,) = run.optimizer.param_groups
    rate, momentum, decay = group["lr"], group["momentum"], group["weight_decay"]
    net = copy.deepcopy(run.model)
    step = run.step(1, 0, run.batches(1)[0], EpochMetrics(CPU))
    x, y = step.x, step.labels
    v = kl_ascent(net, Made(run, step, {}, {}, {}, place=(1, 0)))
    close(step.images["adversarial"], v, "adversarial")

    def gradients(network: nn.Module) -> dict[str, Tensor]:
        a, b = network(x), network(v)
        loss = ce(a, y).mean() + beta * kl(a, b).mean()
        names, weights = zip(*network.named_parameters(), strict=True)
        return dict(zip(names, torch.autograd.grad(loss, weights), strict=True))

    uphill = gradients(copy.deepcopy(net))
    moved = copy.deepcopy(net)
    with torch.no_grad():
        for name, weight in moved.named_parameters():
            if "conv" in name or name == "linear.weight":
                g = uphill[name]
                weight += gamma * weight.norm() * g / g.norm()
    there = gradients(moved)
    for name, weight in net.named_parameters():
        # Nesterov's first step, with weight decay of the weight itself.
        descent = there[name] + decay * weight.detach()
        expected = weight.detach() - rate * (descent + momentum * descent)
        close(run.model.get_parameter(name).detach(), expected, name)
    for name, buffer in moved.named_buffers():
        close(run.model.get_buffer(name), buffer, name)


@pytest.mark.parametrize("method", ["trades", "memloss_hat", "dynat", "cure", "fgsm_rs"])
def test_perturbed_weights_cost_no_second_attack_and_move_statistics_once(method, monkeypatch):
    calls = []
    attack = InnerAttack.__call__
    monkeypatch.setattr(
        InnerAttack, "__call__", lambda *given, **named: calls.append(1) or attack(*given, **named)
    )
    runs = {
        first: a_run(method, awp=WeightPerturbation(gamma=0.01, first_epoch=first))
        for first in (1, 2)
    }
    tracked = {}
    for first, run in runs.items():
        run.step(1, 0, run.batches(1)[0], EpochMetrics(CPU))
        networks = (run.model, *(run.networks[name] for name in run.networks))
        tracked[first] = [int(net.bn1.num_batches_tracked) for net in networks]
    assert len(calls) == 2
    assert tracked[1] == tracked[2]


def test_weights_are_perturbed_from_the_first_epoch_asked_for_on():
    late, plain = (
        a_run("trades", awp=WeightPerturbation(gamma=0.01, first_epoch=2)),
        a_run("trades"),
    )
    for epoch in (1, 2):
        for run in (late, plain):
            run.step(epoch, 0, run.batches(epoch)[0], EpochMetrics(CPU))
        same = torch.equal(late.model.conv1.weight, plain.model.conv1.weight)
        assert same == (epoch == 1)
