"""What is computed from accuracies: differences, harmonic means, distances to a front.

Each is a function of some accuracies of one checkpoint, with its derivatives. Its interval is that
of its linear expansion around the mean accuracies (the delta method), which is exact for accuracies
and their differences.

Shape suffixes: T terms, S seeds, N images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics import front
from bench.analysis.statistics.crossed import Estimate, estimate
from bench.analysis.statistics.outcomes import Outcomes, common_images

Floats = NDArray[np.float64]
Term = tuple[str, str]  # attack and method


@dataclass(frozen=True, eq=False)
class Quantity:
    """A function of the accuracies of `terms`, in percent.

    `value` maps accuracies [..., T] to [...], `gradient` mean accuracies [T] to [T].
    """

    terms: tuple[Term, ...]
    value: Callable[[Floats], Floats]
    gradient: Callable[[Floats], Floats]

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks of the terms, each once."""
        return tuple(dict.fromkeys(attack for attack, _ in self.terms))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods of the terms, each once."""
        return tuple(dict.fromkeys(method for _, method in self.terms))


def accuracy(attack: str, method: str) -> Quantity:
    """Return the accuracy of a method under an attack."""
    return Quantity(((attack, method),), lambda x: x[..., 0], np.ones_like)


def harmonic_mean(robust: str, method: str) -> Quantity:
    """Return 2 c r / (c + r) of the clean accuracy c and that under the attack `robust`.

    It is 0 where either is 0, and is near the smaller one: a method cannot buy it with one alone.
    """
    return Quantity((("clean", method), (robust, method)), _harmonic, _harmonic_gradient)


def difference(of: Quantity, other: Quantity) -> Quantity:
    """Return `of` minus `other`, over the seeds and images of both."""
    cut = len(of.terms)
    return Quantity(
        (*of.terms, *other.terms),
        lambda x: of.value(x[..., :cut]) - other.value(x[..., cut:]),
        lambda x: np.concatenate([of.gradient(x[:cut]), -other.gradient(x[cut:])]),
    )


def front_distance(robust: str, method: str, others: Sequence[str]) -> Quantity:
    """Return how far a method is from the front of `others` in clean and robust accuracy."""
    terms = tuple((attack, name) for name in (method, *others) for attack in ("clean", robust))

    def value(x: Floats) -> Floats:
        points = x.reshape(*x.shape[:-1], -1, 2)
        return front.distance(points[..., 0, :], points[..., 1:, :])

    def gradient(x: Floats) -> Floats:
        points = x.reshape(-1, 2)
        found = front.slope(points[0], points[1:])
        return np.concatenate([found.of_point, found.of_front.ravel()])

    return Quantity(terms, value, gradient)


def _shared(
    outcomes: Mapping[str, Outcomes], quantity: Quantity
) -> tuple[dict[str, Outcomes], tuple[int, ...]] | None:
    """Return the attacks of `quantity` on the images common to them, and its methods' seeds.

    None where no seed has all terms, or no image was evaluated under all of its attacks.
    """
    if any(attack not in outcomes for attack in quantity.attacks):
        return None
    parts = {attack: outcomes[attack] for attack in quantity.attacks}
    per_attack = (
        set(part.seeds(method for attack, method in quantity.terms if attack == name))
        for name, part in parts.items()
    )
    seeds = tuple(sorted(set.intersection(*per_attack)))
    if all(part.correct for part in parts.values()):
        index_N = common_images([part.index for part in parts.values()])
        parts = {attack: part.on(index_N) for attack, part in parts.items()}
    sizes = {part.images for part in parts.values()}
    if not seeds or len(sizes) != 1 or 0 in sizes:
        return None
    return parts, seeds


def measure(outcomes: Mapping[str, Outcomes], quantity: Quantity) -> Estimate | None:
    """Return the estimate of `quantity` over the seeds that all its methods have.

    The function is taken of the mean accuracies over seeds. None where no seed
    has all terms, or no image was evaluated under all attacks; without per-example results it has
    no images.
    """
    found = _shared(outcomes, quantity)
    if found is None:
        return None
    parts, seeds = found
    accuracy_TS = np.array(
        [
            [parts[attack].accuracy[method, seed] for seed in seeds]
            for attack, method in quantity.terms
        ]
    )
    mean_T = accuracy_TS.mean(axis=1)
    value, gradient_T = float(quantity.value(mean_T)), quantity.gradient(mean_T)
    images = next(iter(parts.values())).images
    if all(part.correct for part in parts.values()):
        z_SN = np.zeros((len(seeds), images))
        for weight, (attack, method) in zip(gradient_T, quantity.terms, strict=True):
            if weight:
                correct_SN = [parts[attack].correct[method, seed] for seed in seeds]
                z_SN += 100 * weight * np.array(correct_SN)
        of = estimate(z_SN, value)
    else:
        by_seed_S = value + gradient_T @ (accuracy_TS - mean_T[:, None])
        of = Estimate(value, by_seed_S, images)
    return replace(of, numbers=seeds, means=mean_T)


def _harmonic(x: Floats) -> Floats:
    total = x.sum(axis=-1)
    result: Floats = np.divide(
        2 * x.prod(axis=-1), total, out=np.zeros_like(total), where=total > 0
    )
    return result


def _harmonic_gradient(x: Floats) -> Floats:
    total = x.sum()
    return np.zeros(2) if total == 0 else 2 * np.square(x[::-1] / total)
