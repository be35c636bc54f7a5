"""Learning curves: one panel a method, accuracy on the held-out images after each epoch."""

from __future__ import annotations

import math

import pandas as pd

from bench.analysis.plots import caption, style
from bench.analysis.plots.context import Context, mean_over_seeds
from bench.analysis.plots.panels import SEED, Curve, Panel, Panels, of_epochs
from bench.analysis.plots.style import MARKERS, MethodDisplay

METRICS = {
    "validation_clean": ("clean", style.CLEAN),
    "validation_pgd": ("PGD", style.ROBUST),
}


def collect(context: Context) -> Panels | None:
    """Return the learning curves; None where no run's history was kept."""
    history = context.results.history
    if history.empty:
        return None
    values = history[list(METRICS)].to_numpy(float)
    limits = 10 * math.floor(values.min() / 10) - 1, 10 * math.ceil(values.max() / 10) + 1
    epochs = history.groupby("method")["epoch"].max()
    return Panels(
        panels=[
            _panel(context, shown, history[history["method"] == label], limits)
            for label, shown in context.methods.items()
            if (history["method"] == label).any()
        ],
        caption=[
            caption.setting(context),
            caption.selection(context),
            *caption.lengths(context, epochs),
        ],
        displays=context.methods,
        columns=4,
    )


def _panel(
    context: Context, shown: MethodDisplay, rows: pd.DataFrame, limits: tuple[int, int]
) -> Panel:
    found, several = [], rows["seed"].nunique() > 1
    for metric, (name, colour) in METRICS.items():
        points = rows.rename(columns={"epoch": "x", metric: "y"})
        for seed, own in points.groupby("seed") if several else ():
            found.append(Curve(f"seed {seed}, {name}", own, colour, SEED, width=0.7, alpha=0.5))
        mean = mean_over_seeds(points, "x", "y")
        legend = f"{name}, mean over seeds" if several else name
        found.append(Curve(legend, mean, colour, legend))
    best = _best(context, shown.label, rows)
    if len(best):
        kept = "epoch kept as best"
        found.append(Curve(kept, best, style.BLACK, kept, width=0, marker=MARKERS[0]))
    return Panel(
        title=shown.name,
        x="Epoch",
        y="Validation accuracy",
        curves=found,
        unit=" %",
        xlim=of_epochs(int(rows["epoch"].max())),
        ylim=limits,
    )


def _best(context: Context, label: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the epoch that each seed kept as best, with the accuracy that chose it."""
    best = []
    for seed, run in rows.groupby("seed"):
        record = context.results.trainings.get((label, int(seed)))
        if record is not None and "best" in record.checkpoints:
            epoch = record.checkpoints["best"].epoch
            metric = "clean" if record.selected_by == "clean accuracy" else "pgd"
            chosen = run.loc[run["epoch"] == epoch, f"validation_{metric}"]
            best += [(epoch, float(accuracy)) for accuracy in chosen]
    return pd.DataFrame(best, columns=["x", "y"])
