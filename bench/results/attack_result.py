"""What one attack did to one checkpoint, and what all attacks together did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from bench.results.records import AttackRecord
from bench.results.wilson import wilson

WORST = "worst_case"
SAME_EPS = 1e-6


@dataclass(frozen=True, eq=False)
class AttackResult:
    """One attack on one checkpoint: its record, and the per-example results that bear it out.

    `examples` has a row an image: index, label, clean and robust (bool), broken_by.
    """

    record: AttackRecord
    examples: pd.DataFrame

    @property
    def accuracy(self) -> float:
        """Share of the images that are classified correctly under the attack, percent."""
        return 100 * self.record.correct / self.record.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of `accuracy` over images, percent."""
        return wilson(self.record.correct, self.record.n)

    @property
    def seeds(self) -> int | None:
        """How many seeds the attack was repeated with; None where it had one alone."""
        return len(self.record.correct_by_seed) or None

    @property
    def spread(self) -> float | None:
        """Largest minus smallest accuracy over these seeds, points."""
        counts = self.record.correct_by_seed.values()
        return 100 * (max(counts) - min(counts)) / self.record.n if counts else None


def robust_images(results: Mapping[str, AttackResult]) -> pd.DataFrame:
    """Return which images, by index, are robust under each attack; NA where it attacked others."""
    return pd.DataFrame(
        {
            attack: result.examples.set_index("index")["robust"].astype("boolean")
            for attack, result in results.items()
        }
    )


def worst_case(results: Mapping[str, AttackResult]) -> AttackResult | None:
    """Return what all attacks at once did: robust is an image that is robust under each.

    It has the images that every attack got. None where there are none, where there is one attack
    alone, or where their radii differ.
    """
    attacks = {attack: one for attack, one in results.items() if attack != "clean"}
    radii = [one.record.eps for one in attacks.values()]
    if len(attacks) < 2 or max(radii) - min(radii) > SAME_EPS:
        return None
    robust = robust_images(attacks).dropna()
    if robust.empty:
        return None
    first = next(iter(attacks.values()))
    examples = first.examples.set_index("index").loc[robust.index]
    examples = examples.assign(robust=robust.all(axis=1), broken_by="").reset_index()
    record = AttackRecord(
        source="all attacks",
        seed=None,
        eps=first.record.eps,
        n=len(examples),
        correct=int(examples["robust"].sum()),
        seconds=sum(one.record.seconds for one in attacks.values()),
        peak_memory_mb=None,
        sha256="",
        flags=tuple({flag for one in attacks.values() for flag in one.record.flags}),
        details={},
    )
    return AttackResult(record, examples)
