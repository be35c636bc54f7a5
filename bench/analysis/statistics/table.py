"""statistics.csv: every estimate with each of its intervals, one a line; docs/statistics.md.

It needs summary.csv and the verdicts, neither weights nor a device, and nothing in it depends on
the clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import combinations
from pathlib import Path

from bench.analysis.robust import strongest
from bench.analysis.statistics.bootstrap import Bootstrap
from bench.analysis.statistics.crossed import (
    Estimate,
    Interval,
    holm,
    over_both,
    over_images,
    over_seeds,
    wilson_over_images,
)
from bench.analysis.statistics.evidence import Evidence, Judged, read_evidence
from bench.analysis.statistics.quantities import (
    Quantity,
    accuracy,
    difference,
    front_distance,
    harmonic_mean,
    measure,
    shared,
)
from bench.analysis.summary import to_csv
from bench.results.csv_file import decimal
from bench.runtime.files import write_text

SEEDS, BOTH, BOOTSTRAP = "seeds_t", "crossed_t", "crossed_bootstrap"
IMAGES, WILSON = "images_t", "images_wilson"
# Of what an interval speaks: what would be different were the experiment done again.
ABOUT = {
    SEEDS: "other seeds, these images",
    BOTH: "other seeds, other images",
    BOOTSTRAP: "other seeds, other images",
    IMAGES: "these models, other images",
    WILSON: "these models, other images",
}
DIFFERENCES = ("accuracy_difference", "harmonic_mean_difference")


@dataclass(frozen=True)
class Line:
    """One line of statistics.csv, in the order of its columns; docs/statistics.md describes them.

    None is an empty cell: what cannot be known from these seeds or images.
    """

    experiment: str
    dataset: str
    model: str
    checkpoint: str
    quantity: str
    attack: str
    method: str
    against: str
    n_seeds: int
    seeds: str
    n_images: int
    estimate: float
    std: float | None
    interval: str
    about: str
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    df: float | None = None
    p: float | None = None
    p_holm: float | None = None
    family: str = ""


def make_statistics(folder: Path) -> None:
    """Write statistics.csv of the experiment in `folder`.

    Raises
    ------
    BenchError
        Naming the file that is missing or is not of the same images as the others.
    """
    lines = statistics_lines(read_evidence(folder))
    write_text(folder / "statistics.csv", to_csv(Line, map(_cells, lines)))


def statistics_lines(evidence: Evidence) -> list[Line]:
    """Return every line: by checkpoint and attack, then what combines two attacks."""
    lines: list[Line] = []
    for checkpoint, judged in evidence.judged.items():
        bootstrap = Bootstrap(judged)
        for quantity, attack, method, against, of in _quantities(evidence.methods, judged):
            found, common = measure(judged, of), shared(judged, of)
            if found is None or common is None:
                continue
            first = evidence.rows[0]
            line = Line(
                experiment=first["experiment"],
                dataset=first["dataset"],
                model=first["model"],
                checkpoint=checkpoint,
                quantity=quantity,
                attack=attack,
                method=method,
                against=against,
                n_seeds=found.seeds,
                seeds=";".join(map(str, common[1])),
                n_images=found.images,
                estimate=found.value,
                std=found.spread,
                interval="",
                about="",
            )
            lines += _with_intervals(line, found, bootstrap.interval(of))
    return _adjusted(lines)


def _quantities(
    methods: Sequence[str], judged: Mapping[str, Judged]
) -> Iterator[tuple[str, str, str, str, Quantity]]:
    """Yield the name, attack, method and other method of every quantity of a checkpoint."""
    for attack in judged:
        for method in methods:
            yield "accuracy", attack, method, "", accuracy(attack, method)
        for one, other in combinations(methods, 2):
            of = difference(accuracy(attack, one), accuracy(attack, other))
            yield "accuracy_difference", attack, one, other, of
    robust = strongest({attack: one.accuracy.values() for attack, one in judged.items()})
    if robust is None or "clean" not in judged:
        return
    for method in methods:
        yield "harmonic_mean", robust, method, "", harmonic_mean(robust, method)
    for one, other in combinations(methods, 2):
        of = difference(harmonic_mean(robust, one), harmonic_mean(robust, other))
        yield "harmonic_mean_difference", robust, one, other, of
    for method in methods:
        # A method that was not judged so is on no front.
        others = [name for name in methods if name != method and judged[robust].seeds([name])]
        if others:
            of = front_distance(robust, method, others)
            yield "front_distance", robust, method, "all others", of


def _with_intervals(
    line: Line, found: Estimate, drawn: tuple[float, float] | None
) -> Iterator[Line]:
    """Yield the line once for each of its intervals; one that cannot be known has no bounds."""
    possible = line.quantity in ("accuracy", "harmonic_mean")
    tested = line.quantity in DIFFERENCES
    intervals: dict[str, Interval | None] = {SEEDS: over_seeds(found), BOTH: over_both(found)}
    if line.quantity != "accuracy":
        intervals[IMAGES] = over_images(found)
    for name, interval in intervals.items():
        own = replace(line, interval=name, about=ABOUT[name])
        if interval is not None:
            low, high = interval.low, interval.high
            own = replace(
                own,
                low=max(low, 0.0 if possible else -100.0),
                high=min(high, 100.0),
                standard_error=interval.standard_error,
                df=interval.df,
                p=interval.p if tested else None,
            )
        yield own
    bounds = {BOOTSTRAP: drawn}
    if line.quantity == "accuracy":
        bounds[WILSON] = wilson_over_images(found)
    for name, ends in bounds.items():
        own = replace(line, interval=name, about=ABOUT[name])
        yield own if ends is None else replace(own, low=ends[0], high=ends[1])


def _adjusted(lines: Sequence[Line]) -> list[Line]:
    """Return the lines with the p values of each family adjusted, and the family's name."""
    families: dict[tuple[str, str, str, str], list[int]] = {}
    for place, line in enumerate(lines):
        if line.p is not None:
            key = (line.quantity, line.checkpoint, line.attack, line.interval)
            families.setdefault(key, []).append(place)
    adjusted = list(lines)
    for key, places in families.items():
        name = f"{' '.join(key)}: {len(places)} pairs"
        for place, p in zip(places, holm([lines[i].p for i in places]), strict=True):
            adjusted[place] = replace(lines[place], p_holm=p, family=name)
    return adjusted


def _cells(line: Line) -> list[str]:
    return [_cell(field.name, getattr(line, field.name)) for field in fields(line)]


def _cell(column: str, value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    if column in ("p", "p_holm"):
        return f"{value:.4g}"
    return decimal(value, 4)
