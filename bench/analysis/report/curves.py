"""Learning curves, and what becomes of remembered adversarial examples, epoch by epoch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from bench.analysis.figures.curves import CLEAN, ROBUST
from bench.analysis.figures.known import Known
from bench.analysis.report.chart import Chart, Looks, Trace, faint
from bench.analysis.report.material import Material, Rows, Run
from bench.analysis.report.numbers import optional
from bench.results.options import options_of

REMEMBERED = {
    "remembered_fooling": ("Fool the network now", "% of last epoch's examples", " %"),
    "remembered_forgotten": ("Forgotten", "% of those it had resisted", " %"),
    "remembered_cosine": ("Cosine of old and new perturbation", "cosine", ""),
    "remembered_weight_p50": (
        "Weight that V1 gives: median, and of V1 itself the 10th to the 90th percentile",
        "1.0000001 − p(y | x″)",
        "",
    ),
}
PERCENTILES = {10: "remembered_weight_p10", 90: "remembered_weight_p90"}
AGE = re.compile(r"remembered_loss_age(\d+)")
BY_ACCURACY = (("validation_clean", "clean", CLEAN), ("validation_pgd", "PGD", ROBUST))


def learning_curves(material: Material, known: Known, folder: Path) -> list[Chart]:
    """Return a chart for each method with accuracies on the held-out images, by epoch."""
    charts = []
    top = max((len(rows) for rows in material.histories.values()), default=1)
    for place, method in enumerate(known.order):
        runs = _runs(material, method)
        if not runs:
            continue
        traces = []
        for column, name, colour in BY_ACCURACY:
            by_seed = {run: _column(rows, column, folder, run) for run, rows in runs.items()}
            if len(runs) > 1:
                traces += [
                    _curve(values, f"seed {run[1]}, {name}", colour, 0.8, 0.45)
                    for run, values in by_seed.items()
                    if values
                ]
            mean = _mean(list(by_seed.values()))
            if mean:
                told = f"mean of {len(runs)}, {name}" if len(runs) > 1 else name
                traces.append(_curve(mean, told, colour, 2, 1))
        axis = {"range": [0, 101], "dtick": 25}
        charts.append(
            Chart(
                name=f"curve-{place}",
                label=f"Learning curves of {known.names[method]}: clean and PGD accuracy by epoch",
                title=known.names[method],
                x="Epoch",
                y="Validation, %",
                traces=traces,
                layout={
                    "height": 240,
                    "hovermode": "closest",
                    "yaxis": axis,
                    "xaxis": {"range": [1 - 0.02 * top, 1.02 * top] if top > 1 else [0.5, 1.5]},
                },
            )
        )
    return charts


def remembered(material: Material, known: Known, looks: Looks, folder: Path) -> list[Chart]:
    """Return the charts of what was measured on remembered examples; none where nothing was."""
    charts = []
    for place, (column, (title, y, unit)) in enumerate(REMEMBERED.items()):
        traces = []
        if column == "remembered_weight_p50":
            # Below all lines.
            for method in filter(_weighing(material).__contains__, known.order):
                traces += _band(material, looks, method, folder)
        for method in known.order:
            mean = _mean_of(material, method, column, folder)
            if mean:
                traces.append(looks.line(method, list(mean), list(mean.values()), unit))
        if traces:
            label = f"{title}: mean over seeds of every method by epoch"
            charts.append(Chart(f"remembered-{place}", label, "Epoch", y, traces, TALL, title))
    traces = _by_age(material, known, looks, folder)
    if traces:
        title = "Loss of examples by age, at the end of training"
        charts.append(
            Chart("remembered-age", title, "Age in epochs", "cross-entropy", traces, TALL, title)
        )
    return charts


TALL = {"height": 300, "hovermode": "closest"}


def _weighing(material: Material) -> set[str]:
    """Return the methods that weigh adversarial examples by what is drawn."""
    weighing = {("variant", "v1"), ("weight", "A")}
    return {
        row.method
        for row in material.rows
        if row.base_method == "memloss"
        and weighing <= (options := options_of(row.options)).items()
        and options.get("alignment") != "clean_crop"
    }


def _band(material: Material, looks: Looks, method: str, folder: Path) -> list[Trace]:
    """Return the space between two percentiles as a lower edge and a filled upper one."""
    edges = {
        percent: _mean_of(material, method, column, folder)
        for percent, column in PERCENTILES.items()
    }
    if not all(edges.values()):
        return []
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": list(edge),
            "y": list(edge.values()),
            "line": {"color": looks.colour(method), "width": 0.5},
            "fill": "none" if percent == min(edges) else "tonexty",
            "fillcolor": faint(looks.colour(method)),
            "hovertemplate": f"{looks.name(method)}<br>{percent}th percentile, epoch %{{x}}: "
            "%{y:.4g}<extra></extra>",
            "meta": {"method": method},
        }
        for percent, edge in edges.items()
    ]


def _by_age(material: Material, known: Known, looks: Looks, folder: Path) -> list[Trace]:
    traces = []
    for method in known.order:
        ends: dict[int, list[float]] = {}
        for run, rows in _runs(material, method).items():
            for column in rows[-1]:
                age = AGE.fullmatch(column)
                value = _cell(rows[-1], column, folder, run) if age else None
                if age and value is not None:
                    ends.setdefault(int(age[1]), []).append(value)
        if ends:
            ages = sorted(ends)
            traces.append(looks.line(method, ages, [fmean(ends[age]) for age in ages], " nats"))
    return traces


def _curve(
    values: Mapping[int, float], name: str, colour: str, width: float, opacity: float
) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines" if len(values) > 1 else "markers",
        "x": list(values),
        "y": list(values.values()),
        "line": {"color": colour, "width": width},
        "opacity": opacity,
        "hovertemplate": f"{name}<br>epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
        "meta": {},
    }


def _runs(material: Material, method: str) -> dict[Run, Rows]:
    return {run: rows for run, rows in material.histories.items() if run[0] == method}


def _mean_of(material: Material, method: str, column: str, folder: Path) -> dict[int, float]:
    runs = _runs(material, method)
    return _mean([_column(rows, column, folder, run) for run, rows in runs.items()])


def _mean(curves: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean at the epochs that all have."""
    if not curves:
        return {}
    shared = sorted(set.intersection(*(set(curve) for curve in curves)))
    return {epoch: fmean(curve[epoch] for curve in curves) for epoch in shared}


def _column(rows: Rows, column: str, folder: Path, run: Run) -> dict[int, float]:
    if column not in rows[0]:
        return {}
    found = {}
    for row in rows:
        epoch, value = _cell(row, "epoch", folder, run), _cell(row, column, folder, run)
        if epoch is not None and value is not None:
            found[int(epoch)] = value
    return found


def _cell(row: Mapping[str, str], column: str, folder: Path, run: Run) -> float | None:
    path = folder / "models" / run[0] / f"seed{run[1]}" / "history.csv"
    return optional(row, column, path)
