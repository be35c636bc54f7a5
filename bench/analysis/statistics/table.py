"""statistics.csv: every estimate with each of its intervals, one a row; docs/statistics.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from bench.analysis.names import names_of
from bench.analysis.robust import strongest
from bench.analysis.statistics.crossed import (
    Estimate,
    Interval,
    holm,
    over_both,
    over_both_moderated,
    over_images,
    over_seeds,
    over_seeds_moderated,
    wilson_over_images,
)
from bench.analysis.statistics.moderated import LEAST_SEEDS
from bench.analysis.statistics.outcomes import ByAttack, Outcomes, read_outcomes
from bench.analysis.statistics.quantities import (
    Quantity,
    accuracy,
    difference,
    front_distance,
    harmonic_mean,
    measure,
)
from bench.results.columns import STATISTICS
from bench.results.experiment import ExperimentResults
from bench.results.tables import from_rows

SEEDS, BOTH, IMAGES, WILSON = "seeds_t", "crossed_t", "images_t", "images_wilson"
SEEDS_MODERATED, BOTH_MODERATED = "seeds_moderated_t", "crossed_moderated_t"
MODERATED = (SEEDS_MODERATED, BOTH_MODERATED)
# What would be different if the experiment were repeated.
ABOUT = {
    SEEDS: "other seeds, these images",
    BOTH: "other seeds, other images",
    SEEDS_MODERATED: "other seeds, these images",
    BOTH_MODERATED: "other seeds, other images",
    IMAGES: "these models, other images",
    WILSON: "these models, other images",
}
POSSIBLE = ("accuracy", "harmonic_mean")  # between 0 and 100, as differences are not
TESTED = ("accuracy_difference", "harmonic_mean_difference")


def statistics(results: ExperimentResults) -> pd.DataFrame:
    """Return statistics.csv: by checkpoint and attack, then what combines two attacks.

    Raises
    ------
    BenchError
        Runs were evaluated on different images, or a file is not what summary.csv counted.
    """
    first = results.ours.iloc[0]
    origin = {name: first[name] for name in ("experiment", "dataset")}
    models = results.ours.drop_duplicates("method").set_index("method")["model"].to_dict()
    rows = [
        {**origin, "model": models[row["method"]], "checkpoint": checkpoint, **row}
        for checkpoint, outcomes in read_outcomes(results).items()
        for row in _rows(list(names_of(results.ours)), outcomes, models)
    ]
    return _adjusted(from_rows(STATISTICS, rows))


def deciding(found: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of statistics.csv that say whether a difference is more than chance."""
    moderated = found[(found["interval"] == BOTH_MODERATED) & found["low"].notna()]
    moderated = moderated[moderated["n_seeds"] >= LEAST_SEEDS]
    key = ["checkpoint", "quantity", "attack", "method", "against"]
    plain = found[found["interval"] == BOTH]
    return pd.concat([moderated, plain]).drop_duplicates(key).sort_index()


def _rows(
    methods: Sequence[str], outcomes: ByAttack, models: Mapping[str, str]
) -> Iterator[dict[str, Any]]:
    for quantity, attack, method, against, of in _quantities(methods, outcomes, models):
        found = measure(outcomes, of)
        if found is None:
            continue
        estimated = {
            "quantity": quantity,
            "attack": attack,
            "method": method,
            "against": against,
            "n_seeds": found.seeds,
            "seeds": ";".join(map(str, found.numbers)),
            "n_images": found.images,
            "estimate": found.value,
            "std": found.spread,
            "family": "",
            "own_spread": "",
        }
        for interval, ends in _intervals(quantity, found).items():
            borrowed = _borrowed(found) if interval in MODERATED else {}
            yield {**estimated, "interval": interval, "about": ABOUT[interval], **ends, **borrowed}


def _quantities(
    methods: Sequence[str], outcomes: Mapping[str, Outcomes], models: Mapping[str, str]
) -> Iterator[tuple[str, str, str, str, Quantity]]:
    """Yield the name, attack, method and other method of every quantity of a checkpoint."""
    for attack in outcomes:
        for method in methods:
            yield "accuracy", attack, method, "", accuracy(attack, method)
        for one, other in combinations(methods, 2):
            of = difference(accuracy(attack, one), accuracy(attack, other))
            yield "accuracy_difference", attack, one, other, of
    robust = strongest({attack: one.accuracy.values() for attack, one in outcomes.items()})
    if robust is None or "clean" not in outcomes:
        return
    for method in methods:
        yield "harmonic_mean", robust, method, "", harmonic_mean(robust, method)
    for one, other in combinations(methods, 2):
        of = difference(harmonic_mean(robust, one), harmonic_mean(robust, other))
        yield "harmonic_mean_difference", robust, one, other, of
    for method in methods:
        # A method that was not evaluated so is on no front, nor is one of another network.
        others = [
            name
            for name in methods
            if name != method and models[name] == models[method] and outcomes[robust].seeds([name])
        ]
        if others:
            of = front_distance(robust, method, others)
            yield "front_distance", robust, method, "all others", of


def _intervals(quantity: str, found: Estimate) -> dict[str, dict[str, float | None]]:
    """Return each interval's cells; one that cannot be known has none."""
    intervals: dict[str, Interval | None] = {
        SEEDS: over_seeds(found),
        BOTH: over_both(found),
        SEEDS_MODERATED: over_seeds_moderated(found),
        BOTH_MODERATED: over_both_moderated(found),
    }
    if quantity != "accuracy":
        intervals[IMAGES] = over_images(found)
    least = 0.0 if quantity in POSSIBLE else -100.0
    cells: dict[str, dict[str, float | None]] = {
        name: {}
        if interval is None
        else {
            "low": max(interval.low, least),
            "high": min(interval.high, 100.0),
            "standard_error": interval.standard_error,
            "df": interval.df,
            "p": interval.p if quantity in TESTED else None,
        }
        for name, interval in intervals.items()
    }
    if quantity == "accuracy":
        ends = wilson_over_images(found)
        cells[WILSON] = {} if ends is None else {"low": ends[0], "high": ends[1]}
    return cells


def _borrowed(found: Estimate) -> dict[str, Any]:
    if found.moderated is None:
        return {}
    return {
        "p_equal_spreads": found.moderated.p_equal,
        "own_spread": ";".join(found.moderated.own),
    }


def _adjusted(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with the p values of each family adjusted, and the family's name."""
    tested = frame[frame["p"].notna()]
    for key, family in tested.groupby(["quantity", "checkpoint", "attack", "interval"]):
        frame.loc[family.index, "p_holm"] = holm(family["p"].tolist())
        frame.loc[family.index, "family"] = f"{' '.join(key)}: {len(family)} pairs"
    return frame
