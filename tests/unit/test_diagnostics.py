"""Networks that hide how weak they are fail a check, and an honest one passes all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from margins import Blocks
from masked import COUNT, EPS, LEVELS, SHAPE, SPEC, networks, some_images, target
from torch import Tensor, nn

from bench.attacks.pgd import pgd
from bench.diagnostics import curves, geometry, job
from bench.diagnostics import target as module
from bench.diagnostics.job import evaluation_target, run_checks
from bench.diagnostics.target import EvaluationTarget


def failed(network: nn.Module, levels: list[int] | None = None) -> set[str]:
    with target(network, some_images(levels)) as lent:
        return set(job.failed(run_checks(lent, SPEC).outcomes))


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_an_honest_network_passes_every_check(scale):
    assert failed(Blocks(SHAPE, scale=scale)) == set()


@pytest.mark.parametrize(
    ("name", "checks"),
    [
        ("saturated", {"zero_gradient", "eps_zero"}),
        ("quantised", {"zero_gradient", "eps_zero"}),
        ("shattered", {"eps_zero", "eps_rise"}),
    ],
)
def test_a_network_whose_gradients_are_masked_is_caught(name, checks):
    assert failed(networks()[name]) >= checks


def test_a_network_that_only_one_step_cannot_break_is_caught():
    assert "linearity" in failed(networks()["dimpled"], [4] * COUNT)


def test_a_network_that_square_breaks_more_easily_is_caught(monkeypatch):
    def blind(network: nn.Module, images: Tensor, labels: Tensor, **_: object) -> Tensor:
        return images

    monkeypatch.setattr(module, "pgd", blind)
    assert "square_stronger" in failed(Blocks(SHAPE, scale=100.0), [1] * COUNT)


@pytest.fixture
def honest():
    with target(Blocks(SHAPE, scale=100.0)) as lent:
        yield lent


def test_accuracy_over_radii_is_what_paper_and_pencil_say(honest):
    curve = curves.against_eps(honest)
    for x, stands in zip(curve.x, curve.robust, strict=True):
        assert int(stands.sum()) == sum(level > 255 * x for level in LEVELS)
    assert curve.x[0] == 0.0
    assert not curve.robust[-1].any()
    assert curve.robust[:-1].any(dim=1).all()


def test_radii_are_even_then_doubling_and_end_where_any_image_can_become_any_other():
    assert curves.radii(0.2) == pytest.approx((0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.8, 1.0))
    assert curves.radii(1.0) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert EPS in curves.radii(EPS)


def standing(lent: EvaluationTarget, **budget: int) -> Tensor:
    """Return which images PGD of that budget leaves."""
    budgets = {"eps": EPS, "step": EPS / 4, **budget}
    stands = []
    for images, labels, generator in lent.batches():
        moved = pgd(lent.model, images, labels, **budgets, generator=generator)
        stands.append(lent.evaluated(moved, labels)[0])
    return torch.cat(stands)


def test_the_points_of_the_curve_over_steps_are_attacks_with_so_many_steps(honest):
    curve = curves.against_steps(honest, 20)
    assert curve.x == (1, 2, 5, 10, 20)
    for place, steps in enumerate(curve.x):
        assert torch.equal(curve.robust[place], standing(honest, steps=steps))


def test_the_curve_over_restarts_is_pgd_with_so_many_restarts_and_never_rises():
    # Ripples make every restart find something else.
    with target(networks()["shattered"]) as lent:
        curve = curves.against_restarts(lent, 3)
        stands = standing(lent, steps=lent.steps, restarts=3)
    assert torch.equal(curve.robust[-1], stands)
    assert not (curve.robust[1:] & ~curve.robust[:-1]).any()
    assert curve.losses is not None
    assert (curve.losses.diff(dim=0) >= 0).all()


def test_a_network_is_diagnosed_as_the_spec_asks():
    asked = replace(SPEC.diagnostics, steps=5, max_steps=6, restarts=3, square_queries=7, seed=4)
    spec = replace(SPEC, diagnostics=asked, batch_size=3)
    with evaluation_target(Blocks(SHAPE), some_images(), spec) as lent:
        assert (lent.steps, lent.seed, lent.batch_size, lent.eps) == (5, 4, 3, EPS)
        drawn = run_checks(lent, spec).curves
    ends = {curve.name: curve.x[-1] for curve in drawn}
    assert (ends["steps"], ends["restarts"], ends["square"]) == (6, 3, 7)


def test_an_image_that_is_wrong_unattacked_stands_nowhere():
    wrong = some_images()
    wrong.labels[7] = (wrong.labels[7] + 5) % 10
    with target(Blocks(SHAPE, scale=100.0), wrong) as lent:
        drawn = run_checks(lent, SPEC).curves
    assert not any(curve.robust[:, 7].any() for curve in drawn)


def test_the_departure_from_the_tangent_is_zero_where_the_loss_is_linear(honest, monkeypatch):
    monkeypatch.setattr(
        EvaluationTarget, "loss", lambda self, labels: lambda x: x.flatten(1).sum(dim=1)
    )
    images, labels, _ = next(honest.batches())
    noise = torch.full_like(images, EPS / 2)
    assert geometry.departure(honest, images, labels, noise).abs().max() < 1e-4


def test_the_departure_of_a_square_is_its_second_order(honest, monkeypatch):
    def loss(self, labels):
        return lambda images: (images**2).flatten(1).sum(dim=1)

    monkeypatch.setattr(EvaluationTarget, "loss", loss)
    images, labels, _ = next(honest.batches())
    # (x + d)^2 - x^2 - 2 x d = d^2, largest where every pixel moves by eps.
    found = geometry.departure(honest, images, labels, torch.full_like(images, EPS / 2))
    torch.testing.assert_close(found, torch.full_like(found, 256 * EPS**2), rtol=1e-3, atol=1e-4)


def test_pictures_are_of_the_first_images_that_are_right(honest):
    honest.labels[0] = 5
    shown = geometry.surfaces(honest, 2)
    assert [surface.index for surface in shown] == [1, 2]
    middle = geometry.SIDE // 2
    _, losses = honest.evaluated(honest.images[1:3], honest.labels[1:3])
    for surface, loss in zip(shown, losses, strict=True):
        assert surface.right[middle, middle]
        torch.testing.assert_close(surface.losses[middle, middle], loss)
        # Along the gradient's sign the loss rises from one side to the other.
        assert (surface.losses[:, middle].diff() >= 0).all()
        assert surface.losses[-1, middle] > surface.losses[0, middle]


def test_where_fewer_images_are_right_wrong_ones_make_up_the_number(honest):
    honest.labels[:40] = (honest.labels[:40] + 5) % 10
    found = [surface.index for surface in geometry.surfaces(honest, 22)]
    assert found == [*range(40, 60), 0, 1]


class Ranged(Blocks):
    """Refuses what is no image."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.min() >= 0, "a value below 0"
        assert images.max() <= 1, "a value above 1"
        return super().forward(images)


def test_whatever_is_asked_of_a_network_is_an_image():
    black_or_white = some_images()
    black_or_white.pixels.copy_((black_or_white.pixels > 100) * 255)
    with target(Ranged(SHAPE, scale=100.0), black_or_white) as lent:
        run_checks(lent, SPEC)
        geometry.surfaces(lent, 3)


def test_the_network_is_given_back_as_it_was():
    network = nn.Sequential(Blocks(SHAPE, scale=100.0), nn.BatchNorm1d(10)).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with target(network) as lent:
        run_checks(lent, SPEC)
    assert torch.equal(torch.get_rng_state(), random)
    assert network.training
    assert network[1].training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
