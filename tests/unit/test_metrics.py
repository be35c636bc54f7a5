from __future__ import annotations

from typing import Any

import pytest
import torch
from margins import Blocks, pixels
from torch import Tensor, nn

from bench.config.schema import ValidationAttack
from bench.data.dataset import Images
from bench.results.wilson import wilson
from bench.training import metrics as module
from bench.training.metrics import EpochMetrics, at_chance, clean_accuracy, pgd_accuracy

CPU = torch.device("cpu")
SHAPE = (1, 16, 16)
EPS = 8 / 255
PGD = ValidationAttack(steps=6, step_size=EPS / 4)
ATTACK = {"eps": EPS, "attack": PGD, "seed": 0}
# Robust exactly where the level is above 8.
LABELS, LEVELS = [0, 1, 2, 3, 4, 5, 6, 7], [6, 20, 6, 20, 6, 20, 6, 20]


def shown(*, wrong: tuple[int, ...] = ()) -> Images:
    labels = torch.tensor(LABELS)
    for index in wrong:
        labels[index] = (labels[index] + 5) % 10
    return Images(pixels(LABELS, LEVELS, SHAPE), labels)


def logits(*predicted: int) -> Tensor:
    return torch.eye(4)[list(predicted)]


def test_means_weigh_batches_by_their_images():
    metrics = EpochMetrics(CPU)
    labels = torch.tensor([0, 1, 2])
    metrics.add(
        {"cross_entropy": torch.tensor(1.0), "divergence": torch.tensor(0.5)},
        {"clean": logits(0, 1, 2), "adversarial": logits(0, 0, 0)},
        labels,
    )
    metrics.add(
        {"cross_entropy": torch.tensor(5.0), "divergence": torch.tensor(4.5)},
        {"clean": logits(3), "adversarial": logits(0)},
        labels[:1],
    )
    assert metrics.images == 4
    assert metrics.means() == {
        "loss_cross_entropy": 2.0,
        "loss_divergence": 1.5,
        "clean": 0.75,
        "adversarial": 0.5,
    }
    assert metrics.latest_loss() == 9.5
    assert metrics.first_bad_step() is None


def test_the_memorys_logits_are_not_an_accuracy_of_their_own():
    metrics = EpochMetrics(CPU)
    metrics.add({"memory": torch.tensor(1.0)}, {"memory": logits(0)}, torch.tensor([0]))
    assert metrics.means() == {"loss_memory": 1.0}


def test_metrics_keep_no_graph_alive():
    metrics = EpochMetrics(CPU)
    weight = torch.tensor(2.0, requires_grad=True)
    z = weight * logits(0)
    metrics.add({"loss": z.sum()}, {"clean": z}, torch.tensor([0]))
    assert not any(kept.requires_grad for kept in (*metrics._losses, *metrics._sums.values()))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_bad_step_is_counted_from_one(bad):
    metrics = EpochMetrics(CPU)
    for value in (1.0, bad, 1.0, bad):
        metrics.add({"a": torch.tensor(1.0), "b": torch.tensor(value)}, {}, torch.tensor([0]))
    assert metrics.first_bad_step() == 2


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_clean_accuracy_is_a_count_whatever_the_batches(batch_size):
    assert clean_accuracy(Blocks(SHAPE), shown(), batch_size) == 100
    assert clean_accuracy(Blocks(SHAPE), shown(wrong=(1, 6)), batch_size) == 75


@pytest.mark.parametrize("batch_size", [1, 3, 8, 100])
def test_pgd_accuracy_is_that_of_images_that_stand(batch_size):
    assert pgd_accuracy(Blocks(SHAPE), shown(), batch_size, **ATTACK) == 50
    # 1 could have stood; 6 falls anyway.
    assert pgd_accuracy(Blocks(SHAPE), shown(wrong=(1, 6)), batch_size, **ATTACK) == 37.5


def test_an_image_that_was_wrong_stays_wrong_where_the_attack_puts_it_right(monkeypatch):
    labels = torch.tensor([0, 1, 2])
    right = pixels(labels.tolist(), [20] * 3, SHAPE)
    shown = right.clone()
    shown[1] = right[2]
    monkeypatch.setattr(module, "pgd", lambda *_, **__: right.float() / 255)
    accuracy = pgd_accuracy(Blocks(SHAPE), Images(shown, labels), 8, **ATTACK)
    assert accuracy == pytest.approx(200 / 3)


def test_every_call_with_one_seed_starts_from_the_same_noise(monkeypatch):
    drawn: list[Tensor] = []

    def spy(model: nn.Module, images: Tensor, *_: Any, **given: Any) -> Tensor:
        drawn.append(torch.rand(len(images), generator=given["generator"]))
        return images

    monkeypatch.setattr(module, "pgd", spy)
    for seed in (0, 0, 1):
        pgd_accuracy(Blocks(SHAPE), shown(), 4, **(ATTACK | {"seed": seed}))
    first, again, other = drawn[:2], drawn[2:4], drawn[4:]
    assert all(map(torch.equal, first, again))
    assert not torch.equal(*first), "batches of one call must not share their noise"
    assert not any(map(torch.equal, first, other))


def test_the_model_is_given_back_as_it_was():
    model = nn.Sequential(Blocks(SHAPE), nn.BatchNorm1d(10), nn.Dropout())
    model[2].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    clean_accuracy(model, shown(), 3)
    pgd_accuracy(model, shown(), 3, **ATTACK)
    assert [module.training for module in model.modules()] == [True, True, True, True, False]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("images", "most"), [(4, 1), (20, 2), (149, 16), (1000, 100), (30, 25)])
def test_chance_is_where_wilsons_interval_has_the_share_of_the_most_frequent_label(images, most):
    for correct in range(images + 1):
        low, _ = wilson(correct, images)
        level = at_chance(100 * correct / images, images, most)
        assert level == (low <= 100 * most / images), correct


def test_where_all_labels_are_one_every_accuracy_is_chance():
    assert at_chance(100.0, 20, 20)
