"""The tables of numbers: comparison, every row of summary.csv, and statistics.csv."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.analysis.figures.known import Known
from bench.analysis.image_counts import Counts
from bench.analysis.labels import attack_name, attack_order, checkpoint_order
from bench.analysis.report.flags import marks
from bench.analysis.report.grid import (
    ABSENT,
    Cell,
    Column,
    Grid,
    Line,
    between,
    chosen_from,
    number,
    plain,
)
from bench.analysis.report.material import Material, Rows
from bench.analysis.statistics.table import BOOTSTRAP, BOTH, IMAGES, SEEDS, WILSON
from bench.analysis.table_notes import notes, source_notes
from bench.analysis.tables import Cell as Measured
from bench.analysis.tables import comparison, image_counts
from bench.results.csv_file import cell_number
from bench.results.flags import OWN_RECIPE, SUBSET
from bench.results.published import ROBUSTBENCH

QUANTITIES = {
    "accuracy": "accuracy",
    "accuracy_difference": "difference in accuracy",
    "harmonic_mean": "harmonic mean with clean accuracy",
    "harmonic_mean_difference": "difference in harmonic mean",
    "front_distance": "distance to the others' front",
}


def comparison_grid(material: Material, known: Known) -> Grid:
    """Return means over seeds, beside reported numbers."""
    others = [dict(row) for row in material.summary if row["model"] == ROBUSTBENCH]
    lines = comparison([dict(row) for row in material.ours], known.names)
    lines.sort(key=lambda line: (known.order.index(line.label), checkpoint_order(line.checkpoint)))
    lines += comparison(others, {row["method"]: row["method"] for row in others})
    attacks = sorted({attack for line in lines for attack in line.cells}, key=attack_order)
    counts = image_counts(lines, attacks)
    columns = [Column("Method"), Column("Checkpoint"), Column("Seeds", numeric=True)]
    columns += [
        Column(f"{attack_name(attack)}, %{counts.heading(attack)}", numeric=True)
        for attack in attacks
    ]
    sources: dict[str, str] = {}
    rows = [
        Line(
            [
                Cell(line.name),
                Cell(line.checkpoint),
                Cell(str(line.seeds or ABSENT), line.seeds),
                *(_measured(line.cells.get(attack), sources, attack, counts) for attack in attacks),
            ],
            {"checkpoint": line.checkpoint},
        )
        for line in lines
    ]
    judged = {attack_name(attack): counts.by_column[attack] for attack in attacks}
    # Flags have a section and a column of their own.
    unflagged = [dict(row) | {"flags": _notable(row), "warnings": ""} for row in material.summary]
    return Grid(
        name="comparison",
        caption="Accuracy: mean ± sample standard deviation over seeds, and what others report.",
        columns=columns,
        lines=rows,
        filters=[chosen_from("checkpoint", "Checkpoint", rows, {})],
        notes=[*notes(unflagged, judged), *source_notes(sources)],
    )


def summary_grid(material: Material, known: Known) -> Grid:
    """Return summary.csv row by row, each with its interval and flags."""
    ordered = sorted(
        material.summary,
        key=lambda row: (
            known.order.index(row["method"]) if row["method"] in known.order else len(known.order),
            row["method"],
            row["seed"],
            checkpoint_order(row["checkpoint"]),
            attack_order(row["attack"]),
        ),
    )
    rows = [
        Line(
            [
                Cell(known.names.get(row["method"], row["method"])),
                Cell(row["seed"] or ABSENT, row["seed"]),
                Cell(row["checkpoint"]),
                Cell(attack_name(row["attack"])),
                Cell(row["accuracy"], row["accuracy"], marks=marks(row)),
                Cell(f"[{row['ci_low']}, {row['ci_high']}]", row["ci_low"]),
                Cell(row["correct"], row["correct"]),
                Cell(row["n"], row["n"]),
                _reported(row),
                Cell(row["difference"].replace("-", "−") or ABSENT, row["difference"]),
            ],
            {key: row[key] for key in ("method", "checkpoint", "attack")},
        )
        for row in ordered
    ]
    return Grid(
        name="summary",
        caption="Every row of summary.csv: one network, checkpoint and attack each.",
        columns=[
            Column("Method"),
            Column("Seed", numeric=True),
            Column("Checkpoint"),
            Column("Attack"),
            Column("Accuracy, %", numeric=True),
            Column("95 % over images", numeric=True, title="Wilson's interval"),
            Column("Correct", numeric=True),
            Column("Images", numeric=True),
            Column("Reported", numeric=True),
            Column("Ours − reported", numeric=True),
        ],
        lines=rows,
        filters=[
            chosen_from("method", "Method", rows, known.names),
            chosen_from("checkpoint", "Checkpoint", rows, {}),
            chosen_from("attack", "Attack", rows, _attack_names(rows)),
        ],
        notes=["Wilson's interval speaks of other images for this network, not of other seeds."],
    )


def statistics_grid(rows: Rows, known: Known, attack: str, path: Path) -> Grid:
    """Return statistics.csv with one row for each quantity and its intervals side by side.

    `attack` is what the filter shows first.
    """
    grouped: dict[tuple[str, ...], dict[str, Mapping[str, str]]] = {}
    for row in rows:
        key = tuple(row[k] for k in ("checkpoint", "quantity", "attack", "method", "against"))
        grouped.setdefault(key, {})[row["interval"]] = row
    lines = []
    for (checkpoint, quantity, attacked, method, against), by_interval in grouped.items():
        first = next(iter(by_interval.values()))
        images = by_interval.get(WILSON) or by_interval.get(IMAGES)
        tested = by_interval.get(BOTH, first)
        other = known.names.get(against, against)
        lines.append(
            Line(
                [
                    Cell(QUANTITIES.get(quantity, quantity)),
                    Cell(attack_name(attacked)),
                    Cell(checkpoint),
                    Cell(known.names.get(method, method)),
                    Cell(other or ABSENT, other),
                    _number(first, "estimate", path),
                    *(
                        _interval(row, path)
                        for row in (
                            tested if BOTH in by_interval else None,
                            by_interval.get(SEEDS),
                            by_interval.get(BOOTSTRAP),
                            images,
                        )
                    ),
                    Cell(tested["p_holm"] or ABSENT, tested["p_holm"], title=_p(tested)),
                    Cell(first["n_seeds"], first["n_seeds"]),
                    Cell(first["n_images"], first["n_images"]),
                ],
                {"quantity": quantity, "attack": attacked, "checkpoint": checkpoint},
            )
        )
    return Grid(
        name="statistics",
        caption="How far each mean and each difference may be trusted: 95 % intervals.",
        columns=[
            Column("Quantity"),
            Column("Attack"),
            Column("Checkpoint"),
            Column("Method"),
            Column("Minus"),
            Column("Estimate", numeric=True),
            Column("Other seeds and images", True, "crossed_t: ask this one who is better"),
            Column("Other seeds, these images", True, "seeds_t"),
            Column("Bootstrap, seeds and images", True, "crossed_bootstrap: narrow for few seeds"),
            Column("These models, other images", True, "images_wilson or images_t"),
            Column("p (Holm)", True, "of no difference, over seeds and images"),
            Column("Seeds", True),
            Column("Images", True),
        ],
        lines=lines,
        filters=[
            chosen_from("quantity", "Quantity", lines, QUANTITIES),
            chosen_from("attack", "Attack", lines, _attack_names(lines), attack),
            chosen_from("checkpoint", "Checkpoint", lines, {}, "best"),
        ],
        notes=[
            "“Other seeds and images” is the interval to read for whether a method is better; an "
            "interval over images alone speaks of these networks. docs/statistics.md has the "
            "formulas.",
            "Empty intervals cannot be known from so few seeds.",
        ],
    )


def optional(row: Mapping[str, str], column: str, path: Path) -> float | None:
    """Return a cell as a number, None where it is empty."""
    return cell_number(row, column, path) if row[column] else None


def _measured(cell: Measured | None, sources: dict[str, str], attack: str, counts: Counts) -> Cell:
    if cell is None:
        return Cell(ABSENT)
    text = plain(cell.mean)
    if cell.spread is not None:
        text += f" ± {plain(cell.spread)}"
    text += counts.cell(attack, cell.n)
    below = ""
    if cell.reported is not None and cell.difference is not None:
        mark = sources.setdefault(cell.reported_source, f"r{len(sources) + 1}")
        sign = "+" if round(cell.difference, 2) > 0 else ""
        below = f"reported {plain(cell.reported)} [{mark}], {sign}{plain(cell.difference)}"
    return Cell(text, cell.mean, title=f"{cell.n} images", below=below)


def _reported(row: Mapping[str, str]) -> Cell:
    return Cell(row["reported"] or ABSENT, row["reported"], title=row["reported_source"])


def _interval(row: Mapping[str, str] | None, path: Path) -> Cell:
    if row is None:
        return Cell(ABSENT)
    low, high = (optional(row, name, path) for name in ("low", "high"))
    return Cell(between(low, high) or ABSENT, "" if low is None else low)


def _number(row: Mapping[str, str], column: str, path: Path) -> Cell:
    return number(optional(row, column, path))


def _p(row: Mapping[str, str]) -> str:
    return f"p = {row['p']} before the adjustment" if row["p"] else ""


def _attack_names(lines: Sequence[Line]) -> dict[str, str]:
    return {line.keys["attack"]: attack_name(line.keys["attack"]) for line in lines}


def _notable(row: Mapping[str, str]) -> str:
    return ";".join(flag for flag in row["flags"].split(";") if flag in (SUBSET, OWN_RECIPE))
