"""What is asked about replayed adversarial examples, against examples whose fate is known."""

from __future__ import annotations

import pytest
import torch
from synthetic import METHODS, some_data, some_spec
from torch import Tensor, nn

from bench.data.augment import Views
from bench.data.dataset import to_unit
from bench.training import forgetting as module
from bench.training.forgetting import COLUMNS, ForgettingTracker
from bench.training.passes import untrained
from bench.training.run import Run

COUNT = 40
PIXELS = torch.randint(
    60, 190, (COUNT, 3, 6, 6), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)
LABELS = torch.zeros(COUNT, dtype=torch.int64)
EVERY = torch.arange(COUNT)
CPU = torch.device("cpu")


class Threshold(nn.Module):
    """Class 0 of 2 for images whose mean is below `at`, with certainty."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at = at

    def forward(self, images: Tensor) -> Tensor:
        below = (self.at - images.mean(dim=(1, 2, 3))) * 1e4
        return torch.stack((below, -below), dim=1)


def a_probe(crop: int = 0) -> tuple[ForgettingTracker, Views]:
    views = Views(seed=1, count=COUNT, crop=crop, flip=crop > 0)
    return ForgettingTracker(PIXELS, LABELS, EVERY, crop=crop, seed=0), views


def epoch(
    probe: ForgettingTracker, views: Views, number: int, delta: Tensor, size: int = 7
) -> None:
    """Let the probe see an epoch in which the attack adds `delta` to every view."""
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(number))
    batches = order.split(size)
    probe.expect(number, batches)
    for step, index_B in enumerate(batches):
        frame = views.frame(number, index_B)
        clean = to_unit(frame.apply(PIXELS[index_B]))
        shown = delta[index_B] if len(delta) == COUNT else delta
        probe.see(number, step, frame, clean, clean + shown)


def constant(value: float) -> Tensor:
    return torch.full((COUNT, 3, 6, 6), value)


def test_the_columns_are_those_that_history_csv_documents():
    ages, quantiles = (0, 1, 2, 4, 8), (10, 50, 90)
    assert (
        *("replay_success_rate", "forgetting_rate", "replay_cosine"),
        *(f"replay_loss_age{age}" for age in ages),
        *(f"replay_weight_p{percent}" for percent in quantiles),
    ) == COLUMNS


def test_the_first_epoch_has_nothing_to_remember():
    probe, views = a_probe()
    epoch(probe, views, 1, constant(0.1))
    found = probe.measure(Threshold(10.0), 1)
    assert tuple(found) == COLUMNS
    known = {name for name, value in found.items() if value is not None}
    assert known == {"replay_loss_age0"}


def test_what_fools_the_network_and_what_it_forgot_is_counted():
    probe, views = a_probe()
    means = to_unit(PIXELS).mean(dim=(1, 2, 3))
    epoch(probe, views, 1, constant(0.1))
    # Half of the images fool the network of the first epoch.
    middle = float(means.median()) + 0.1 + 1e-5
    fooled = means + 0.1 > middle
    assert probe.measure(Threshold(middle), 1)["replay_loss_age0"] > 0
    epoch(probe, views, 2, constant(0.0))
    # A lower threshold fools on more of them: those are the forgotten ones.
    lower = float(means.quantile(0.25)) + 0.1
    now = means + 0.1 > lower
    found = probe.measure(Threshold(lower), 2)
    assert found["replay_success_rate"] == pytest.approx(100 * float(now.float().mean()))
    forgotten = float((now & ~fooled).sum()) / float((~fooled).sum())
    assert found["forgetting_rate"] == pytest.approx(100 * forgotten)
    assert found["replay_weight_p10"] == pytest.approx(1e-7, abs=1e-6)
    assert found["replay_weight_p90"] == pytest.approx(1.0, abs=1e-6)


def test_nothing_is_forgotten_where_nothing_was_known():
    probe, views = a_probe()
    epoch(probe, views, 1, constant(0.0))
    probe.measure(Threshold(-1.0), 1)
    epoch(probe, views, 2, constant(0.0))
    found = probe.measure(Threshold(-1.0), 2)
    assert found["replay_success_rate"] == 100
    assert found["forgetting_rate"] is None


@pytest.mark.parametrize("crop", [0, 2])
def test_the_cosine_compares_the_same_pixels_of_an_image_whatever_its_crop(crop):
    probe, views = a_probe(crop)
    own = torch.randn(COUNT, 3, 6, 6, generator=torch.Generator().manual_seed(3)) / 100

    def in_frame(number: int, sign: float) -> Tensor:
        # The perturbation belongs to the image's pixels and moves with them.
        return sign * views.frame(number, EVERY).apply(own)

    epoch(probe, views, 1, in_frame(1, 1))
    epoch(probe, views, 2, in_frame(2, 1))
    assert probe.measure(Threshold(0.5), 2)["replay_cosine"] == pytest.approx(1, abs=0.01)
    epoch(probe, views, 3, in_frame(3, -1))
    assert probe.measure(Threshold(0.5), 3)["replay_cosine"] == pytest.approx(-1, abs=0.01)


def test_losses_are_of_examples_of_their_age_and_old_ones_are_let_go():
    probe, views = a_probe()
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 4))
    expected = {}
    for number in range(1, 13):
        epoch(probe, views, number, constant(number / 100))
        found = probe.measure(model, number)
        with torch.no_grad():
            logits = model(to_unit(PIXELS) + number / 100)
        expected[number] = float(nn.functional.cross_entropy(logits, LABELS))
    for age in module.AGES:
        assert found[f"replay_loss_age{age}"] == pytest.approx(expected[12 - age], abs=1e-3)
    assert set(probe._made) == set(range(4, 13))


def test_at_most_256_images_are_followed_and_the_seed_chooses_them(monkeypatch):
    monkeypatch.setattr(module, "FOLLOWED", 10)
    one, same, other = (
        ForgettingTracker(PIXELS, LABELS, EVERY, crop=0, seed=seed).pixels_PCHW
        for seed in (0, 0, 1)
    )
    assert len(one) == 10
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("method", [name for name in METHODS if name != "standard"])
def test_watching_changes_no_weight(method, monkeypatch):
    def trained() -> dict[str, Tensor]:
        run = untrained(some_spec(method), some_data(), CPU)
        for number in (1, 2):
            run.epoch(number, lambda *_: None)
        return run.model.state_dict()

    watched = trained()
    monkeypatch.setattr(ForgettingTracker, "expect", lambda *_: None)
    monkeypatch.setattr(ForgettingTracker, "see", lambda *_: None)
    monkeypatch.setattr(ForgettingTracker, "measure", lambda *_: {})
    unwatched = trained()
    for name, value in watched.items():
        assert torch.equal(unwatched[name], value)


def test_a_method_without_an_attack_has_no_examples():
    run = Run(some_spec("standard"), some_data(), CPU)
    assert run.probe is None
    assert run.epoch(1, lambda *_: None).replay == {}


def test_an_epoch_that_attacks_nothing_has_no_cosine():
    probe, views = a_probe()
    epoch(probe, views, 1, constant(0.1))
    probe.measure(Threshold(10.0), 1)
    probe.expect(2, EVERY.split(7))
    found = probe.measure(Threshold(10.0), 2)
    assert found["replay_cosine"] is None
    assert found["replay_loss_age0"] is None
    assert found["replay_success_rate"] == 0
