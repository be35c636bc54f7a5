"""Which of the choices that a paper leaves open matter: ablations.csv, a table and a figure.

Each variant of a choice is held against the choice's base on the same images and over the seeds
that both have, with the interval over seeds and images of docs/statistics.md. From CSV files alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np

from bench.analysis.figures import ablations as forest
from bench.analysis.figures import style
from bench.analysis.flag_meanings import meaning
from bench.analysis.image_counts import Counts
from bench.analysis.labels import attack_name, distinct, row_name
from bench.analysis.robust import strongest
from bench.analysis.statistics.crossed import Estimate, over_both
from bench.analysis.statistics.evidence import Evidence, Judged, read_evidence
from bench.analysis.statistics.quantities import (
    Floats,
    Quantity,
    accuracy,
    difference,
    harmonic_mean,
    mean_accuracies,
    measure,
)
from bench.analysis.summary import to_csv
from bench.analysis.table_formats import in_cell
from bench.config.schema import Ablation
from bench.results.csv_file import decimal
from bench.runtime.errors import BenchError
from bench.runtime.files import write_bytes, write_text

SMALL = 1.0  # points: a difference below this is called none; about the error of 10,000 images
MATTERS, NONE, UNDECIDED = "matters", "does not matter", "undecided"


@dataclass(frozen=True)
class Line:
    """One line of ablations.csv, in the order of its columns; `low` to `high` is at 95 %.

    `difference` is variant minus base, in points of the accuracy under `attack` or of the harmonic
    mean of clean accuracy and that, over the `n_seeds` that both have, as are the values of both.
    `by_seed` are its values, and `flags` those of the rows of summary.csv that it is made of, each
    joined by ";".
    """

    choice: str
    base: str
    variant: str
    quantity: str
    attack: str
    n_seeds: int
    n_images: int
    base_value: float
    variant_value: float
    difference: float
    low: float | None
    high: float | None
    verdict: str
    by_seed: str
    flags: str


def ablation_lines(evidence: Evidence, ablations: Sequence[Ablation]) -> list[Line]:
    """Return the lines: for each choice and variant clean, robust and harmonic mean.

    Raises
    ------
    BenchError
        A method or checkpoint of an ablation has no verdicts, or no seed or image in common.
    """
    judged = across_checkpoints(evidence)
    robust = strongest({attack: one.accuracy.values() for attack, one in judged.items()})
    if robust is None:
        raise BenchError(
            f"{evidence.folder}: nothing was judged under an attack; add one to `evaluation` of the"
            " config"
        )
    return [
        line
        for ablation in ablations
        for variant in ablation.variants
        for line in _lines(evidence, judged, robust, ablation, variant)
    ]


def across_checkpoints(evidence: Evidence) -> dict[str, Judged]:
    """Return by attack what was judged at every checkpoint, methods called ``label/checkpoint``."""
    merged: dict[str, Judged] = {}
    for checkpoint, attacks in evidence.judged.items():
        for attack, one in attacks.items():
            named = _renamed(one, checkpoint)
            before = merged.get(attack, named)
            # Where there are no verdicts, the number of images is all that can tell.
            other = before.images != named.images
            if other or not np.array_equal(before.index, named.index):
                raise BenchError(
                    f"{evidence.folder}: best and last were judged on other images under {attack}; "
                    "judge both with one configuration"
                )
            merged[attack] = _joined(before, named)
    return merged


def _renamed(one: Judged, checkpoint: str) -> Judged:
    return Judged(
        one.images,
        {(f"{name}/{checkpoint}", seed): value for (name, seed), value in one.accuracy.items()},
        one.index,
        {(f"{name}/{checkpoint}", seed): value for (name, seed), value in one.correct.items()},
    )


def _joined(one: Judged, other: Judged) -> Judged:
    return Judged(
        one.images, {**one.accuracy, **other.accuracy}, one.index, {**one.correct, **other.correct}
    )


def _lines(
    evidence: Evidence, judged: Mapping[str, Judged], robust: str, ablation: Ablation, variant: str
) -> Iterator[Line]:
    base, changed, folder = full(ablation.base), full(variant), evidence.folder
    quantities: tuple[tuple[str, str, Callable[[str], Quantity]], ...] = (
        ("accuracy", "clean", partial(accuracy, "clean")),
        ("accuracy", robust, partial(accuracy, robust)),
        ("harmonic_mean", robust, partial(harmonic_mean, robust)),
    )
    for quantity, attack, of in quantities:
        # A method that was not judged so is named alone.
        for name in (base, changed):
            _measured(folder, judged, of(name))
        compared = difference(of(changed), of(base))
        found, mean_T = _measured(folder, judged, compared)
        # Over the seeds that both have, as the difference is.
        after_T, before_T = np.split(mean_T, [len(of(changed).terms)])
        interval = over_both(found)
        low, high = (None, None) if interval is None else (interval.low, interval.high)
        yield Line(
            choice=ablation.choice,
            base=base,
            variant=changed,
            quantity=quantity,
            attack=attack,
            n_seeds=found.seeds,
            n_images=found.images,
            base_value=float(of(base).value(before_T)),
            variant_value=float(of(changed).value(after_T)),
            difference=found.value,
            low=low,
            high=high,
            verdict=verdict(low, high),
            by_seed=";".join(map(decimal, found.by_seed)),
            flags=";".join(_flags(evidence, (base, changed), ("clean", attack))),
        )


def _flags(evidence: Evidence, names: Sequence[str], attacks: Sequence[str]) -> list[str]:
    rows = [
        row
        for row in evidence.rows
        if f"{row['method']}/{row['checkpoint']}" in names and row["attack"] in attacks
    ]
    return sorted({flag for row in rows for flag in row["flags"].split(";") if flag})


def full(name: str) -> str:
    """Return ``label/checkpoint`` of an ablation's name; ``best`` is meant where none is named."""
    label, _, checkpoint = name.partition("/")
    return f"{label}/{checkpoint or 'best'}"


def _measured(
    folder: Path, judged: Mapping[str, Judged], quantity: Quantity
) -> tuple[Estimate, Floats]:
    """Return the estimate of `quantity` and the mean accuracies [T] that it is made of."""
    found, mean_T = measure(judged, quantity), mean_accuracies(judged, quantity)
    if found is None or mean_T is None:
        raise BenchError(
            f"{folder}: {' and '.join(quantity.methods)}: no seed or no image in common under "
            f"{' and '.join(quantity.attacks)}; judge all, `checkpoints: [best, last]` included "
            "where `last` is meant"
        )
    return found, mean_T


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


def make_ablations(folder: Path, ablations: Sequence[Ablation]) -> None:
    """Write ablations.csv, tables/ablations.md and figures/ablations.* of the experiment.

    Raises
    ------
    BenchError
        The config names no ablation, or what it names was not judged.
    """
    if not ablations:
        raise BenchError(
            "ablations: the config has no such section; see config/ablations.yaml for one"
        )
    evidence = read_evidence(folder)
    lines, names = ablation_lines(evidence, ablations), display_names(evidence)
    with style.styled():
        figure = forest.draw(
            lines,
            names=names,
            marked=marked(lines, names),
            small=SMALL,
            caption=_caption(evidence, lines),
        )
        drawn = {form: style.encoded(figure, form) for form in style.FORMATS}
    write_text(folder / "ablations.csv", to_csv(Line, map(_cells, lines)))
    write_text(folder / "tables" / "ablations.md", markdown(lines, names))
    for form, data in drawn.items():
        write_bytes(folder / "figures" / f"ablations.{form}", data)


def display_names(evidence: Evidence) -> dict[str, str]:
    """Return how a reader is told of each ``label/checkpoint``; labels that differ in training."""
    named = {row["method"]: row_name(row) for row in evidence.rows}
    names = {}
    for label, own in distinct(named).items():
        names[f"{label}/best"], names[f"{label}/last"] = own, f"{own}, last epoch"
    return names


def _numbered(lines: Sequence[Line]) -> dict[str, str]:
    """Return the flags of the lines with the mark that stands for each in table and figure."""
    flags = sorted({flag for line in lines for flag in line.flags.split(";") if flag})
    return {flag: f"[f{place}]" for place, flag in enumerate(flags, 1)}


def marked(lines: Sequence[Line], names: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Return the name of each choice's variant, with the marks of the flags of its lines."""
    marks = _numbered(lines)
    flags: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        flags.setdefault((line.choice, line.variant), set()).update(line.flags.split(";"))
    return {
        (choice, variant): " ".join([names[variant], *(marks[f] for f in marks if f in own)])
        for (choice, variant), own in flags.items()
    }


def _notes(lines: Sequence[Line]) -> list[str]:
    return unadjusted(sum(line.low is not None for line in lines)) + [
        f"{mark} {flag}, of the variant or its base: {meaning(flag)}."
        for flag, mark in _numbered(lines).items()
    ]


def unadjusted(intervals: int) -> list[str]:
    """Return what to know of so many intervals, each of which stands for itself."""
    if not intervals:
        return []
    return [
        f"Every interval is at 95 % by itself: of the {intervals} in ablations.csv (clean, robust, "
        "harmonic mean) about one in twenty excludes zero even where nothing matters."
    ]


def _caption(evidence: Evidence, lines: Sequence[Line]) -> list[str]:
    first = next(row for row in evidence.rows if row["attack"] != "clean")
    return [
        f"{first['dataset']}, {first['model']}, L∞ ball of radius {first['eps']}; "
        f"{_counted(lines, 'n_seeds')} seeds, {_counted(lines, 'n_images')} test images.",
        "Variant minus base over the same seeds and images. An interval that excludes zero: the "
        f"choice matters; one within the band of {SMALL:g} point: it does not; else undecided.",
        *_notes(lines),
    ]


def markdown(lines: Sequence[Line], names: Mapping[str, str]) -> str:
    """Return the table: one row a variant, with the differences from its base."""
    variants: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        variants.setdefault((line.choice, line.variant), []).append(line)
    columns = ("clean", attack_name(lines[1].attack), "harmonic mean")
    counts = Counts(
        {
            name: [str(cells[at].n_images) for cells in variants.values()]
            for at, name in enumerate(columns)
        }
    )
    headings = " | ".join(f"{name}{counts.heading(name)}" for name in columns)
    rows = [
        f"| choice | variant | against | {headings} |",
        "|---|---|---|---|---|---|",
    ]
    written = marked(lines, names)
    for (choice, variant), cells in variants.items():
        told = " | ".join(
            f"{_told(line)}{counts.cell(name, str(line.n_images))}"
            for name, line in zip(columns, cells, strict=True)
        )
        name, base = written[choice, variant], names[cells[0].base]
        rows.append(f"| {in_cell(choice)} | {name} | {base} | {told} |")
    rows += [
        "",
        "Variant minus base in points, with the 95 % interval over seeds and images (`crossed_t` of"
        f" docs/statistics.md); {_counted(lines, 'n_seeds')} seeds, {_counted(lines, 'n_images')}"
        f" images. **Bold**: the interval excludes zero. *Italic*: it lies within {SMALL:g} point."
        " Neither: undecided.",
        *(line for note in _notes(lines) for line in ("", note)),
    ]
    return "\n".join(rows) + "\n"


def _counted(lines: Sequence[Line], field: str) -> str:
    numbers = sorted({getattr(line, field) for line in lines})
    return " to ".join(str(number) for number in dict.fromkeys((numbers[0], numbers[-1])))


def _told(line: Line) -> str:
    text = decimal(line.difference, sign="+")
    if line.low is not None and line.high is not None:
        text += f" [{decimal(line.low, sign='+')}, {decimal(line.high, sign='+')}]"
    mark = {MATTERS: "**", NONE: "*", UNDECIDED: ""}[line.verdict]
    return f"{mark}{text}{mark}"


def _cells(line: Line) -> list[str]:
    values = (getattr(line, field.name) for field in fields(line))
    return [decimal(value) if isinstance(value, float) else _text(value) for value in values]


def _text(value: object) -> str:
    return "" if value is None else str(value)
