"""Accuracy against the strength of an attack: radius, steps, restarts.

Athalye et al. 2018 (arXiv:1802.00420) and Carlini et al. 2019 (arXiv:1902.06705) say what such
curves look like where gradients mislead: an attack with more freedom does not do more.

Shape suffixes: X points of a curve, N images, B of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
from torch import Tensor

from bench.attacks.linf import ascend, uniform_noise
from bench.diagnostics.checks import Outcome, share, stronger
from bench.diagnostics.target import EvaluationTarget, compared, only

# In units of the radius that robustness is claimed for, as long as that is below 1.
RADII = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, *(2.0**power for power in range(2, 12)))
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, eq=False)
class Curve:
    """What an attack leaves robust at each `x`: bool [X, N], and the losses it reaches.

    An image that is wrong unattacked is never robust. `losses` are cross-entropies [X, N] in nats,
    None where the attack raises something else.
    """

    name: str
    x: tuple[float, ...]
    robust: Tensor
    losses: Tensor | None

    def at(self, x: float) -> Tensor:
        """Return which images are robust at the point `x` of the curve, bool [N]."""
        return self.robust[self.x.index(x)]


def radii(eps: float) -> tuple[float, ...]:
    """Return the radii of a curve: up to twice `eps` evenly, then doubling, and 1 at the end.

    In a ball of radius 1 any image can become any other.
    """
    return (*(scale * eps for scale in RADII if scale * eps < 1), 1.0)


def step_counts(most: int) -> tuple[int, ...]:
    """Return the numbers of steps of a curve that ends with `most`."""
    return (*(steps for steps in STEPS if steps < most), most)


def against_eps(target: EvaluationTarget) -> Curve:
    """Return PGD's curve over radii, up to the first at which no image is robust.

    At radius 0 these are the images themselves.
    """
    right_N = target.right()
    x, points = [], []
    for eps in radii(target.eps):
        evaluated = []
        for images, labels, generator in target.batches():
            moved = target.pgd(images, labels, generator, eps)
            evaluated.append(target.evaluated(moved, labels))
        x.append(eps)
        points.append(_joined(evaluated, right_N))
        if not points[-1][0].any():
            break
    return _curve("eps", x, points)


def against_eps_fgsm(target: EvaluationTarget, x: Iterable[float]) -> Curve:
    """Return FGSM's curve over the radii `x`."""
    right_N, x = target.right(), tuple(x)
    points = [
        _joined(
            [
                target.evaluated(target.one_step(images, labels, eps), labels)
                for images, labels, _ in target.batches()
            ],
            right_N,
        )
        for eps in x
    ]
    return _curve("fgsm", x, points)


def against_steps(target: EvaluationTarget, most: int) -> Curve:
    """Return PGD's curve over steps of a quarter of the radius, from 1 to `most`.

    One ascent passes through all points: the first k steps of a longer attack are the attack with
    k steps. Images are evaluated where each attack ends, not at the best point on its way.
    """
    counts = step_counts(most)
    evaluated: list[list[tuple[Tensor, Tensor]]] = [[] for _ in counts]
    for images, labels, generator in target.batches():
        noise = uniform_noise(images.shape, eps=target.eps, generator=generator)
        moved = (images + noise).clamp(0.0, 1.0)
        for place, (before, steps) in enumerate(pairwise((0, *counts))):
            moved = ascend(
                target.loss(labels),
                images,
                moved,
                eps=target.eps,
                step=target.eps / 4,
                steps=steps - before,
            )
            evaluated[place].append(target.evaluated(moved, labels))
    right_N = target.right()
    return _curve("steps", counts, [_joined(parts, right_N) for parts in evaluated])


def against_restarts(target: EvaluationTarget, most: int) -> Curve:
    """Return PGD's curve over restarts, from 1 to `most`; an image is robust if it is under each.

    It never rises, because the starts of fewer restarts are the first of more.
    """
    evaluated: list[list[tuple[Tensor, Tensor]]] = [[] for _ in range(most)]
    for images, labels, generator in target.batches():
        robust_B = torch.ones_like(labels, dtype=torch.bool)
        highest_B = torch.full_like(labels, -torch.inf, dtype=images.dtype)
        for parts in evaluated:
            moved = target.pgd(images, labels, generator)
            robust_now_B, losses_B = target.evaluated(moved, labels)
            robust_B = robust_B & robust_now_B
            highest_B = torch.maximum(highest_B, losses_B)
            parts.append((robust_B, highest_B))
    right_N = target.right()
    counts = range(1, most + 1)
    return _curve("restarts", counts, [_joined(parts, right_N) for parts in evaluated])


def zero(curve: Curve) -> Outcome:
    """Return whether almost no image is robust at the end of a curve over radii."""
    return share("eps_zero", int(curve.robust[-1].sum()), curve.robust.shape[1])


def rise(check: str, curve: Curve) -> Outcome:
    """Return whether accuracy never rises along a curve, whatever two of its points are taken."""
    pairs = [only(weak, strong) for weak, strong in combinations(curve.robust, 2)]
    return stronger(check, pairs, curve.robust.shape[1])


def steps_flat(curve: Curve) -> Outcome:
    """Return whether the last point of a curve over steps adds nothing to the one before."""
    before, last = curve.robust[-2:]
    return compared("steps_flat", last, before)


def restarts_flat(curve: Curve) -> Outcome:
    """Return whether the second half of the restarts breaks almost nothing more."""
    half, last = curve.robust[(len(curve.x) - 1) // 2], curve.robust[-1]
    return share("restarts_flat", int((half & ~last).sum()), len(last))


def fgsm_gap(one_step: Tensor, many: Tensor) -> Outcome:
    """Return how many of the images [N] that FGSM leaves robust PGD breaks."""
    return share("fgsm_gap", int((one_step & ~many).sum()), len(many))


def _joined(parts: Iterable[tuple[Tensor, Tensor]], right_N: Tensor) -> tuple[Tensor, Tensor]:
    robust, losses = zip(*parts, strict=True)
    return torch.cat(robust) & right_N, torch.cat(losses)


def _curve(name: str, x: Iterable[float], points: Iterable[tuple[Tensor, Tensor]]) -> Curve:
    robust, losses = zip(*points, strict=True)
    return Curve(name, tuple(x), torch.stack(robust).cpu(), torch.stack(losses).cpu())
