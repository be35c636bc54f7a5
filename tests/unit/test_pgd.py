from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.attacks.losses import cross_entropy, margin
from bench.attacks.pgd import pgd
from bench.models.base import build
from bench.runtime.errors import ConfigError

BUDGET = {"eps": 0.1, "step": 0.05, "steps": 5}


class Linear(nn.Module):
    """Two classes, for which the worst point of the ball is known."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.weight = nn.Parameter(torch.randn(2, 12, generator=generator))

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weight.T


class TwoHills(nn.Module):
    """One-pixel images at 0.5: uphill is left from a start on the left, right from the right.

    On the left classes 1 and 2 rise together to `left` at the end, on the right class 1 alone to
    `right`; the label's logit is 0.
    """

    def __init__(self, *, left: float, right: float) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, images: Tensor) -> Tensor:
        away = images.flatten(1).squeeze(1) - 0.5
        height = 4 * away**2
        first = torch.where(away > 0, self.right + 2, self.left + 2) * height - 2
        second = torch.where(away > 0, -9.0, first)
        return torch.stack([torch.zeros_like(first), first, second], dim=1)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(16, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def climb(model: nn.Module, restarts: int) -> Tensor:
    images, labels = torch.full((64, 1, 1, 1), 0.5), torch.zeros(64, dtype=torch.int64)
    budget = {"eps": 0.5, "step": 0.1, "steps": 10, "restarts": restarts}
    return pgd(model, images, labels, **budget, generator=generator()).flatten()


@pytest.mark.parametrize("loss", ["ce", "margin", "targeted_margin"])
def test_against_a_linear_model_the_worst_corner_is_found(images, loss):
    model, labels = Linear(), torch.arange(16) % 2
    found = pgd(model, images, labels, **BUDGET, loss=loss, generator=generator())
    weight = model.weight.detach()
    downhill = (weight[1 - labels] - weight[labels]).sign().reshape(images.shape)
    torch.testing.assert_close(found, (images + 0.1 * downhill).clamp(0, 1))


@pytest.mark.parametrize("steps", [0, 3])
def test_every_image_stays_in_its_ball_and_in_the_image_range(images, steps):
    model, labels = build("small_cnn", classes=3, channels=3, seed=0), torch.arange(16) % 3
    images = torch.rand(16, 3, 8, 8, generator=generator())
    options = {"eps": 0.2, "step": 0.3, "steps": steps, "restarts": 2}
    found = pgd(model, images, labels, **options, generator=generator())
    assert (found - images).abs().max() <= 0.2 + 1e-6
    assert found.min() >= 0
    assert found.max() <= 1


def test_starts_are_spread_over_the_ball_and_clipped_to_the_image_range():
    seen = []

    class Watched(Linear):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach().clone())
            return super().forward(images)

    images = torch.cat([torch.zeros(500, 3, 2, 2), torch.full((500, 3, 2, 2), 0.5)])
    pgd(Watched(), images, torch.zeros(1000, dtype=torch.int64), **BUDGET, generator=generator())
    noise = seen[0] - images
    assert noise[:500].min() == 0
    assert noise[500:].min() < -0.09
    assert noise[500:].max() > 0.09
    assert noise.abs().max() <= 0.1 + 1e-6


def test_a_restart_that_fools_is_kept_even_if_one_that_does_not_has_a_higher_loss():
    model = TwoHills(left=-0.01, right=0.2)
    ends, label = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1), torch.tensor([0, 0])
    losses, right = cross_entropy(model(ends), label), margin(model(ends), label) < 0
    assert losses[0] > losses[1]
    assert right.tolist() == [True, False]
    fooled_once, fooled = climb(model, 1) > 0.5, climb(model, 6) > 0.5
    assert fooled_once.any()
    assert not fooled_once.all(), "some first starts lie on the hill that cannot fool"
    assert not (fooled_once & ~fooled).any()
    assert fooled.sum() > fooled_once.sum()


class OtherClassBeyond(nn.Module):
    """One-pixel images at 0.5 of class 0: class 1 is the rival on all of them but never wins.

    Class 2 is below it everywhere but beyond 0.9, where it wins.
    """

    def forward(self, images: Tensor) -> Tensor:
        x = images.flatten(1).squeeze(1)
        return torch.stack([torch.zeros_like(x), -0.5 - 0.1 * x, 2 * (x - 0.9) - 0.05 * x], dim=1)


def test_the_targeted_margin_reaches_a_class_that_the_margin_never_aims_at():
    images, labels = torch.full((8, 1, 1, 1), 0.5), torch.zeros(8, dtype=torch.int64)
    budget = {"eps": 0.5, "step": 0.1, "steps": 10, "generator": generator()}
    model = OtherClassBeyond()
    assert (model(images)[:, 1] > model(images)[:, 2]).all()
    found = pgd(model, images, labels, loss="targeted_margin", **budget)
    assert (model(found).argmax(dim=1) == 2).all()
    # The margin follows class 1 down to 0 from every start at which it is the rival.
    starts = torch.full((8, 1, 1, 1), 0.05)
    untargeted = pgd(model, starts, labels, loss="margin", **{**budget, "eps": 0.05})
    assert (model(untargeted).argmax(dim=1) == 0).all()


@pytest.mark.parametrize(("classes", "targets"), [(2, 1), (5, 4), (30, 9)])
def test_the_targeted_margin_attacks_towards_nine_classes_or_all_there_are(classes, targets):
    calls = []

    class Counted(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            calls.append(len(images))
            return images.flatten(1) @ torch.eye(4, classes)

    images, labels = torch.rand(3, 1, 2, 2), torch.zeros(3, dtype=torch.int64)
    options = {"eps": 0.1, "step": 0.05, "steps": 2, "restarts": 2, "loss": "targeted_margin"}
    pgd(Counted(), images, labels, **options, generator=generator())
    # One pass to choose the targets, and for each attempt its gradients and its result.
    assert len(calls) == 1 + 2 * targets * (2 + 1)


def test_where_none_fools_the_highest_loss_is_kept():
    model = TwoHills(left=-1.5, right=-0.1)
    lower, higher = climb(model, 1), climb(model, 8)
    assert (lower < 0.5).any(), "some first starts lie on the lower hill"
    assert (higher > 0.5).sum() > (lower > 0.5).sum()
    assert not ((lower > 0.5) & (higher < 0.5)).any()


class ThreeClasses(Linear):
    """A third class keeps the losses apart. Counts its calls."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return torch.cat((super().forward(images), images.flatten(1)[:, :1].cos()), dim=1)


def test_unless_told_otherwise_there_is_one_start_and_the_cross_entropy_is_raised(images):
    def found(**options: Any) -> tuple[Tensor, int]:
        model, labels = ThreeClasses(), torch.full((16,), 2)
        budget = {"eps": 0.1, "step": 0.01, "steps": 3}
        moved = pgd(model, images, labels, **budget, **options, generator=generator())
        return moved, model.calls

    default, calls = found()
    assert calls == 3 + 1
    assert torch.equal(default, found(restarts=1, loss="ce")[0])
    assert not torch.equal(default, found(loss="margin")[0])


def test_the_same_generator_gives_the_same_images_and_another_gives_others(images):
    model, labels = Linear(), torch.zeros(16, dtype=torch.int64)
    options = {"eps": 0.1, "step": 0.01, "steps": 1}
    first = pgd(model, images, labels, **options, generator=generator())
    again = pgd(model, images, labels, **options, generator=generator())
    other = pgd(model, images, labels, **options, generator=torch.Generator().manual_seed(8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_image_that_is_misclassified_already_is_attacked_like_the_others(images):
    model = Linear()
    wrong = 1 - model(images).argmax(dim=1)
    found = pgd(model, images, wrong, **BUDGET, generator=generator())
    with torch.no_grad():
        assert (cross_entropy(model(found), wrong) >= cross_entropy(model(images), wrong)).all()
        assert (margin(model(found), wrong) > 0).all()
    assert not torch.equal(found, images)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_attacked_in_eval_and_given_back_as_it_was(images, training):
    model = build("small_cnn", classes=3, channels=3, seed=0).train(training)
    model.bn1.eval()
    modes = []
    model.linear.register_forward_hook(lambda *_: modes.append(model.bn3.training))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random_state = torch.get_rng_state()
    batch = torch.rand(4, 3, 8, 8, generator=generator())
    pgd(model, batch, torch.arange(4) % 3, **BUDGET, generator=generator())
    assert modes
    assert not any(modes)
    assert model.training is training
    assert not model.bn1.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_an_error_of_the_model_does_not_keep_it_in_eval():
    model = build("small_cnn", classes=3, channels=3, seed=0)
    with pytest.raises(RuntimeError):
        pgd(
            model,
            torch.rand(4, 1, 8, 8),
            torch.arange(4) % 3,
            **BUDGET,
            generator=generator(),
        )
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_an_unknown_loss_and_no_restart_are_refused_by_name(images):
    labels = torch.zeros(16, dtype=torch.int64)
    with pytest.raises(ConfigError, match="'margn'"):
        pgd(Linear(), images, labels, **BUDGET, loss="margn", generator=generator())
    with pytest.raises(ConfigError, match="restart"):
        pgd(Linear(), images, labels, **BUDGET, restarts=0, generator=generator())
