"""Which of the choices that a paper leaves open matter.

Each variant of a choice is compared with the choice's base on the same images and over the seeds
that both have, with the interval over seeds and images of docs/statistics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from bench.analysis.names import attack_name, network_names
from bench.analysis.robust import strongest
from bench.analysis.sheets import NOT_MEASURED, Sheet, intervals, numbers, with_images
from bench.analysis.statistics.crossed import Estimate, over_both
from bench.analysis.statistics.outcomes import Outcomes, across_checkpoints
from bench.analysis.statistics.quantities import (
    Quantity,
    accuracy,
    difference,
    harmonic_mean,
    measure,
)
from bench.config.schema import Ablation
from bench.results.columns import ABLATIONS
from bench.results.experiment import ExperimentResults
from bench.results.flags import flags_of, meaning
from bench.results.tables import from_rows
from bench.results.text import decimal
from bench.runtime.errors import BenchError

SMALL = 1.0  # points: a difference below this is called none; about the error of 10,000 images
MATTERS, NONE, UNDECIDED = "matters", "does not matter", "undecided"
REMARKS = {MATTERS: " (matters)", NONE: " (does not matter)", UNDECIDED: ""}


def ablations_table(results: ExperimentResults, ablations: Sequence[Ablation]) -> pd.DataFrame:
    """Return ablations.csv: for each choice and variant clean, robust and harmonic mean.

    Raises
    ------
    BenchError
        The config names no ablation, or a method or checkpoint of one has no results, or no seed
        or image in common.
    """
    if not ablations:
        raise BenchError(
            "ablations: the config has no such section; see config/ablations.yaml for one"
        )
    outcomes = across_checkpoints(results)
    robust = strongest({attack: one.accuracy.values() for attack, one in outcomes.items()})
    if robust is None:
        raise BenchError(
            f"{results.paths.folder}: nothing was evaluated under an attack; add one to "
            "`evaluation` of the config"
        )
    rows = [
        row
        for ablation in ablations
        for variant in ablation.variants
        for row in _rows(results, outcomes, robust, ablation, variant)
    ]
    return from_rows(ABLATIONS, rows)


def full(name: str) -> str:
    """Return ``label/checkpoint`` of an ablation's name; ``best`` is meant where none is named."""
    label, _, checkpoint = name.partition("/")
    return f"{label}/{checkpoint or 'best'}"


def verdict(low: float | None, high: float | None) -> str:
    """Return what an interval of a difference says; without one, with one seed, nothing.

    A choice matters where the interval excludes zero, and does not where it lies within a point.
    Where both hold it matters, if little.
    """
    if low is None or high is None:
        return UNDECIDED
    if low > 0 or high < 0:
        return MATTERS
    return NONE if low > -SMALL and high < SMALL else UNDECIDED


def flag_marks(table: pd.DataFrame) -> dict[str, str]:
    """Return the flags of a table with the mark of each of them."""
    flags = sorted(flags_of(table["flags"]))
    return {flag: f"[f{place}]" for place, flag in enumerate(flags, 1)}


def unadjusted(table: pd.DataFrame) -> list[str]:
    """Return what to know of so many intervals, each of which holds by itself."""
    intervals = int(table["low"].notna().sum())
    if not intervals:
        return []
    return [
        f"Every interval is at 95 % by itself: of the {intervals} in ablations.csv (clean, robust, "
        "harmonic mean) about one in twenty excludes zero even where nothing matters."
    ]


def ablations_sheet(results: ExperimentResults, table: pd.DataFrame) -> Sheet:
    """Return one row for each variant, with its differences from the base side by side."""
    names, marks = network_names(results.ours), flag_marks(table)
    quantity = table["attack"].map(lambda attack: attack_name(attack).replace("Clean", "clean"))
    quantity = quantity.where(table["quantity"] == "accuracy", "harmonic mean")
    cells = dict(list(table.groupby(quantity, sort=False)))
    first = cells["clean"]
    flags = table.groupby(["choice", "variant"])["flags"].agg(flags_of)
    variants = [
        " ".join([names[variant], *(marks[flag] for flag in sorted(flags[choice, variant]))])
        for choice, variant in zip(first["choice"], first["variant"], strict=True)
    ]
    seeds, images = (_span(table[column]) for column in ("n_seeds", "n_images"))
    return Sheet(
        name="ablations",
        caption="Variant minus base in points, with the 95 % interval over seeds and images "
        f"(`crossed_t` of docs/statistics.md); {seeds} seeds, {images} images. A choice matters "
        f"where the interval excludes zero, and does not where it lies within {SMALL:g} point; "
        "else it is undecided.",
        body=pd.DataFrame(
            {
                "choice": first["choice"].tolist(),
                "variant": variants,
                "against": [names[base] for base in first["base"]],
                **with_images({k: (_cells(rows), rows["n_images"]) for k, rows in cells.items()}),
            }
        ),
        notes=unadjusted(table)
        + [
            f"{mark} {flag}, of the variant or its base: {meaning(flag)}."
            for flag, mark in marks.items()
        ],
        words=6,
        filters={"choice": ""},
    )


def _rows(
    results: ExperimentResults,
    outcomes: Mapping[str, Outcomes],
    robust: str,
    ablation: Ablation,
    variant: str,
) -> Iterator[dict[str, Any]]:
    base, changed, folder = full(ablation.base), full(variant), str(results.paths.folder)
    quantities: tuple[tuple[str, str, Callable[[str], Quantity]], ...] = (
        ("accuracy", "clean", partial(accuracy, "clean")),
        ("accuracy", robust, partial(accuracy, robust)),
        ("harmonic_mean", robust, partial(harmonic_mean, robust)),
    )
    for quantity, attack, of in quantities:
        # A method that was not evaluated so is named alone.
        for name in (base, changed):
            _measured(folder, outcomes, of(name))
        found = _measured(folder, outcomes, difference(of(changed), of(base)))
        # Over the seeds that both have, as the difference is.
        after_T, before_T = np.split(found.means, [len(of(changed).terms)])
        interval = over_both(found)
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        yield {
            "choice": ablation.choice,
            "base": base,
            "variant": changed,
            "quantity": quantity,
            "attack": attack,
            "n_seeds": found.seeds,
            "n_images": found.images,
            "base_value": float(of(base).value(before_T)),
            "variant_value": float(of(changed).value(after_T)),
            "difference": found.value,
            "low": low,
            "high": high,
            "verdict": verdict(low, high),
            "by_seed": ";".join(map(decimal, found.by_seed)),
            "flags": ";".join(_flags(results.ours, (base, changed), ("clean", attack))),
        }


def _measured(folder: str, outcomes: Mapping[str, Outcomes], quantity: Quantity) -> Estimate:
    found = measure(outcomes, quantity)
    if found is None:
        raise BenchError(
            f"{folder}: {' and '.join(quantity.methods)}: no seed or no image in common under "
            f"{' and '.join(quantity.attacks)}; evaluate all, `checkpoints: [best, last]` included "
            "where `last` is meant"
        )
    return found


def _flags(rows: pd.DataFrame, names: Sequence[str], attacks: Sequence[str]) -> list[str]:
    places = rows["method"] + "/" + rows["checkpoint"]
    return sorted(flags_of(rows.loc[places.isin(names) & rows["attack"].isin(attacks), "flags"]))


def _span(numbers: pd.Series) -> str:
    ends = dict.fromkeys((int(numbers.min()), int(numbers.max())))
    return " to ".join(map(str, ends))


def _cells(rows: pd.DataFrame) -> list[str]:
    found = zip(
        numbers(rows["difference"], sign="+"),
        intervals(rows["low"], rows["high"], sign="+"),
        rows["verdict"],
        strict=True,
    )
    return [
        text + (f" {interval}" if interval != NOT_MEASURED else "") + REMARKS[verdict]
        for text, interval, verdict in found
    ]
