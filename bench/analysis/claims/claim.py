"""A claim as a file states it: what is claimed, where, and the rule that decides it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from bench.config.parsing import Pixels, Unit
from bench.results.attack_result import WORST
from bench.results.published import METRICS
from bench.results.text import eps_text

HARMONIC = "harmonic_mean"
KNOWN_METRICS = (*METRICS, WORST, HARMONIC)
Number = Annotated[float, Unit("a number", low=-math.inf, high=math.inf)]
Margin = Annotated[float, Unit("a number above 0", low=1e-12, high=math.inf)]


@dataclass(frozen=True, kw_only=True)
class Scope:
    """The results that a claim is stated for."""

    dataset: str
    model: str
    eps: Pixels
    checkpoint: Literal["best", "last"] = "best"

    def __str__(self) -> str:
        """Return it as sentences name it."""
        return f"{self.dataset}, {self.model}, eps {eps_text(self.eps)}"


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A method by what is trained: its registered name and all of its options.

    `label` chooses among the labels of a configuration that stand for the same method and options
    but differ in their training. Without it the one trained by the shared recipe is meant.
    """

    method: str
    options: str
    given: str
    label: str | None = None

    def __str__(self) -> str:
        """Return it as sentences name it, with the options that the file gives."""
        return f"{self.method} ({self.given})" if self.given else self.method


@dataclass(frozen=True)
class Region:
    """The values at which a claim is true, between two ends that do not belong to it."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def ends(self) -> tuple[float, ...]:
        """Its finite ends."""
        return tuple(end for end in (self.low, self.high) if math.isfinite(end))


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One statement; a rule adds the methods that it is about.

    It is true within `margin` of `expected`, or `above` or `below` a bound. A claim of the kind
    "number" holds for its scope alone; one of the kind "order" can be looked at on other data. A
    gain, a number `above` a bound, has the least that is `worth` having. `about` says whether it is
    what the memory itself does, and `printed` what the paper's own numbers give where the claim is
    an order.
    """

    id: str
    text: str
    source: str
    kind: Literal["number", "order"]
    rule: str
    scope: Scope
    expected: Number | None = None
    margin: Margin | None = None
    above: Number | None = None
    below: Number | None = None
    worth: Number | None = None
    about: Literal["memory"] | None = None
    printed: Number | None = None

    # Keys of a claim that hold names of the file's methods.
    named_in: ClassVar[tuple[str, ...]] = ("method",)

    def __post_init__(self) -> None:
        """Refuse a claim that does not say in one way when it is true."""
        given = [key for key in ("expected", "above", "below") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected: a claim has one of expected (with margin), above and below, this has "
                f"{' and '.join(given) or 'none'}"
            )
        if (self.expected is None) != (self.margin is None):
            raise ValueError("margin: it belongs to expected, and expected needs it")
        if self.worth is not None and (self.above is None or self.worth <= self.above):
            raise ValueError("worth: it belongs to above, and is more than that")
        if self.printed is not None and self.expected is not None:
            raise ValueError("printed: expected says it; leave it out")

    @property
    def region(self) -> Region:
        """Where the claim is true."""
        if self.expected is not None and self.margin is not None:
            return Region(self.expected - self.margin, self.expected + self.margin)
        if self.above is not None:
            return Region(low=self.above)
        return Region(high=math.inf if self.below is None else self.below)

    @property
    def claimed(self) -> str:
        """The region as a table shows it."""
        if self.expected is not None:
            return f"{self.expected:g} ± {self.margin:g}"
        return f"above {self.above:g}" if self.above is not None else f"below {self.below:g}"

    @property
    def attacks(self) -> tuple[str, ...]:
        """The attacks that it is about, `clean` among them; none where it is of no test image."""
        return ("clean", "autoattack") if self.measures == HARMONIC else (self.measures,)

    @property
    def measures(self) -> str:
        """What claims.csv calls its metric; a rule without the key `metric` says it itself."""
        return str(self.metric)  # type: ignore[attr-defined]

    @property
    def names(self) -> tuple[str, ...]:
        """The file's names of the methods that it is about."""
        found: list[str] = []
        for key in self.named_in:
            value = getattr(self, key)
            found += [value] if isinstance(value, str) else value
        return tuple(dict.fromkeys(found))
