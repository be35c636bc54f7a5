from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.attacks.inner import Budget, InnerAttack
from bench.models.base import build
from bench.runtime.errors import ConfigError

BUDGET = Budget(eps=0.1, step=0.03, steps=6)
KL = InnerAttack(loss="kl", start="gaussian")
CE_GAUSSIAN = InnerAttack(loss="ce", start="gaussian")
CE_UNIFORM = InnerAttack(loss="ce", start="uniform")
CE_ZERO = InnerAttack(loss="ce", start="zero")
ALL = pytest.mark.parametrize("attack", [KL, CE_GAUSSIAN, CE_UNIFORM, CE_ZERO])


class Linear(nn.Module):
    """Five classes in double precision; its gradients are written out by hand below."""

    def __init__(self) -> None:
        super().__init__()
        drawn = torch.randn(5, 12, generator=generator(3), dtype=torch.float64)
        self.weight = nn.Parameter(drawn)
        self.modes: list[bool] = []
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.modes.append(self.training)
        self.seen.append(images.detach().clone())
        return images.flatten(1) @ self.weight.T


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch() -> tuple[Tensor, Tensor]:
    images = torch.rand(8, 3, 2, 2, generator=generator(), dtype=torch.float64)
    return images, torch.arange(8) % 5


def softmax(z):
    weights = np.exp(z - z.max())
    return weights / weights.sum()


def by_hand(weight, image, label, start, *, loss, eps, step, steps):
    """Section by section the published inner loop on a softmax of a linear map."""
    target = softmax(weight @ image)
    v = start
    for _ in range(steps):
        p = softmax(weight @ v)
        if loss == "kl":
            slope = weight.T @ (p - target)
        elif loss == "reverse kl":
            distance = np.log(p) - np.log(target)
            slope = weight.T @ (p * (distance - (p * distance).sum()))
        else:
            slope = weight.T @ (p - np.eye(len(p))[label])
        v = np.clip(np.clip(v + step * np.sign(slope), image - eps, image + eps), 0, 1)
    return v


def all_by_hand(model: Linear, images: Tensor, labels: Tensor, noise: Tensor, loss: str) -> Tensor:
    weight, flat = model.weight.detach().numpy(), images.flatten(1).numpy()
    starts = flat + noise.double().flatten(1).numpy()
    rows = [
        by_hand(weight, image, int(label), start, loss=loss, **asdict(BUDGET))
        for image, label, start in zip(flat, labels, starts, strict=True)
    ]
    return torch.from_numpy(np.stack(rows)).reshape(images.shape)


@pytest.mark.parametrize(("attack", "loss"), [(KL, "kl"), (CE_GAUSSIAN, "ce")])
def test_the_attack_equals_the_loop_written_by_hand(attack, loss):
    model, (images, labels) = Linear(), batch()
    noise = attack.noise(images.shape, eps=0.1, generator=generator(1))
    moved = attack(model, images, labels, BUDGET, noise)
    torch.testing.assert_close(moved, all_by_hand(model, images, labels, noise, loss))


def test_the_other_direction_of_the_divergence_would_be_another_attack():
    model, (images, labels) = Linear(), batch()
    noise = KL.noise(images.shape, eps=0.1, generator=generator(1))
    moved = KL(model, images, labels, BUDGET, noise)
    reverse = all_by_hand(model, images, labels, noise, "reverse kl")
    assert (moved - reverse).abs().max() > 0.01


def test_the_divergence_attack_does_not_look_at_labels():
    model, (images, labels) = Linear(), batch()
    noise = KL.noise(images.shape, eps=0.1, generator=generator(1))
    first = KL(model, images, labels, BUDGET, noise)
    assert torch.equal(first, KL(model, images, (labels + 1) % 5, BUDGET, noise))


def test_the_target_of_the_divergence_is_computed_once_and_all_in_eval():
    model, (images, labels) = Linear().train(), batch()
    noise = KL.noise(images.shape, eps=0.1, generator=generator(1))
    KL(model, images, labels, BUDGET, noise)
    assert len(model.seen) == 1 + BUDGET.steps
    assert torch.equal(model.seen[0], images)
    assert not any(model.modes)
    assert model.training


def test_the_gaussian_start_is_not_projected():
    model, (images, labels) = Linear(), batch()
    images = torch.zeros_like(images)
    noise = torch.full_like(images, -0.5)
    moved = CE_GAUSSIAN(model, images, labels, BUDGET, noise)
    assert torch.equal(model.seen[0], noise)
    assert moved.min() >= 0


def test_the_uniform_start_is_clipped_to_the_image_range():
    model, (images, labels) = Linear(), batch()
    noise = CE_UNIFORM.noise(images.shape, eps=0.1, generator=generator(1))
    images = images.round()
    CE_UNIFORM(model, images, labels, BUDGET, noise)
    assert torch.equal(model.seen[0], (images + noise).clamp(0, 1))


def test_noise_has_the_distribution_of_its_start():
    shape = (40, 3, 8, 8)
    gaussian = KL.noise(shape, eps=0.1, generator=generator())
    assert gaussian.std().item() == pytest.approx(0.001, rel=0.1)
    assert gaussian.abs().max() > 0.003, "a normal distribution has tails"
    uniform = CE_UNIFORM.noise(shape, eps=0.1, generator=generator())
    assert uniform.abs().max() <= 0.1
    assert uniform.std().item() == pytest.approx(0.2 / 12**0.5, rel=0.1)


def test_an_attack_that_starts_at_the_image_takes_its_first_gradient_there():
    noise = CE_ZERO.noise((4, 3, 8, 8), eps=0.1, generator=generator())
    assert not noise.any()
    model, (images, labels) = Linear(), batch()
    CE_ZERO(model, images, labels, BUDGET, torch.zeros_like(images))
    assert torch.equal(model.seen[0], images)


def test_a_divergence_has_no_gradient_at_the_image_so_it_cannot_start_there():
    with pytest.raises(ConfigError, match=r"InnerAttack\.start"):
        InnerAttack(loss="kl", start="zero")


def test_steps_are_the_recipes_or_the_attacks_own():
    recipe = {"eps": 0.1, "step": 0.03, "steps": 6}
    assert KL.budget(**recipe) == BUDGET
    own = InnerAttack(loss="ce", start="uniform", steps=1, step_over_eps=1.25)
    assert own.budget(**recipe) == Budget(eps=0.1, step=0.125, steps=1)


@pytest.mark.parametrize("given", [{"steps": 0}, {"step_over_eps": 0.0}, {"step_over_eps": -1.0}])
def test_an_attack_of_no_steps_or_length_is_refused(given):
    with pytest.raises(ConfigError, match=f"InnerAttack.{next(iter(given))}"):
        InnerAttack(loss="ce", start="uniform", **given)


def test_attacks_with_the_same_start_draw_the_same_noise():
    shape = (4, 3, 8, 8)
    first = KL.noise(shape, eps=0.1, generator=generator(5))
    assert torch.equal(first, CE_GAUSSIAN.noise(shape, eps=0.3, generator=generator(5)))
    assert not torch.equal(first, KL.noise(shape, eps=0.1, generator=generator(6)))


@ALL
@pytest.mark.parametrize("eps", [0.0, 8 / 255, 1.0])
@pytest.mark.parametrize("steps", [0, 3])
def test_every_image_stays_in_its_ball_and_in_the_image_range(attack, eps, steps):
    model = build("small_cnn", classes=3, channels=3, seed=0)
    images = torch.rand(4, 3, 8, 8, generator=generator()).round(decimals=1)
    noise = attack.noise(images.shape, eps=eps, generator=generator())
    budget = Budget(eps=eps, step=0.3, steps=steps)
    moved = attack(model, images, torch.arange(4) % 3, budget, noise)
    assert (moved - images).abs().max() <= eps + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad


def test_in_train_mode_batch_statistics_are_used_and_running_ones_move():
    attack = InnerAttack(loss="ce", start="uniform", mode="train")
    model = build("small_cnn", classes=3, channels=3, seed=0).train()
    modes = []
    model.linear.register_forward_hook(lambda *_: modes.append(model.bn1.training))
    images = torch.rand(4, 3, 8, 8, generator=generator())
    noise = attack.noise(images.shape, eps=0.1, generator=generator())
    attack(model, images, torch.arange(4) % 3, BUDGET, noise)
    assert modes == [True] * BUDGET.steps
    assert model.bn1.num_batches_tracked == BUDGET.steps
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


@ALL
def test_an_error_of_the_model_gives_it_back_as_it_was(attack):
    model = build("small_cnn", classes=3, channels=3, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = torch.rand(4, 1, 8, 8)
    noise = attack.noise(images.shape, eps=0.1, generator=generator())
    with pytest.raises(RuntimeError):
        attack(model, images, torch.arange(4) % 3, BUDGET, noise)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("word", [{"loss": "KL"}, {"start": "normal"}, {"mode": "evaluate"}])
def test_an_unknown_word_is_refused(word):
    with pytest.raises(
        ConfigError, match=f"InnerAttack.{next(iter(word))}: .* is unknown; .*known"
    ):
        InnerAttack(**{"loss": "ce", "start": "uniform", **word})


# A more exact network opens the attack that a coarser one goes on with


@pytest.mark.parametrize("attack", [KL, CE_GAUSSIAN])
@pytest.mark.parametrize("steps", [0, 1, 3])
def test_a_more_exact_network_gives_the_target_and_the_first_gradient(attack, steps):
    exact, coarse = Linear(), Linear()
    coarse.weight.data.round_()
    images, labels = batch()
    noise = attack.noise(images.shape, eps=0.1, generator=generator(1))
    budget = Budget(eps=0.1, step=0.03, steps=steps)
    moved = attack(coarse, images, labels, budget, noise, exact)
    targets = 1 if attack is KL else 0
    assert len(exact.seen) == targets + min(steps, 1)
    assert len(coarse.seen) == max(steps - 1, 0)
    first = Budget(eps=0.1, step=0.03, steps=min(steps, 1))
    begun = attack(exact, images, labels, first, noise)
    if steps < 2:
        assert torch.equal(moved, begun)
    else:
        assert torch.equal(coarse.seen[0], begun)
