"""The comparison of all methods of an experiment, as CSV, Markdown and LaTeX, from summary.csv.

RobustBench's models that were judged beside them are a block of their own at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from bench.analysis.cost_table import make_cost_table
from bench.analysis.image_counts import Counts, span
from bench.analysis.labels import (
    attack_name,
    checkpoint_order,
    method_name,
    method_order,
    row_name,
)
from bench.analysis.statistics.accuracy import mean_and_spread
from bench.analysis.table_formats import Sheet, csv_text, latex, markdown
from bench.analysis.table_notes import NOT_MEASURED, listed, notes, source_notes
from bench.results.csv_file import decimal
from bench.results.published import ROBUSTBENCH
from bench.results.summary_file import read_summary_file
from bench.runtime.files import write_text

ATTACKS = ("clean", "pgd20", "autoattack", "worst_case")
NEEDED = (
    *("experiment", "dataset", "model", "method", "seed", "checkpoint", "selected_on", "attack"),
    *("eps", "n", "correct", "reported", "reported_source", "flags"),
    *("base_method", "options", "warnings"),
)
REFERENCES = "Reference models (RobustBench)"


@dataclass(frozen=True)
class Cell:
    """One attack on one checkpoint of a method, over seeds; accuracies in percent.

    `seeds` is their number, 0 for a network not trained here. `spread` is the sample standard
    deviation (None with one seed), `difference` is ours minus reported, `n` is the number of
    images, a range where seeds differ.
    """

    seeds: int
    n: str
    mean: float
    spread: float | None
    reported: float | None
    reported_source: str
    difference: float | None


@dataclass(frozen=True)
class Line:
    """One method and checkpoint; `cells` holds what was measured, by attack."""

    label: str
    name: str
    checkpoint: str
    cells: dict[str, Cell]

    @property
    def seeds(self) -> int:
        """The number of seeds of the cell that has most."""
        return max(cell.seeds for cell in self.cells.values())


def make_tables(folder: Path) -> None:
    """Write the tables comparison and costs of the experiment in `folder`, as .csv, .md and .tex.

    They come from summary.csv there, and from costs.csv if it is there.

    Raises
    ------
    BenchError
        If summary.csv is missing or empty, or one of the two lacks a column.
    """
    rows = read_rows(folder / "summary.csv")
    ours = [row for row in rows if row["model"] != ROBUSTBENCH]
    theirs = [row for row in rows if row["model"] == ROBUSTBENCH]
    lines = comparison(ours, {label: _name(ours, label) for label in _labels(ours)})
    others = comparison(theirs, {label: label for label in _labels(theirs)})
    sheet = _sheet(rows, lines, others)
    write_text(folder / "tables" / "comparison.csv", csv_text(*_plain([*lines, *others])))
    write_text(folder / "tables" / "comparison.md", markdown(sheet))
    write_text(folder / "tables" / "comparison.tex", latex(sheet))
    if ours and (folder / "costs.csv").is_file():
        make_cost_table(folder, ours)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of summary.csv by column; BenchError if it is not one."""
    return read_summary_file(path, NEEDED)


def comparison(rows: Iterable[dict[str, str]], names: Mapping[str, str]) -> list[Line]:
    """Return a line for each method and checkpoint, baselines first, best before last."""
    grouped: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    for row in rows:
        place = grouped.setdefault((row["method"], row["checkpoint"]), {})
        place.setdefault(row["attack"], []).append(row)
    bases = {label: next(iter(place.values()))[0] for (label, _), place in grouped.items()}
    order = sorted(
        grouped,
        key=lambda key: (
            method_order(key[0], bases[key[0]]["base_method"]),
            checkpoint_order(key[1]),
        ),
    )
    return [
        Line(
            label,
            names.get(label, method_name(label)),
            checkpoint,
            {attack: _cell(seeds) for attack, seeds in grouped[label, checkpoint].items()},
        )
        for label, checkpoint in order
    ]


def _cell(rows: Sequence[dict[str, str]]) -> Cell:
    # From the counts, not from the rounded accuracies.
    mean, spread = mean_and_spread([100 * int(row["correct"]) / int(row["n"]) for row in rows])
    # The mean is comparable only where every seed is.
    reported = {(row["reported"], row["reported_source"]) for row in rows}
    text, source = reported.pop() if len(reported) == 1 else ("", "")
    value = float(Fraction(text)) if text else None
    return Cell(
        seeds=sum(row["seed"] != "" for row in rows),
        n=span(int(row["n"]) for row in rows),
        mean=mean,
        spread=spread,
        reported=value,
        reported_source=source if text else "",
        difference=None if value is None else mean - value,
    )


def _labels(rows: Iterable[dict[str, str]]) -> list[str]:
    return sorted({row["method"] for row in rows})


def _name(rows: Iterable[dict[str, str]], label: str) -> str:
    return row_name(next(row for row in rows if row["method"] == label))


def _plain(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    header = ["method", "name", "checkpoint", "seeds"]
    for attack in ATTACKS:
        header += [f"{attack}_{what}" for what in ("mean", "std", "seeds", "n")]
        if attack != "worst_case":
            header += [f"{attack}_{what}" for what in ("reported", "difference", "source")]
    table = []
    for line in lines:
        values = [line.label, line.name, line.checkpoint, str(line.seeds or "")]
        for attack in ATTACKS:
            cell = line.cells.get(attack)
            width = 4 if attack == "worst_case" else 7
            if cell is None:
                values += [""] * width
                continue
            measured = [_number(cell.mean), _number(cell.spread), str(cell.seeds or ""), cell.n]
            known = [_number(cell.reported), _number(cell.difference), cell.reported_source]
            values += [*measured, *known][:width]
        table.append(values)
    return header, table


def _sheet(rows: Sequence[dict[str, str]], lines: Sequence[Line], others: Sequence[Line]) -> Sheet:
    every = [*lines, *others]
    quoted = [
        attack
        for attack in ATTACKS
        if any(line.cells[attack].reported is not None for line in every if attack in line.cells)
    ]
    counts = image_counts(every, ATTACKS)
    header = ["Method", "Checkpoint", "Seeds"]
    header += [f"{attack_name(attack)}{counts.heading(attack)}" for attack in ATTACKS]
    header += [f"{attack_name(attack)}, reported (difference)" for attack in quoted]
    sources: dict[str, str] = {}
    body, further = (
        [_texts(line, quoted, sources, counts) for line in block] for block in (lines, others)
    )
    models = listed(row["model"] for row in rows if row["model"] != ROBUSTBENCH)
    caption = (
        f"Accuracy in percent on {listed(row['dataset'] for row in rows)} "
        f"({models}): mean ± standard deviation over seeds."
    )
    judged = {attack_name(attack): counts.by_column[attack] for attack in ATTACKS}
    return Sheet(
        name=rows[0]["experiment"],
        caption=caption,
        header=header,
        body=body,
        notes=[*notes(rows, judged), *source_notes(sources)],
        blocks={REFERENCES: further} if further else {},
    )


def image_counts(lines: Sequence[Line], attacks: Sequence[str]) -> Counts:
    """Return on how many images the cells of each attack are."""
    return Counts(
        {
            attack: [one.cells[attack].n for one in lines if attack in one.cells]
            for attack in attacks
        }
    )


def _texts(line: Line, quoted: Sequence[str], sources: dict[str, str], counts: Counts) -> list[str]:
    measured = [_measured(line, attack, counts) for attack in ATTACKS]
    compared = [_compared(line, attack, sources) for attack in quoted]
    seeds = str(line.seeds or NOT_MEASURED)
    return [line.name, line.checkpoint, seeds, *measured, *compared]


def _measured(line: Line, attack: str, counts: Counts) -> str:
    cell = line.cells.get(attack)
    if cell is None:
        return NOT_MEASURED
    text = _number(cell.mean)
    if cell.spread is not None:
        text += f" ± {_number(cell.spread)}"
    if cell.seeds != line.seeds:
        text += f" ({cell.seeds} of {line.seeds} seeds)"
    return text + counts.cell(attack, cell.n)


def _compared(line: Line, attack: str, sources: dict[str, str]) -> str:
    cell = line.cells.get(attack)
    if cell is None or cell.reported is None or cell.difference is None:
        return NOT_MEASURED
    mark = sources.setdefault(cell.reported_source, f"r{len(sources) + 1}")
    difference = _number(cell.difference).replace("-", "−")
    sign = "+" if round(cell.difference, 2) > 0 else ""
    return f"{_number(cell.reported)} [{mark}] ({sign}{difference})"


def _number(value: float | None) -> str:
    return "" if value is None else decimal(value)
