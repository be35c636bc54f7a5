from __future__ import annotations

import pytest
import torch

from bench.attacks.linf import ascend, project, uniform_noise

EPS = 8 / 255


@pytest.fixture
def images() -> torch.Tensor:
    images = torch.rand(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images[0], images[1] = 0.0, 1.0
    return images


def test_project_moves_a_point_no_further_than_needed():
    images = torch.tensor([0.5, 0.5, 0.5, 0.01, 0.99])
    moved = torch.tensor([0.9, 0.1, 0.55, -0.2, 1.2])
    expected = torch.tensor([0.6, 0.4, 0.55, 0.0, 1.0])
    torch.testing.assert_close(project(moved, images, 0.1), expected)


@pytest.mark.parametrize("eps", [0.0, EPS, 1.0])
@pytest.mark.parametrize("steps", [0, 1, 7])
def test_every_result_is_in_the_ball_and_in_the_image_range(images, eps, steps):
    target = torch.rand(images.shape, generator=torch.Generator().manual_seed(1))
    far = images + 3.0
    moved = ascend(lambda v: -((v - target) ** 2), images, far, eps=eps, step=0.3, steps=steps)
    assert (moved - images).abs().max() <= eps + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert not moved.requires_grad


def test_on_a_linear_loss_the_corner_of_the_ball_is_reached(images):
    slope = torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    moved = ascend(lambda v: v * slope, images, images, eps=EPS, step=EPS / 4, steps=4)
    torch.testing.assert_close(moved, (images + EPS * slope.sign()).clamp(0, 1))


def test_without_steps_the_start_is_clipped_into_the_ball(images):
    moved = ascend(lambda v: v.sum(), images, images + 1.0, eps=EPS, step=EPS, steps=0)
    torch.testing.assert_close(moved, (images + EPS).clamp(0, 1))


def test_the_first_gradient_is_taken_at_the_start_itself_even_outside_the_ball(images):
    seen = []

    def loss(moved):
        seen.append(moved.detach().clone())
        return moved.sum()

    start = images + 2.0
    ascend(loss, images, start, eps=EPS, step=EPS, steps=2)
    assert torch.equal(seen[0], start)
    assert (seen[1] - images).abs().max() <= EPS + 1e-6


def test_one_value_an_image_and_their_sum_give_the_same_images(images):
    def squares(v):
        return ((v - 0.3) ** 2).sum(dim=(1, 2, 3))

    budget = {"eps": EPS, "step": EPS / 3, "steps": 5}
    each = ascend(squares, images, images, **budget)
    assert torch.equal(each, ascend(lambda v: squares(v).sum(), images, images, **budget))


def test_neither_the_images_nor_the_start_are_changed_or_marked(images):
    start = images + 0.01
    kept = images.clone(), start.clone()
    ascend(lambda v: v.sum(), images, start, eps=EPS, step=EPS, steps=2)
    assert torch.equal(images, kept[0])
    assert torch.equal(start, kept[1])
    assert not images.requires_grad
    assert not start.requires_grad


def test_ascent_works_where_the_caller_has_switched_gradients_off(images):
    with torch.no_grad():
        moved = ascend(lambda v: v.sum(), images, images, eps=EPS, step=EPS, steps=1)
    torch.testing.assert_close(moved, (images + EPS).clamp(0, 1))


def test_only_the_gradient_of_the_images_is_asked_for(images):
    weight = torch.ones(3, 1, 1, requires_grad=True)
    ascend(lambda v: (v * weight).sum(), images, images, eps=EPS, step=EPS, steps=1)
    assert weight.grad is None


def test_a_start_of_another_shape_is_refused(images):
    with pytest.raises(ValueError, match="start has shape"):
        ascend(lambda v: v.sum(), images, images[:1], eps=EPS, step=EPS, steps=1)


def test_uniform_noise_fills_the_ball_and_follows_its_generator():
    noise = uniform_noise((50, 3, 4, 4), eps=EPS, generator=torch.Generator().manual_seed(0))
    again = uniform_noise((50, 3, 4, 4), eps=EPS, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noise, again)
    assert noise.abs().max() <= EPS
    assert noise.min() < -0.9 * EPS
    assert noise.max() > 0.9 * EPS
