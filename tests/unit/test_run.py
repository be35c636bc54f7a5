from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from synthetic import EPS, METHODS, some_data, some_images, some_spec
from torch import Tensor, nn

from bench.config.experiment import Attack, TrainSpec
from bench.config.schema import ValidationAttack
from bench.data.augment import Views
from bench.data.dataset import Dataset, Images
from bench.methods.base import logits_of
from bench.methods.trades import Trades
from bench.runtime.errors import BenchError
from bench.training import run as module
from bench.training.metrics import EpochMetrics
from bench.training.passes import untrained
from bench.training.run import Epoch, Run

CPU = torch.device("cpu")


def quiet(_step: int, _tally: EpochMetrics) -> None:
    pass


def a_run(spec: TrainSpec | None = None, dataset: Dataset | None = None) -> Run:
    return untrained(spec or some_spec(), dataset or some_data(), CPU)


def after(run: Run, epochs: int = 1) -> tuple[list[Epoch], dict[str, Tensor]]:
    """Train, and return what was measured and the weights."""
    return [run.epoch(number, quiet) for number in range(1, epochs + 1)], run.model.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def forwards(
    networks: dict[str, nn.Module], call: Callable[[], Any]
) -> dict[str, list[tuple[Tensor, bool]]]:
    """Return the input and the mode of every forward pass of each network that `call` makes."""
    seen: dict[str, list[tuple[Tensor, bool]]] = {name: [] for name in networks}

    def noting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def note(network: nn.Module, given: tuple[Tensor, ...]) -> None:
            seen[name].append((given[0].detach().clone(), network.training))

        return note

    handles = [net.register_forward_pre_hook(noting(name)) for name, net in networks.items()]
    call()
    for handle in handles:
        handle.remove()
    return seen


# The passes in train mode of a step of the second epoch: names of images, all at once in a joint
# pass, and "start" for where an attack in train mode begins.
PASSES: dict[str, dict[str, list[str]]] = {
    "standard": {"model": ["clean"]},
    "pgd_at": {"model": ["adversarial"]},
    "trades": {"model": ["clean", "adversarial"]},
    "mart": {"model": ["clean", "adversarial"]},
    "memloss": {"model": ["clean", "adversarial", "memory"]},
    "memloss_hat": {"model": ["clean", "adversarial", "memory", "helped"]},
    "hat": {"model": ["clean", "adversarial", "helped"]},
    "memory_mart": {"model": ["clean", "adversarial", "memory"]},
    "dynat": {"model": ["adversarial", "clean"], "guide": ["clean"]},
    "cure": {"model": ["clean", "adversarial"], "revision": ["clean", "adversarial"]},
    "sat": {"model": ["adversarial other"]},
    "fgsm_at": {"model": ["adversarial"]},
    "fgsm_rs": {"model": ["start", "adversarial"]},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("epoch", [1, 2])
def test_a_step_makes_its_passes_in_train_mode_in_the_methods_order(method, epoch):
    run = a_run(some_spec(method))
    if epoch == 2:
        after(run)
    step = run.begin(epoch, 0, run.batches(epoch)[0])
    networks = {"model": run.model} | {name: run.networks[name] for name in run.networks}
    before = {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}
    seen = forwards(networks, lambda: logits_of(run.method, step))

    for which, network in networks.items():
        passes = PASSES[method].get(which, [])
        expected = [name for name in passes if name != "memory" or epoch == 2]
        shown = [given for given, training in seen[which] if training]
        assert len(shown) == len(expected)
        for given, name in zip(shown, expected, strict=True):
            if name != "start":
                images = torch.cat([step.images[part] for part in name.split()])
                assert torch.equal(given, images), name
        state = network.state_dict()
        for name, value in before[which].items():
            if name.endswith("num_batches_tracked"):
                assert state[name] == value + len(expected), "an attack moved statistics"
            elif "running" not in name:
                assert torch.equal(state[name], value), name
    assert run.model.training


def test_memloss_passes_x_then_x_prime_then_x_second_and_trades_has_no_third():
    assert a_run(some_spec("memloss")).method.passes == ("clean", "adversarial", "memory")
    assert a_run(some_spec("trades")).method.passes == ("clean", "adversarial")


def test_an_epoch_steps_the_schedule_once_a_batch_and_reports_where_it_began():
    run = a_run()
    assert run.steps == len(run.batches(1)) == 3
    heard: list[tuple[int, int]] = []
    first = run.epoch(1, lambda step, metrics: heard.append((step, metrics.images)))
    assert heard == [(1, 16), (2, 32), (3, 40)]
    assert first.learning_rate == pytest.approx(0.1 / 25)
    assert run.schedule.last_epoch == 3
    second = run.epoch(2, quiet)
    assert second.learning_rate != first.learning_rate
    assert run.schedule.last_epoch == 6


@pytest.mark.parametrize("method", METHODS)
def test_an_epoch_measures_what_the_method_shows(method):
    run = a_run(some_spec(method))
    (first, second), _ = after(run, 2)
    assert (first.train_clean is None) == (method in ("pgd_at", "sat", "fgsm_at", "fgsm_rs"))
    assert (first.train_robust is None) == (method == "standard")
    assert first.loss == pytest.approx(sum(first.terms.values()))
    assert ("loss_memory" in second.terms) == run.method.memory
    assert "loss_memory" not in first.terms
    shown = [second.train_clean, second.train_robust]
    shown += [second.validation_clean, second.validation_pgd]
    assert all(0 <= share <= 100 for share in shown if share is not None)
    assert second.validation_pgd <= second.validation_clean


@pytest.mark.parametrize(
    ("images", "asked", "held"),
    [
        (40, None, 4),
        (44, None, 4),
        (44, 7, 7),
        (9, None, 1),
        (9_999, None, 999),
        (10_000, None, 1000),
    ],
)
def test_a_tenth_is_held_out_and_a_thousand_of_large_sets(images, asked, held):
    run = a_run(some_spec(validation_images=asked), some_data(images))
    assert len(run.selection_images) == held
    assert len(run.index_N) == images - held


def test_an_epoch_trains_on_every_image_but_the_held_out_once():
    data = some_data()
    run = a_run(dataset=data)
    for epoch in (1, 2):
        assert torch.equal(torch.cat(run.batches(epoch)).sort().values, run.index_N)
    left = torch.ones(len(data.train), dtype=torch.bool)
    left[run.index_N] = False
    assert torch.equal(run.selection_images.pixels, data.train.pixels[left])
    assert torch.equal(run.selection_images.labels, data.train.labels[left])
    assert not torch.equal(torch.cat(run.batches(1)), torch.cat(run.batches(2)))


def test_what_is_held_out_does_not_depend_on_the_seed():
    one, other = a_run(some_spec(seed=0)), a_run(some_spec(seed=1))
    assert torch.equal(one.index_N, other.index_N)


@pytest.mark.parametrize(("crop", "flip"), [(1, True), (2, True), (1, False)])
def test_crops_and_mirrorings_are_those_of_the_seed_and_as_asked(crop, flip):
    index_B = torch.arange(16)
    for seed in (0, 1):
        drawn = a_run(some_spec(seed=seed, crop_padding=crop, flip=flip)).clean(1, index_B)[0]
        own, other = (Views(of, 44, crop, flip).frame(1, index_B) for of in (seed, 1 - seed))
        for name in ("top", "left", "mirrored"):
            assert torch.equal(getattr(drawn, name), getattr(own, name))
        assert not torch.equal(drawn.top, other.top)
        assert (int(drawn.top.max()), bool(drawn.mirrored.any())) == (2 * crop, flip)


def test_the_checkpoint_is_selected_under_the_validation_attack(monkeypatch):
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "pgd_accuracy", lambda *_, **given: asked.append(given) or 0.0)
    attack = ValidationAttack(steps=3, step_size=EPS / 3, loss="margin")
    a_run(some_spec(seed=2, validation_attack=attack)).epoch(1, quiet)
    assert asked == [{"eps": EPS, "attack": attack, "seed": 2}]


@pytest.mark.parametrize("method", ["trades", "memloss"])
def test_the_test_set_touches_neither_weights_nor_what_best_is_chosen_on(method):
    data = some_data()
    noise = some_images(len(data.test), seed=99)
    other = replace(data, test=Images(noise.pixels, (data.test.labels + 3) % 10))
    one_epochs, one = after(a_run(some_spec(method), data), 2)
    other_epochs, same_weights = after(a_run(some_spec(method), other), 2)
    assert same(one, same_weights)
    assert one_epochs == other_epochs


def test_selection_on_the_test_set_trains_on_all_images_and_evaluates_the_test_set():
    data = some_data()
    run = a_run(some_spec(checkpoint_selection="test"), data)
    assert torch.equal(torch.cat(run.batches(1)).sort().values, torch.arange(44))
    assert torch.equal(run.selection_images.pixels, data.test.pixels)
    assert torch.equal(run.selection_images.labels, data.test.labels)


def test_the_validation_is_asked_for_as_the_shell_says(monkeypatch):
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        "bench.training.run.pgd_accuracy",
        lambda _model, images, batch, **attack: asked.append((len(images), batch, attack)) or 50.0,
    )
    shell = {
        "validation_attack": ValidationAttack(steps=7, step_size=0.02),
        "attack": Attack(steps=1, step_size=0.1),
    }
    a_run(some_spec(seed=3, **shell)).epoch(1, quiet)
    # Starts are drawn batch by batch, so the size of a batch decides who gets which.
    attack = {"eps": 0.1, "attack": shell["validation_attack"], "seed": 3}
    assert asked == [(4, 2 * 16, attack)]


def measured(clean: float, robust: float) -> Epoch:
    return Epoch(
        epoch=1,
        learning_rate=0.1,
        loss=1.0,
        terms={},
        train_clean=None,
        train_robust=None,
        validation_clean=clean,
        validation_pgd=robust,
    )


@pytest.mark.parametrize("method", [name for name in METHODS if name != "standard"])
def test_merit_is_pgd_accuracy_then_clean_accuracy(method):
    run = a_run(some_spec(method), some_data(440))
    assert run.merit(measured(50, 31)) > run.merit(measured(90, 30))
    assert run.merit(measured(51, 30)) > run.merit(measured(50, 30))
    assert run.merit(measured(50, 30)) == run.merit(measured(50, 30))


def test_merit_of_standard_training_is_clean_accuracy_alone():
    run = a_run(some_spec("standard"), some_data(440))
    assert run.merit(measured(51, 0)) > run.merit(measured(50, 9))
    assert run.merit(measured(50, 0)) == run.merit(measured(50, 9))


def test_a_constant_network_loses_against_an_honest_one_that_is_less_robust():
    run = a_run(dataset=some_data(440))
    constant = 100 * run.most_frequent / len(run.selection_images)
    assert constant == pytest.approx(100 * 5 / 44)
    assert run.at_chance(measured(constant, constant))
    assert run.better(measured(50, 8), measured(constant, constant))
    assert not run.better(measured(constant, constant), measured(50, 8))
    # Among such epochs all is as it is among the others.
    assert run.better(measured(10, 9), measured(12, 8))


def spoil(monkeypatch: pytest.MonkeyPatch, at: int, spoilt: Callable[[Tensor], Tensor]) -> None:
    """Let TRADES return `spoilt` of its loss in step `at`, counted from 1 over the whole run."""
    original, calls = Trades.terms, iter(range(1, 1000))

    def terms(self: Trades, logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        parts = original(self, logits, labels)
        if next(calls) == at:
            parts["divergence"] = spoilt(parts["divergence"])
        return parts

    monkeypatch.setattr(Trades, "terms", terms)


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_named_by_epoch_and_step(monkeypatch, factor):
    spoil(monkeypatch, 5, lambda term: term.detach() + factor)
    run = a_run()
    run.epoch(1, quiet)
    with pytest.raises(BenchError, match=r"^the loss .* epoch 2, step 2; lower"):
        run.epoch(2, quiet)


def test_a_last_step_that_spoils_the_weights_is_noticed_though_every_loss_was_finite(monkeypatch):
    # The value of this term is 0 and its gradient is NaN.
    spoil(monkeypatch, 3, lambda term: (term * 0).sqrt())
    with pytest.raises(BenchError, match=r"a weight became NaN or infinite in epoch 1, step 3"):
        a_run().epoch(1, quiet)


@pytest.mark.parametrize("tf32", [True, False])
def test_the_backends_are_as_asked_within_an_epoch_and_as_before_after_it(tf32):
    backends = torch.backends
    before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    spec = some_spec()
    run = a_run(replace(spec, compute=replace(spec.compute, tf32=tf32)))
    seen: set[tuple[bool, bool]] = set()

    def watch(_step: int, _tally: EpochMetrics) -> None:
        seen.add((backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32))

    run.epoch(1, watch)
    assert seen == {(tf32, False)}
    assert (backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32) == before


def test_a_method_with_a_memory_need_not_say_how_it_is_kept(monkeypatch):
    class Remembering(Trades):
        passes = ("clean", "adversarial", "memory")

    monkeypatch.setattr("bench.training.run.create", lambda *_: Remembering(beta=3.0))
    run = a_run()
    after(run)
    step = run.step(2, 0, run.batches(2)[0], EpochMetrics(CPU))
    assert "memory" in step.images
