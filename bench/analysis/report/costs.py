"""What each method costs, as tables/costs.csv tells it."""

from __future__ import annotations

from pathlib import Path

from bench.analysis.cost_table import Spent, notes, spent
from bench.analysis.figures.known import Known
from bench.analysis.labels import attack_name
from bench.analysis.report.grid import ABSENT, Cell, Column, Grid, Line, number, plain
from bench.analysis.report.material import Material
from bench.analysis.report.numbers import optional

NUMBERS = ("seconds", "peak_memory_mb", "images_per_second", "forward_passes", "backward_passes")


def costs_grid(material: Material, known: Known, folder: Path) -> Grid | None:
    """Return the table, None where there is no costs.csv."""
    if material.costs is None:
        return None
    for row in material.costs:
        for column in NUMBERS:
            optional(row, column, folder / "costs.csv")
    lines = spent(material.costs, material.summary)
    lines.sort(key=lambda line: known.order.index(line.label))
    attack = attack_name(lines[0].attack) if lines[0].attack else "Robust"
    return Grid(
        name="costs",
        caption="What one training costs: mean over seeds.",
        columns=[
            Column("Method"),
            Column("Seeds", True),
            Column("Training, s", True, "mean ± sample standard deviation of wall time"),
            Column("Images/s", True, "every image of every epoch, over the whole training"),
            Column("Passes per image", True, "forward + backward, of attack and update"),
            Column("Peak memory, MB", True, "of the device in training, where it tells"),
            Column("Judging, s", True, "all attacks on one seed's checkpoints"),
            Column(f"{attack} accuracy per training hour", True, "points over hours"),
            Column("Device"),
        ],
        lines=[Line(_cells(line, known)) for line in lines],
        notes=notes(lines),
    )


def _cells(line: Spent, known: Known) -> list[Cell]:
    seconds = plain(line.seconds, 1) + (
        "" if line.spread is None else f" ± {plain(line.spread, 1)}"
    )
    passes = Cell(ABSENT)
    if line.forward is not None and line.backward is not None:
        text = f"{line.forward:g} + {line.backward:g}"
        passes = Cell(text, line.forward + line.backward)
    return [
        Cell(known.names[line.label]),
        Cell(str(line.seeds), line.seeds),
        Cell(seconds, line.seconds),
        number(line.images_per_second, 0),
        passes,
        number(line.peak_memory_mb, 0),
        number(line.evaluation, 1),
        number(line.per_hour, 1),
        Cell(line.device),
    ]
