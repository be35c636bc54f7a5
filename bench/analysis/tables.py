"""The comparison of all methods of an experiment, as CSV, Markdown and LaTeX, from summary.csv."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.labels import attack_name, checkpoint_order, method_name, method_order
from bench.analysis.statistics import mean_and_spread
from bench.analysis.table_formats import Sheet, csv_text, latex, markdown
from bench.parsing import BenchError
from bench.records import read_json, write_text

ATTACKS = ("clean", "pgd20", "autoattack", "worst_case")
NEEDED = (
    *("experiment", "dataset", "model", "method", "seed", "checkpoint", "selected_on", "attack"),
    *("eps", "n", "correct", "reported", "reported_source", "flags"),
)
NOT_MEASURED = "–"


@dataclass(frozen=True)
class Cell:
    """One attack on one checkpoint of a method, over seeds; accuracies in percent.

    `spread` is the sample standard deviation (None with one seed), `difference` is ours minus
    reported, `n` is the number of images, a range where seeds differ.
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
    """Write tables/comparison.csv, .md and .tex of the experiment in `folder`.

    It reads summary.csv there, and the train.json of its runs for what a label stands for.

    Raises
    ------
    BenchError
        If summary.csv is missing, empty or lacks a column.
    """
    rows = read_rows(folder / "summary.csv")
    lines = comparison(rows, {label: _name(folder, rows, label) for label in _labels(rows)})
    sheet = _sheet(rows, lines)
    write_text(folder / "tables" / "comparison.csv", csv_text(*_plain(lines)))
    write_text(folder / "tables" / "comparison.md", markdown(sheet))
    write_text(folder / "tables" / "comparison.tex", latex(sheet))


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the lines of summary.csv by column; BenchError if it is not one."""
    remedy = "make it with `snakemake --cores 8`"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            rows = list(reader)
    except FileNotFoundError:
        raise BenchError(f"{path}: missing; {remedy}") from None
    if missing or not rows:
        what = f"the column {missing[0]!r} is missing" if missing else "it has no rows"
        raise BenchError(f"{path}: {what}; {remedy}")
    return rows


def comparison(rows: Iterable[dict[str, str]], names: dict[str, str]) -> list[Line]:
    """Return a line for each method and checkpoint, baselines first, best before last."""
    grouped: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    for row in rows:
        place = grouped.setdefault((row["method"], row["checkpoint"]), {})
        place.setdefault(row["attack"], []).append(row)
    order = sorted(grouped, key=lambda key: (method_order(key[0]), checkpoint_order(key[1])))
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
    counts = sorted({int(row["n"]) for row in rows})
    published = next((row for row in rows if row["reported"]), None)
    value = float(published["reported"]) if published else None
    return Cell(
        seeds=len(rows),
        n=str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}",
        mean=mean,
        spread=spread,
        reported=value,
        reported_source=published["reported_source"] if published else "",
        difference=None if value is None else mean - value,
    )


def _labels(rows: Iterable[dict[str, str]]) -> list[str]:
    return sorted({row["method"] for row in rows})


def _name(folder: Path, rows: Iterable[dict[str, str]], label: str) -> str:
    seed = next(row["seed"] for row in rows if row["method"] == label)
    path = folder / "models" / label / f"seed{seed}" / "train.json"
    if not path.is_file():
        return method_name(label)
    spec = read_json(path)["spec"]
    return method_name(label, spec["method"], spec["options"])


def _plain(lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
    header = ["method", "name", "checkpoint", "seeds"]
    for attack in ATTACKS:
        header += [f"{attack}_{what}" for what in ("mean", "std", "seeds", "n")]
        if attack != "worst_case":
            header += [f"{attack}_{what}" for what in ("reported", "difference", "source")]
    table = []
    for line in lines:
        values = [line.label, line.name, line.checkpoint, str(line.seeds)]
        for attack in ATTACKS:
            cell = line.cells.get(attack)
            width = 4 if attack == "worst_case" else 7
            if cell is None:
                values += [""] * width
                continue
            measured = [_number(cell.mean), _number(cell.spread), str(cell.seeds), cell.n]
            known = [_number(cell.reported), _number(cell.difference), cell.reported_source]
            values += [*measured, *known][:width]
        table.append(values)
    return header, table


def _sheet(rows: Sequence[dict[str, str]], lines: Sequence[Line]) -> Sheet:
    sources: dict[str, str] = {}
    quoted = [
        attack
        for attack in ATTACKS
        if any(line.cells[attack].reported is not None for line in lines if attack in line.cells)
    ]
    header = ["Method", "Checkpoint", "Seeds", *map(attack_name, ATTACKS)]
    header += [f"{attack_name(attack)}, reported (difference)" for attack in quoted]
    body = []
    for line in lines:
        measured = [_measured(line, attack) for attack in ATTACKS]
        compared = [_compared(line, attack, sources) for attack in quoted]
        body.append([line.name, line.checkpoint, str(line.seeds), *measured, *compared])
    caption = (
        f"Accuracy in percent on {_listed(row['dataset'] for row in rows)} "
        f"({_listed(row['model'] for row in rows)}): mean ± standard deviation over seeds."
    )
    experiment = rows[0]["experiment"]
    return Sheet(experiment, caption, header, body, [*_notes(rows, lines), *_sources(sources)])


def _measured(line: Line, attack: str) -> str:
    cell = line.cells.get(attack)
    if cell is None:
        return NOT_MEASURED
    text = _number(cell.mean)
    if cell.spread is not None:
        text += f" ± {_number(cell.spread)}"
    if cell.seeds != line.seeds:
        text += f" ({cell.seeds} of {line.seeds} seeds)"
    return text


def _compared(line: Line, attack: str, sources: dict[str, str]) -> str:
    cell = line.cells.get(attack)
    if cell is None or cell.reported is None or cell.difference is None:
        return NOT_MEASURED
    mark = sources.setdefault(cell.reported_source, f"r{len(sources) + 1}")
    difference = _number(cell.difference).replace("-", "−")
    sign = "+" if round(cell.difference, 2) > 0 else ""
    return f"{_number(cell.reported)} [{mark}] ({sign}{difference})"


def _notes(rows: Sequence[dict[str, str]], lines: Sequence[Line]) -> list[str]:
    judged = []
    for attack in ATTACKS:
        counts = {line.cells[attack].n for line in lines if attack in line.cells}
        if counts:
            judged.append(f"{attack_name(attack)} {_listed(counts)}")
    subset = any("subset" in row["flags"].split(";") for row in rows)
    attacked = (row["eps"] for row in rows if row["attack"] != "clean")
    notes = [
        f"Test images judged: {'; '.join(judged)}"
        f"{' (in part a subset of the test set)' if subset else ''}.",
        f"Seeds: {_listed(row['seed'] for row in rows)}; ± is the sample standard deviation over "
        f"them, absent with one seed.",
        f"Radius of the attacks (L-infinity, pixels in [0, 1]): {_listed(attacked) or 'none'}.",
        *_rules(rows),
        "AutoAttack stands alone; the worst case counts an image only if no attack broke it.",
        f"{NOT_MEASURED} not measured, or not reported.",
    ]
    caveats = sorted(
        f"{flag} ({row['method']}, seed {row['seed']}, {row['checkpoint']}, {row['attack']})"
        for row in rows
        for flag in row["flags"].split(";")
        if flag not in ("", "subset", "selected_on_test")
    )
    return [*notes, f"Flags: {'; '.join(caveats)}."] if caveats else notes


def _rules(rows: Sequence[dict[str, str]]) -> list[str]:
    rules = {
        "validation": "best is the epoch that did best on held-out training images, "
        "chosen without the test set",
        "test": "best was chosen on the test set, as the authors' code does, and is optimistic",
    }
    by_rule = {
        chosen: _listed(row["method"] for row in rows if row["selected_on"] == chosen)
        for chosen in rules
    }
    used = [chosen for chosen in rules if by_rule[chosen]]
    return [
        f"Checkpoints{f' of {by_rule[chosen]}' if len(used) > 1 else ''}: "
        f"{rules[chosen]}; last is the last epoch."
        for chosen in used
    ]


def _sources(sources: dict[str, str]) -> list[str]:
    if not sources:
        return []
    said = "Reported numbers were not measured here; the difference is ours minus reported."
    return [said, *(f"[{mark}] {source}" for source, mark in sources.items())]


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(set(words), key=lambda word: (len(word), word)))


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, 2) + 0.0:.2f}"
