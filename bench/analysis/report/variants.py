"""The ablations: each variant of an open choice against its base, where the experiment has any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from bench.analysis.ablations import SMALL, unadjusted
from bench.analysis.figures.known import Known
from bench.analysis.image_counts import Counts
from bench.analysis.labels import attack_name
from bench.analysis.report.flags import marks
from bench.analysis.report.grid import Cell, Column, Grid, Line, Mark, between, chosen_from, plain
from bench.analysis.report.material import Rows
from bench.analysis.report.numbers import optional

Row = Mapping[str, str]


def ablations_grid(rows: Rows, known: Known, path: Path) -> Grid:
    """Return a row for each variant, with its differences from the base side by side."""
    quantities: dict[tuple[str, str], str] = {}
    variants: dict[tuple[str, str, str], dict[tuple[str, str], Row]] = {}
    for row in rows:
        key = (row["quantity"], row["attack"])
        name = attack_name(row["attack"]) if key[0] == "accuracy" else "Harmonic mean"
        quantities[key] = name
        variants.setdefault((row["choice"], row["variant"], row["base"]), {})[key] = row
    counts = Counts(
        {
            str(key): [found[key]["n_images"] for found in variants.values() if key in found]
            for key in quantities
        }
    )
    lines = [
        Line(
            [
                Cell(choice),
                Cell(_name(variant, known), marks=_marks(found.values())),
                Cell(_name(base, known)),
                *(_difference(found.get(key), path, str(key), counts) for key in quantities),
            ],
            {"choice": choice},
        )
        for (choice, variant, base), found in variants.items()
    ]
    return Grid(
        name="ablations",
        caption="Variant minus base in points, over the same seeds and images.",
        columns=[
            Column("Choice"),
            Column("Variant"),
            Column("Against"),
            *(
                Column(f"{name}{counts.heading(str(key))}", True)
                for key, name in quantities.items()
            ),
        ],
        lines=lines,
        filters=[chosen_from("choice", "Choice", lines, {})],
        notes=[
            f"[ ]: 95 % over seeds and images. A choice matters where it leaves out zero, does not "
            f"where it lies within {SMALL:g} point, and is undecided otherwise.",
            *unadjusted(sum(row["low"] != "" for row in rows)),
        ],
    )


def _name(at: str, known: Known) -> str:
    label, _, checkpoint = at.partition("/")
    name = known.names.get(label, label)
    return f"{name}, last epoch" if checkpoint == "last" else name


def _marks(rows: Iterable[Row]) -> list[Mark]:
    return list(dict.fromkeys(mark for row in rows for mark in marks(row)))


def _difference(row: Row | None, path: Path, key: str, counts: Counts) -> Cell:
    value = optional(row, "difference", path) if row else None
    if row is None or value is None:
        return Cell("–")
    interval = between(optional(row, "low", path), optional(row, "high", path))
    return Cell(
        f"{'+' if value > 0 else ''}{plain(value)}{counts.cell(key, row['n_images'])}",
        value,
        below=": ".join(filter(None, (row["verdict"], interval))),
    )
