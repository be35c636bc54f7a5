"""What is computed from accuracies: differences, harmonic means, distances to a front.

Each is a function of some accuracies of one checkpoint, with its derivatives. Its interval is that
of its linear expansion around the mean accuracies (the delta method), which is exact for accuracies
and their differences.

Shape suffixes: T terms, S seeds, N images, M methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bench.analysis.statistics import front
from bench.analysis.statistics.crossed import Estimate, SeedVariance, estimate
from bench.analysis.statistics.moderated import moderate
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
    borrowed = seed_variance(parts, seeds, quantity.terms, gradient_T)
    return replace(of, numbers=seeds, means=mean_T, moderated=borrowed)


def seed_variance(
    parts: Mapping[str, Outcomes],
    seeds: Sequence[int],
    terms: Sequence[Term],
    gradient_T: Floats,
) -> SeedVariance | None:
    """Return the variance between seeds of a weighted sum of accuracies, moderated.

    Each method's share of the sum has a variance; the same sum of every other method's accuracies
    says what is usual. Methods count as independent: what a seed does to all of them alike
    cancels in a difference, so that its variance is rather too large. None with one seed, and with
    too few methods.
    """
    if len(seeds) < 2:
        return None
    total = of_squares = 0.0
    most_df, p_equal = float("inf"), 1.0
    own: list[str] = []
    for method, weights in _by_method(terms, gradient_T).items():
        sums = _weighted_sums(parts, seeds, weights)
        found = moderate(np.var(list(sums.values()), axis=1, ddof=1), len(seeds) - 1)
        if found is None:
            return None
        place = list(sums).index(method)
        variance = float(found.variance[place])
        total += variance
        of_squares += variance**2 / float(found.df[place])
        most_df, p_equal = min(most_df, found.most_df), min(p_equal, found.p_equal)
        if found.own[place]:
            own.append(method)
    df = min(total**2 / of_squares, most_df) if of_squares else most_df
    return SeedVariance(total, df, p_equal, tuple(own))


def _by_method(
    terms: Sequence[Term], gradient_T: Floats
) -> dict[str, dict[tuple[str, str], float]]:
    """Return the weights of each method's accuracies, by attack and by what follows its label."""
    found: dict[str, dict[tuple[str, str], float]] = {}
    for (attack, name), weight in zip(terms, gradient_T, strict=True):
        if weight:
            label, slash, checkpoint = name.partition("/")
            found.setdefault(label, {})[attack, slash + checkpoint] = float(weight)
    return found


def _weighted_sums(
    parts: Mapping[str, Outcomes],
    seeds: Sequence[int],
    weights: Mapping[tuple[str, str], float],
) -> dict[str, list[float]]:
    """Return the weighted sum of accuracies of every method that has all of them, by seed."""
    first = next(iter(weights))[0]
    labels = dict.fromkeys(name.partition("/")[0] for name, _ in parts[first].accuracy)
    found = {}
    for label in labels:
        runs = [[(attack, (label + end, seed)) for attack, end in weights] for seed in seeds]
        if all(run in parts[attack].accuracy for of_seed in runs for attack, run in of_seed):
            found[label] = [
                sum(
                    weight * parts[attack].accuracy[run]
                    for weight, (attack, run) in zip(weights.values(), of_seed, strict=True)
                )
                for of_seed in runs
            ]
    return found


def _harmonic(x: Floats) -> Floats:
    total = x.sum(axis=-1)
    result: Floats = np.divide(
        2 * x.prod(axis=-1), total, out=np.zeros_like(total), where=total > 0
    )
    return result


def _harmonic_gradient(x: Floats) -> Floats:
    total = x.sum()
    return np.zeros(2) if total == 0 else 2 * np.square(x[::-1] / total)
