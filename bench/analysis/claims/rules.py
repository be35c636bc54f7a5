"""The rules that turn results into a number with an interval, for claims to be held against.

Claims about numbers are held against the interval over seeds: a paper's number is about the very
test images that are evaluated here, so another draw of images is not what is asked. Claims about an
order are meant to hold for other images too, so theirs is the interval over seeds and images.

A claim about the least or the largest of several numbers holds where it holds of each, so each is
held against it at the full level (intersection-union test: Berger 1982,
doi:10.1080/00401706.1982.10487790). That it does not hold is said where one fails, of several that
could fail by luck, so that end is Bonferroni's.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from bench.analysis.claims.claim import HARMONIC, Claim
from bench.analysis.claims.evidence import Evidence, NotRunError, paired
from bench.analysis.statistics import front
from bench.analysis.statistics.crossed import (
    LEVEL,
    Estimate,
    Interval,
    over_both,
    over_both_moderated,
    over_seeds,
    over_seeds_moderated,
    simultaneous,
)
from bench.analysis.statistics.moderated import LEAST_SEEDS
from bench.analysis.statistics.quantities import difference, front_distance

MOST = 100.0
FRONT = "front_distance"


@dataclass(frozen=True, eq=False)
class Measured:
    """A number to hold a claim against, in the claim's unit.

    `low` and `high` are None where seeds or their spread do not allow an interval. `binding` is the
    estimate that decides, on the scale to which `scale` takes values; `images_too` says whether its
    interval is the one over images too. Of `compared` numbers it is the least or the largest.
    `reason` says why the number cannot decide the claim, if so.
    """

    value: float
    low: float | None
    high: float | None
    binding: Estimate
    images_too: bool
    compared: int = 1
    scale: Callable[[float], float] = float
    reason: str = ""

    @property
    def moderated(self) -> bool:
        """Whether its intervals are made with moderated variances."""
        return is_moderated(self.binding)


def is_moderated(of: Estimate) -> bool:
    """Say whether claims are held against the moderated interval of an estimate."""
    return of.moderated is not None and of.seeds >= LEAST_SEEDS


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the number of a rule spreads, for `plan --decide`.

    It spreads like `metric` (an attack, `clean`, HARMONIC or FRONT) of one or the difference of two
    `methods`, each at so many `checkpoints` taken as independent; the one that binds of `compared`.
    """

    metric: str
    methods: Literal[1, 2] = 2
    checkpoints: int = 1
    compared: int = 1


@dataclass(frozen=True, kw_only=True)
class RuledClaim(Claim, ABC):
    """A claim with its rule.

    A rule whose keys have no `metric` says in `attacks` and `measures` what it is about.
    """

    @property
    def design(self) -> Design | None:
        """How its number spreads; None where that is not known before a run."""
        return None

    @abstractmethod
    def measured(self, evidence: Evidence) -> Measured:
        """Return what the evidence says; NotRunError names what it lacks."""

    @property
    def images_too(self) -> bool:
        """Whether the claim is meant for other images too."""
        return self.kind == "order"

    def interval(self, of: Estimate, level: float = LEVEL) -> Interval | None:
        """Return the interval that speaks of what the claim is about.

        Raises
        ------
        NotRunError
            It needs per-example results, and there are none.
        """
        if self.images_too and of.squares is None:
            raise NotRunError(
                "there are no per-example results, without which nothing is known of other images: "
                "keep models/*/seed*/examples beside summary.csv"
            )
        if is_moderated(of):
            found = (over_both_moderated if self.images_too else over_seeds_moderated)(of, level)
        else:
            found = (over_both if self.images_too else over_seeds)(of, level)
        if found is None or not self.attacks:
            return found
        # No difference of percentages is larger, however few the degrees of freedom.
        return replace(found, low=max(found.low, -MOST), high=min(found.high, MOST))

    def intervals(self, parts: Sequence[Estimate]) -> list[tuple[Interval, Interval]]:
        """Return each number's interval at the full level, and Bonferroni's over all of them.

        None of them if one is unknown.
        """
        strict = simultaneous(len(parts))
        found = [
            (own, wide)
            for part in parts
            if (own := self.interval(part)) and (wide := self.interval(part, strict))
        ]
        return found if len(found) == len(parts) else []

    def of_one(self, of: Estimate, reason: str = "") -> Measured:
        """Return one estimate as it is."""
        found = self.interval(of)
        low, high = (None, None) if found is None else (found.low, found.high)
        return Measured(of.value, low, high, of, self.images_too, reason=reason)


@dataclass(frozen=True, kw_only=True)
class Value(RuledClaim):
    """`metric` of `method`."""

    method: str
    metric: str

    @property
    def design(self) -> Design:
        """That of one method."""
        return Design(metric=self.metric, methods=1)

    def measured(self, evidence: Evidence) -> Measured:
        """Return the mean over seeds."""
        return self.of_one(evidence.estimate(evidence.quantity(self.metric, self.method)))


@dataclass(frozen=True, kw_only=True)
class Difference(RuledClaim):
    """`metric` of `method` minus that of `against`; of several, the best one counts."""

    named_in = ("method", "against")

    method: str
    against: tuple[str, ...]
    metric: str

    def __post_init__(self) -> None:
        """Refuse what "the best of several" does not fit."""
        Claim.__post_init__(self)
        if not self.against or (len(self.against) > 1 and self.above is None):
            raise ValueError("against: name one method, or with `above` one or more")

    @property
    def design(self) -> Design:
        """That of the smallest difference."""
        return Design(metric=self.metric, compared=len(self.against))

    def measured(self, evidence: Evidence) -> Measured:
        """Return the smallest of the paired differences."""
        ours = evidence.quantity(self.metric, self.method)
        parts = [
            evidence.estimate(difference(ours, evidence.quantity(self.metric, other)))
            for other in self.against
        ]
        binding = min(parts, key=lambda part: part.value)
        intervals = self.intervals(parts)
        low = min((own.low for own, _ in intervals), default=None)
        high = min((wide.high for _, wide in intervals), default=None)
        return Measured(binding.value, low, high, binding, self.images_too, len(parts))


@dataclass(frozen=True, kw_only=True)
class Range(RuledClaim):
    """The largest `metric` of `methods` minus the smallest."""

    named_in = ("methods",)

    methods: tuple[str, ...]
    metric: str

    def __post_init__(self) -> None:
        """Refuse a range of one."""
        Claim.__post_init__(self)
        if len(self.methods) < 2:
            raise ValueError("methods: name two or more")

    @property
    def design(self) -> Design:
        """That of the largest difference."""
        return Design(metric=self.metric, compared=math.comb(len(self.methods), 2))

    def measured(self, evidence: Evidence) -> Measured:
        """Return the largest of the paired differences, in absolute value."""
        every = [evidence.quantity(self.metric, name) for name in self.methods]
        parts = [evidence.estimate(difference(*pair)) for pair in combinations(every, 2)]
        binding = max(parts, key=lambda part: abs(part.value))
        intervals = self.intervals(parts)
        low = max((max(wide.low, -wide.high, 0.0) for _, wide in intervals), default=None)
        high = max((max(own.high, -own.low) for own, _ in intervals), default=None)
        value = abs(binding.value)
        return Measured(value, low, high, binding, self.images_too, len(parts))


@dataclass(frozen=True, kw_only=True)
class Frontier(RuledClaim):
    """How far `method` is beyond the front of `against` in clean accuracy and `metric`.

    The front is made of mixtures of two methods. As with "the best of several", every pair counts
    with an interval of its own, and the lowest end of all is the end: one method of the front that
    is poor by luck, and so not on it, still widens the interval.
    """

    named_in = ("method", "against")

    method: str
    against: tuple[str, ...]
    metric: str = "autoattack"

    def __post_init__(self) -> None:
        """Refuse a front without methods, or of clean accuracy alone."""
        Claim.__post_init__(self)
        if not self.against:
            raise ValueError("against: name the methods of the front")
        if self.metric in ("clean", HARMONIC):
            raise ValueError("metric: the front is of clean accuracy and that under an attack")

    @property
    def attacks(self) -> tuple[str, ...]:
        """Clean accuracy is one of the front's two."""
        return ("clean", self.metric)

    @property
    def design(self) -> Design:
        """That of the lead over the nearest pair."""
        return Design(metric=FRONT, compared=max(math.comb(len(self.against), 2), 1))

    def measured(self, evidence: Evidence) -> Measured:
        """Return what the method could lose in both before mixtures of the others were as good."""
        label, others = evidence.label(self.method), evidence.labels(self.against)
        whole = evidence.estimate(front_distance(self.metric, label, others))
        pairs: list[Sequence[str]] = [*combinations(others, 2)] or [others]
        intervals = self.intervals(
            [evidence.estimate(front_distance(self.metric, label, pair)) for pair in pairs]
        )
        low = min((-own.high for own, _ in intervals), default=None)
        high = min((-wide.low for _, wide in intervals), default=None)
        lead = replace(whole, value=-whole.value, by_seed=-whole.by_seed)
        reason = ""
        if front.slope(whole.means[:2], whole.means[2:].reshape(-1, 2)).beyond:
            reason = (
                "the method is better than the whole front in one accuracy, so its place beside "
                "the front is not known: add methods that extend the front to `against`"
            )
        return Measured(
            lead.value, low, high, lead, self.images_too, compared=len(pairs), reason=reason
        )


@dataclass(frozen=True, kw_only=True)
class Overfitting(RuledClaim):
    """What `method` loses in `metric` from its best epoch to its last, minus what `against` does.

    The loss is known as robust overfitting (Rice et al. 2020, arXiv 2002.11569).
    """

    named_in = ("method", "against")

    method: str
    against: str
    metric: str

    @property
    def design(self) -> Design:
        """That of a difference of differences between checkpoints."""
        return Design(metric=self.metric, checkpoints=2)

    def measured(self, evidence: Evidence) -> Measured:
        """Return the paired difference of the two losses."""
        ours, theirs = (
            evidence.overfitting(self.metric, name) for name in (self.method, self.against)
        )
        return self.of_one(evidence.estimate(difference(ours, theirs), across=True))


@dataclass(frozen=True, kw_only=True)
class Cost(RuledClaim):
    """Seconds of training `method` per second of training `against`, from costs.csv."""

    named_in = ("method", "against")

    method: str
    against: str

    def __post_init__(self) -> None:
        """Refuse a ratio that no times can have."""
        Claim.__post_init__(self)
        if min(self.region.ends) <= 0:
            given = next(k for k in ("expected", "above", "below") if getattr(self, k) is not None)
            raise ValueError(f"{given}: a ratio of times is above 0, and so is every end of it")

    @property
    def attacks(self) -> tuple[str, ...]:
        """Time is of no test image."""
        return ()

    @property
    def measures(self) -> str:
        """The column of costs.csv."""
        return "seconds"

    @property
    def images_too(self) -> bool:
        """Time is of no test image."""
        return False

    def measured(self, evidence: Evidence) -> Measured:
        """Return the geometric mean over seeds of the paired ratios."""
        label, other = evidence.labels((self.method, self.against))
        seconds = evidence.training_seconds((label, other))
        logs = {name: {s: math.log(t) for s, t in of.items()} for name, of in seconds.items()}
        ratio = self.of_one(paired(logs[label], logs[other]))
        return replace(
            ratio,
            value=math.exp(ratio.value),
            low=None if ratio.low is None else math.exp(ratio.low),
            high=None if ratio.high is None else math.exp(ratio.high),
            scale=math.log,
        )


@dataclass(frozen=True, kw_only=True)
class Epochs(RuledClaim):
    """`column` of the histories, of `method` minus of `against`.

    `of` says whether the mean of all epochs counts, that of the second half, or the last one.
    """

    named_in = ("method", "against")

    method: str
    against: str
    column: str
    of: Literal["mean", "second_half", "last"] = "mean"

    @property
    def attacks(self) -> tuple[str, ...]:
        """A history is of no test image."""
        return ()

    @property
    def measures(self) -> str:
        """The column of history.csv."""
        return self.column

    @property
    def images_too(self) -> bool:
        """A history is of no test image."""
        return False

    def measured(self, evidence: Evidence) -> Measured:
        """Return the mean over seeds of the paired differences."""
        ours, theirs = (
            {
                seed: float(np.mean(values[self._from(len(values)) :]))
                for seed, values in evidence.of_epochs(label, self.column).items()
            }
            for label in evidence.labels((self.method, self.against))
        )
        return self.of_one(paired(ours, theirs))

    def _from(self, epochs: int) -> int:
        """Return the first place that counts."""
        return {"mean": 0, "second_half": epochs // 2, "last": epochs - 1}[self.of]


RULES: dict[str, type[RuledClaim]] = {
    "value": Value,
    "difference": Difference,
    "range": Range,
    "frontier": Frontier,
    "overfitting": Overfitting,
    "cost": Cost,
    "epochs": Epochs,
}
