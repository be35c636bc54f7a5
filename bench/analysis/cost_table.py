"""What each method's training costs, and how much accuracy an hour of it gives.

From costs.csv and summary.csv. Times are those of the machine that made the results: compare them
within one experiment, never across.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.analysis.labels import attack_name, method_order, row_name
from bench.analysis.robust import strongest
from bench.analysis.statistics.accuracy import mean_and_spread
from bench.analysis.table_formats import Sheet, csv_text, latex, markdown
from bench.analysis.table_notes import NOT_MEASURED, listed
from bench.results.csv_file import cell_number, decimal, read_table
from bench.results.published import ROBUSTBENCH
from bench.runtime.errors import BenchError
from bench.runtime.files import write_text

NEEDED = (
    *("method", "seed", "stage", "attack", "seconds", "peak_memory_mb", "device"),
    *("images_per_second", "forward_passes", "backward_passes"),
)
OPTIONAL = ("peak_memory_mb", "images_per_second", "forward_passes", "backward_passes")
NUMBERS = ("seconds", *OPTIONAL)
HEADER = (
    *("method", "name", "seeds", "seconds_mean", "seconds_std", "images_per_second"),
    *("forward_passes", "backward_passes", "peak_memory_mb", "evaluation_seconds"),
    *("attack", "accuracy", "accuracy_per_hour", "device"),
)


@dataclass(frozen=True)
class Spent:
    """What the trainings of one method took; `None` where it was not recorded.

    `seconds` and `spread` are over seeds, `images_per_second` counts every image of every epoch,
    and passes are those of one image in one step: one forward pass, one gradient.
    `evaluation` are seconds of judging one seed. `accuracy` is the mean over seeds of the best
    checkpoint under `attack`, in percent, and `per_hour` that over the hours of one training.
    """

    label: str
    name: str
    seeds: int
    seconds: float
    spread: float | None
    images_per_second: float | None
    forward: float | None
    backward: float | None
    peak_memory_mb: float | None
    evaluation: float
    attack: str
    accuracy: float | None
    per_hour: float | None
    device: str


def make_cost_table(folder: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write tables/costs.csv, .md and .tex of the experiment in `folder`.

    `rows` are those of its summary.csv.

    Raises
    ------
    BenchError
        costs.csv is missing, lacks a column, or has something else where a number belongs.
    """
    lines = spent(read_costs(folder / "costs.csv"), rows)
    table = [[_cell(value) for value in vars(line).values()] for line in lines]
    write_text(folder / "tables" / "costs.csv", csv_text(HEADER, table))
    sheet = _sheet(rows, lines)
    write_text(folder / "tables" / "costs.md", markdown(sheet))
    write_text(folder / "tables" / "costs.tex", latex(sheet))


def read_costs(path: Path) -> list[dict[str, str]]:
    """Return the lines of costs.csv by column; BenchError if it is not one or lacks a number."""
    rows = read_table(path, NEEDED, "make it with `python -m bench summarize`")
    for row in rows:
        for name in NUMBERS:
            if row[name] or name not in OPTIONAL:
                cell_number(row, name, path)
    return rows


def spent(costs: Sequence[Mapping[str, str]], rows: Sequence[Mapping[str, str]]) -> list[Spent]:
    """Return a line for each of our methods, baselines first."""
    known = {row["method"]: row for row in rows if row["model"] != ROBUSTBENCH}
    order = sorted(known, key=lambda label: method_order(label, known[label]["base_method"]))
    left: dict[str, list[float]] = {}
    for row in rows:
        if row["model"] != ROBUSTBENCH and row["checkpoint"] == "best":
            left.setdefault(row["attack"], []).append(_accuracy(row))
    attack = strongest(left) or ""
    return [
        _of_method(
            label, known[label], [cost for cost in costs if cost["method"] == label], rows, attack
        )
        for label in order
    ]


def _of_method(
    label: str,
    row: Mapping[str, str],
    costs: Sequence[Mapping[str, str]],
    rows: Sequence[Mapping[str, str]],
    attack: str,
) -> Spent:
    trained = [cost for cost in costs if cost["stage"] == "train"]
    if not trained:
        raise BenchError(
            f"costs.csv: no training of {label}; make it with `python -m bench summarize`"
        )
    seconds, spread = mean_and_spread([float(cost["seconds"]) for cost in trained])
    judged = sum(float(cost["seconds"]) for cost in costs if cost["stage"] == "evaluate")
    wanted = (label, "best", attack)
    values = [
        _accuracy(one)
        for one in rows
        if (one["method"], one["checkpoint"], one["attack"]) == wanted
    ]
    accuracy = mean_and_spread(values)[0] if values else None
    hours = seconds / 3600
    return Spent(
        label=label,
        name=row_name(row),
        seeds=len(trained),
        seconds=seconds,
        spread=spread,
        images_per_second=_mean(trained, "images_per_second"),
        forward=_mean(trained, "forward_passes"),
        backward=_mean(trained, "backward_passes"),
        peak_memory_mb=_largest(trained, "peak_memory_mb"),
        evaluation=judged / len(trained),
        attack=attack,
        accuracy=accuracy,
        per_hour=None if accuracy is None or hours <= 0 else accuracy / hours,
        device=listed(cost["device"] for cost in trained),
    )


def _accuracy(row: Mapping[str, str]) -> float:
    return 100 * int(row["correct"]) / int(row["n"])


def _mean(costs: Sequence[Mapping[str, str]], column: str) -> float | None:
    values = [float(cost[column]) for cost in costs if cost[column]]
    return sum(values) / len(values) if values else None


def _largest(costs: Sequence[Mapping[str, str]], column: str) -> float | None:
    return max((float(cost[column]) for cost in costs if cost[column]), default=None)


def _sheet(rows: Sequence[Mapping[str, str]], lines: Sequence[Spent]) -> Sheet:
    attack = attack_name(lines[0].attack) if lines[0].attack else "Robust"
    header = ["Method", "Seeds", "Training (s)", "Images/s", "Passes per image"]
    header += ["Peak memory (MB)", "Judging (s)", f"{attack} accuracy per training hour"]
    return Sheet(
        name=f"{rows[0]['experiment']}-costs",
        caption="What one training costs: mean ± standard deviation over seeds.",
        header=header,
        body=[_texts(line) for line in lines],
        notes=notes(lines),
    )


def notes(lines: Sequence[Spent]) -> list[str]:
    """Return what a reader must know of the table."""
    return [
        "Passes per image and step: forward + backward, of attack and update together; for "
        "MemLoss from the second epoch on.",
        f"Device: {listed(line.device for line in lines)}. Other work on the machine counts "
        "too, so compare within a table, and a few percent are no finding. Peak memory is that of "
        "a CUDA device.",
        "Accuracy per hour is the best checkpoint's accuracy in points over the hours of one "
        "training: it rewards cheap trainings, not good ones.",
    ]


def _texts(line: Spent) -> list[str]:
    seconds = f"{line.seconds:.1f}"
    if line.spread is not None:
        seconds += f" ± {line.spread:.1f}"
    passes = NOT_MEASURED
    if line.forward is not None and line.backward is not None:
        passes = f"{line.forward:g} + {line.backward:g}"
    return [
        line.name,
        str(line.seeds),
        seconds,
        _or_nothing(line.images_per_second, ".0f"),
        passes,
        _or_nothing(line.peak_memory_mb, ".0f"),
        f"{line.evaluation:.1f}",
        _or_nothing(line.per_hour, ".1f"),
    ]


def _or_nothing(value: float | None, form: str) -> str:
    return NOT_MEASURED if value is None else format(value, form)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return decimal(value) if isinstance(value, float) else str(value)
