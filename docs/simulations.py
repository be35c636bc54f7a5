"""How often the intervals of statistics.csv hold, by simulation: the tables of docs/statistics.md.

`python docs/simulations.py` prints them in some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.analysis.statistics.crossed import (
    Estimate,
    Interval,
    SeedVariance,
    estimate,
    over_both,
    over_both_moderated,
    over_seeds,
    over_seeds_moderated,
)
from bench.analysis.statistics.moderated import moderate
from bench.analysis.statistics.outcomes import Outcomes
from bench.analysis.statistics.quantities import accuracy, difference, seed_variance

IMAGES, METHODS = 200, 12
SPREAD = 0.2  # points between two seeds of a usual method


@dataclass(frozen=True)
class Case:
    """One kind of experiment; the first method is compared with the second.

    `spreads` are those of the first methods over the usual one, and `unequal` the standard
    deviation of the logarithms of all. `shared` is what a seed does to all methods alike and
    `of_images` what the choice of images adds to a difference, in units of the usual spread.
    With `heavy` tails, a seed's results are Student's with four degrees of freedom.
    """

    name: str
    spreads: Sequence[float] = ()
    unequal: float = 0.0
    shared: float = 0.0
    of_images: float = 0.0
    heavy: bool = False
    methods: int = METHODS


CASES = (
    Case("equal spreads"),
    Case("equal, and images matter as much", of_images=1.0),
    Case("log-normal spreads", unequal=0.35),
    Case("one method twice the others'", [2.0]),
    Case("one method four times the others'", [4.0]),
    Case("one method four times, images matter", [4.0], of_images=1.0),
    Case("one method a quarter", [0.25]),
    Case("heavy tails", heavy=True),
    Case("seeds shared by all methods", shared=1.0),
    Case("six methods, one four times", [4.0], methods=6),
)
INTERVALS: dict[str, Callable[[Estimate], Interval | None]] = {
    "seeds_t": over_seeds,
    "seeds_moderated_t": over_seeds_moderated,
    "crossed_t": over_both,
    "crossed_moderated_t": over_both_moderated,
}


@dataclass
class Tally:
    """Of one interval: experiments, those that it covers, and those where it lies on one side."""

    experiments: int = 0
    covered: int = 0
    above: int = 0
    below: int = 0
    widths: list[float] = field(default_factory=list)

    def add(self, interval: Interval, truth: float) -> None:
        """Count one experiment, in which the number is `truth`."""
        self.experiments += 1
        self.above += interval.low > truth
        self.below += interval.high < truth
        self.covered += interval.low <= truth <= interval.high
        self.widths.append((interval.high - interval.low) / 2)

    @property
    def coverage(self) -> float:
        """The share of experiments that are covered, in percent."""
        return 100 * self.covered / self.experiments

    @property
    def wrong(self) -> float:
        """How often a claim at the edge of being true is called reproduced, in percent."""
        return 100 * max(self.above, self.below) / self.experiments

    @property
    def half_width(self) -> float:
        """The mean, in units of the usual spread."""
        return float(np.mean(self.widths)) / SPREAD

    def __str__(self) -> str:
        """Return a cell of the tables."""
        return f"{self.coverage:.1f} / {self.wrong:.1f} / {self.half_width:.2f}"


def simulate(case: Case, seeds: int, experiments: int, rng: int = 0) -> dict[str, Tally]:
    """Return what became of each interval of a difference in so many experiments."""
    draw = np.random.default_rng(rng)
    found = {name: Tally() for name in INTERVALS}
    names = [f"method{i}" for i in range(case.methods)]
    for _ in range(experiments):
        by_seed_MS = _by_seed(case, seeds, draw)
        image_N = SPREAD * case.of_images * np.sqrt(IMAGES) * draw.normal(size=IMAGES)
        of = _measured(by_seed_MS, image_N, names)
        for name, make in INTERVALS.items():
            # As claims do where too few methods are alike.
            interval = make(of) or INTERVALS[name.replace("moderated_", "")](of)
            assert interval is not None  # no two seeds are equal here
            found[name].add(interval, float(image_N.mean()) if name.startswith("seeds") else 0.0)
    return found


def _by_seed(case: Case, seeds: int, draw: np.random.Generator) -> NDArray[np.float64]:
    """Return an accuracy, in percent, for each method and seed."""
    usual_M = np.ones(case.methods)
    usual_M[: len(case.spreads)] = case.spreads
    spread_M = SPREAD * usual_M * np.exp(case.unequal * draw.normal(size=case.methods))
    size = (case.methods, seeds)
    noise_MS = draw.standard_t(4, size) / np.sqrt(2) if case.heavy else draw.normal(size=size)
    shared_S = case.shared * SPREAD * draw.normal(size=seeds)
    found: NDArray[np.float64] = 50 + spread_M[:, None] * noise_MS + shared_S
    return found


def protected(case: Case, seeds: int, own_level: float, experiments: int) -> Tally:
    """Return what becomes of `seeds_moderated_t` where methods keep their own at `own_level`."""
    draw = np.random.default_rng(0)
    found = Tally()
    for _ in range(experiments):
        by_seed_MS = _by_seed(case, seeds, draw)
        of = moderate(by_seed_MS.var(axis=1, ddof=1), seeds - 1, own_level)
        assert of is not None
        parts = of.variance[:2]
        df = min(parts.sum() ** 2 / (parts**2 / of.df[:2]).sum(), of.most_df)
        difference_S = by_seed_MS[0] - by_seed_MS[1]
        borrowed = SeedVariance(float(parts.sum()), df, of.p_equal, ())
        value = float(difference_S.mean())
        interval = over_seeds_moderated(Estimate(value, difference_S, 0, moderated=borrowed))
        assert interval is not None
        found.add(interval, 0.0)
    return found


def protection(experiments: int) -> str:
    """Return the table of what protects a method that is unlike the others, in Markdown."""
    levels = (0.0, 0.05, 0.15, 0.25)
    heads = ["seeds", "case", *(f"{100 * level:g} %" for level in levels)]
    lines = ["| " + " | ".join(heads) + " |", "|--:|:--|" + "--:|" * len(levels)]
    for seeds in (2, 3, 5):
        for case in CASES[:5]:
            if case.of_images:
                continue
            cells = [str(protected(case, seeds, level, experiments)) for level in levels]
            lines.append("| " + " | ".join([str(seeds), case.name, *cells]) + " |")
    return "\n".join(lines)


def _measured(
    by_seed_MS: NDArray[np.float64], image_N: NDArray[np.float64], names: Sequence[str]
) -> Estimate:
    """Return the difference of the first two methods as `measure` does."""
    seeds = range(by_seed_MS.shape[1])
    rates = {(name, s): float(by_seed_MS[m, s]) for m, name in enumerate(names) for s in seeds}
    of = difference(accuracy("a", names[0]), accuracy("a", names[1]))
    parts = {"a": Outcomes(IMAGES, rates)}
    matrix_SN = (by_seed_MS[0] - by_seed_MS[1])[:, None] + image_N
    borrowed = seed_variance(parts, seeds, of.terms, np.array([1.0, -1.0]))
    return replace(estimate(matrix_SN), moderated=borrowed)


def table(experiments: int) -> str:
    """Return the table of all cases in Markdown."""
    heads = ["seeds", "case"]
    for name in INTERVALS:
        heads.append(f"`{name}`")
    lines = ["| " + " | ".join(heads) + " |", "|--:|:--|" + "--:|" * len(INTERVALS)]
    for seeds in (2, 3, 5):
        for case in CASES:
            cells = map(str, simulate(case, seeds, experiments).values())
            lines.append("| " + " | ".join([str(seeds), case.name, *cells]) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(2000), protection(2000), sep="\n\n")
