"""The verdict on a claim, from where its interval lies; never from what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis.claims.claim import Region
from bench.analysis.claims.evidence import Evidence, NotRunError
from bench.analysis.claims.rules import Measured, RuledClaim
from bench.analysis.statistics.crossed import LEVEL, MOST_SEEDS, needed, simultaneous

REPRODUCED, NOT_REPRODUCED = "reproduced", "not reproduced"
OBSERVED, NOT_OBSERVED = "observed here", "not observed here"
NO_GAIN, NO_GAIN_HERE = "no gain worth having", "no gain worth having here"
INCONCLUSIVE, NOT_RUN = "inconclusive", "not run"
MEANINGS = {
    REPRODUCED: "the interval lies within what is claimed",
    NOT_REPRODUCED: "it lies outside",
    NO_GAIN: "it lies below the least gain that the claim's file says is worth having",
    OBSERVED: "the interval lies within what is claimed, on other data, models or images than it is"
    " claimed for",
    NOT_OBSERVED: "it lies outside, on other data, models or images than it is claimed for",
    NO_GAIN_HERE: "it lies below the least gain that is worth having, on other data, models or"
    " images than it is claimed for",
    INCONCLUSIVE: "the interval is on both sides of an end, or there is none",
    NOT_RUN: "something is missing, or the claim's numbers are of other data",
}


@dataclass(frozen=True, eq=False)
class Verdict:
    """A claim with its verdict and the reason; `measured` is None where it was not run."""

    claim: RuledClaim
    verdict: str
    detail: str
    labels: tuple[str, ...] = ()
    measured: Measured | None = None
    flags: tuple[str, ...] = ()


def decide(claim: RuledClaim, evidence: Evidence) -> Verdict:
    """Return the verdict that `evidence` allows on `claim`."""
    try:
        # Said first: on other data it is of no use to add what a number is about.
        if claim.kind == "number" and (place := evidence.other_data()):
            raise NotRunError(f"stated for {claim.scope}; {place}")
        labels = tuple(evidence.labels(claim.names))
        evidence.check_network(labels)
        elsewhere = evidence.elsewhere(labels, claim.attacks)
        if elsewhere and claim.kind == "number":
            raise NotRunError(f"stated for {claim.scope}; {elsewhere}")
        evidence.check_seeds(labels, claim.attacks)
        measured = claim.measured(evidence)
    except NotRunError as missing:
        return Verdict(claim, NOT_RUN, str(missing))
    # What is of no test image is of no attack either.
    flags = evidence.flags(labels, claim.attacks) if claim.attacks else set()
    flags |= evidence.flags_of_training(labels)
    found = side(measured, claim.region)
    if found is None and no_gain(measured, claim.worth):
        verdict, detail = NO_GAIN_HERE if elsewhere else NO_GAIN, elsewhere
    elif found is None:
        verdict, detail = INCONCLUSIVE, undecided(measured, claim.region, claim.worth)
    elif elsewhere:
        verdict, detail = OBSERVED if found else NOT_OBSERVED, elsewhere
    else:
        verdict, detail = REPRODUCED if found else NOT_REPRODUCED, ""
    return Verdict(claim, verdict, detail, labels, measured, tuple(sorted(flags)))


def side(measured: Measured, region: Region) -> bool | None:
    """Return whether the interval lies in the region, None where it is not all on one side.

    An interval that touches an end is on neither side: what is wide, by noise or few seeds, never
    helps a claim.
    """
    if measured.reason or measured.low is None or measured.high is None:
        return None
    if region.low < measured.low and measured.high < region.high:
        return True
    if measured.high < region.low or region.high < measured.low:
        return False
    return None


def no_gain(measured: Measured, worth: float | None) -> bool:
    """Say whether the interval lies below the least gain that is worth having, if one is named."""
    if worth is None or measured.reason or measured.high is None:
        return False
    return measured.high < worth


def undecided(measured: Measured, region: Region, worth: float | None = None) -> str:
    """Return why there is no verdict, and how many seeds or images would give one."""
    binding = measured.binding
    if measured.reason:
        return measured.reason
    if binding.spread is None:
        return "one seed: the spread over seeds is unknown; two are the least, three are better"
    if measured.low is None:
        return (
            f"all {binding.seeds} seeds give the same number, which says little of their spread; "
            "more seeds are needed"
        )
    gap, level = _deciding_gap(measured, region, worth)
    least = needed(
        binding,
        gap,
        images_too=measured.images_too,
        # More seeds are enough of them to borrow.
        moderated=binding.moderated is not None,
        level=level,
    )
    if least.seeds is not None:
        return f"about {least.seeds} seeds would decide if the estimate stays"
    if least.images is not None:
        return (
            f"no number of seeds decides on {binding.images} images; about {least.images} images "
            "would, with many seeds and if the estimate stays"
        )
    return f"not even {MOST_SEEDS} seeds would decide if the estimate stays so near an end"


def _deciding_gap(measured: Measured, region: Region, worth: float | None) -> tuple[float, float]:
    """Return how narrow the interval must be on the side that decides, and that end's level."""
    scale, strict = measured.scale, simultaneous(measured.compared)
    value = scale(measured.value)
    gap = min(abs(value - scale(end)) for end in region.ends)
    if worth is not None and scale(worth) - value > gap:
        return scale(worth) - value, strict
    return gap, LEVEL if region.low < measured.value < region.high else strict
