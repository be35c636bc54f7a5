"""Learning curves: one panel a method, accuracy on the held-out images after each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context, mean_over_seeds
from bench.analysis.plots.style import MethodDisplay

COLUMNS = 4
METRICS = {
    "validation_clean": ("clean", style.CLEAN),
    "validation_pgd": ("PGD", style.ROBUST),
}
# Hollow, since the seeds' marks lie on each other and on the curves.
BEST: dict[str, Any] = {"marker": "o", "ms": 3.6, "mfc": "none", "mew": 0.8, "ls": "none"}


@dataclass(frozen=True, eq=False)
class Panel:
    """One method: its runs, their mean at the epochs that all have, and the epochs kept as best.

    `seeds` has seed, epoch and the two metrics, `means` epoch and them, `best` seed, epoch and the
    accuracy that chose it. Accuracies are in percent.
    """

    method: MethodDisplay
    seeds: pd.DataFrame
    means: pd.DataFrame
    best: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Curves:
    """The panels in order, and the range of accuracies that they share."""

    panels: Sequence[Panel]
    low: float
    high: float
    caption: Sequence[str]


def curves(context: Context) -> Curves | None:
    """Return the learning curves; None where no run's history was kept."""
    history = context.results.history
    if history.empty:
        return None
    values = history[list(METRICS)].to_numpy(float)
    return Curves(
        panels=[
            _panel(context, shown, history[history["method"] == label])
            for label, shown in context.methods.items()
            if (history["method"] == label).any()
        ],
        low=10 * math.floor(values.min() / 10),
        high=10 * math.ceil(values.max() / 10),
        caption=[captions.setting(context), captions.selection(context)],
    )


def _panel(context: Context, shown: MethodDisplay, rows: pd.DataFrame) -> Panel:
    best = []
    for seed, run in rows.groupby("seed"):
        record = context.results.trainings.get((shown.label, int(seed)))
        if record is None or "best" not in record.checkpoints:
            continue
        epoch = record.checkpoints["best"].epoch
        metric = "clean" if record.selected_by == "clean accuracy" else "pgd"
        chosen = run.loc[run["epoch"] == epoch, f"validation_{metric}"]
        best += [(int(seed), epoch, float(accuracy)) for accuracy in chosen]
    clean, pgd = (mean_over_seeds(rows, "epoch", metric) for metric in METRICS)
    return Panel(
        method=shown,
        seeds=rows[["seed", "epoch", *METRICS]],
        means=clean.merge(pgd, on=["method", "epoch"]).drop(columns="method"),
        best=pd.DataFrame(best, columns=["seed", "epoch", "accuracy"]),
    )


def draw(data: Curves) -> Figure:
    """Return the figure; epochs have an axis of their own where methods differ in them."""
    columns = min(COLUMNS, len(data.panels))
    rows = math.ceil(len(data.panels) / columns)
    figure = style.sheet(0.25 + 1.4 * rows)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    lengths = {int(panel.seeds["epoch"].max()) for panel in data.panels}
    for i, axes in enumerate(grid.flat):
        if i >= len(data.panels):
            axes.set_visible(False)
            continue
        panel, bottom = data.panels[i], i + columns >= len(data.panels)
        _draw_panel(axes, panel)
        axes.set_ylim(data.low - 1, data.high + 1)
        style.set_title(axes, panel.method.name, width=22)
        axes.tick_params(labelbottom=bottom or len(lengths) > 1)
        if bottom:
            axes.set_xlabel("Epoch")
        if i % columns == 0:
            axes.set_ylabel("Validation accuracy")
    several = any(panel.seeds["seed"].nunique() > 1 for panel in data.panels)
    mean = ", mean over seeds" if several else ""
    entries = [
        (f"{name}{mean}", style.key(color=colour, lw=1.5)) for name, colour in METRICS.values()
    ]
    entries += [("one seed", style.key(color=style.SOFT, lw=0.6))] * several
    entries.append(("epoch kept as best", style.key(mec=style.INK, **BEST)))
    return style.finish(figure, data.caption, entries)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for metric, (_, colour) in METRICS.items():
        if panel.seeds["seed"].nunique() > 1:
            for _, run in panel.seeds.groupby("seed"):
                axes.plot(run["epoch"], run[metric], color=colour, lw=0.6, alpha=0.5)
        few: dict[str, Any] = {"marker": "o", "ms": 2.5} if len(panel.means) < 3 else {}
        axes.plot(panel.means["epoch"], panel.means[metric], color=colour, lw=1.5, **few)
    for best in panel.best.itertuples():
        axes.plot(best.epoch, best.accuracy, mec=style.INK, clip_on=False, zorder=5, **BEST)
    last = int(panel.seeds["epoch"].max())
    room = 0.02 * last if last > 1 else 0.5
    axes.set_xlim(1 - room, last + room)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter("{x:g}%")
    axes.grid(True)


def plotly(data: Curves) -> dict[str, go.Figure]:
    """Return a figure a method for the page."""
    found = {}
    for place, panel in enumerate(data.panels):
        traces = []
        several = panel.seeds["seed"].nunique() > 1
        for metric, (name, colour) in METRICS.items():
            for seed, run in panel.seeds.groupby("seed") if several else ():
                told = f"seed {seed}, {name}"
                traces.append(_trace(run, metric, told, colour, width=0.8, opacity=0.45))
            mean = f"mean of {panel.seeds['seed'].nunique()} seeds, {name}" if several else name
            traces.append(_trace(panel.means, metric, mean, colour, width=2))
        traces.append(
            go.Scatter(
                x=panel.best["epoch"].tolist(),
                y=panel.best["accuracy"].tolist(),
                mode="markers",
                marker={"symbol": "circle-open", "color": style.BLACK, "size": 7},
                name="epoch kept as best",
                text=[f"seed {seed}" for seed in panel.best["seed"]],
                hovertemplate="%{text}: epoch %{x} kept as best<extra></extra>",
            )
        )
        last = int(panel.seeds["epoch"].max())
        found[f"curves-{place}"] = style.chart(
            traces,
            title=panel.method.name,
            label=f"Learning curves of {panel.method.name}: clean and PGD accuracy by epoch",
            x="Epoch",
            y="Validation, %",
            height=240,
            showlegend=False,
            yaxis={"range": [data.low - 1, data.high + 1]},
            xaxis={"range": [1 - 0.02 * last, 1.02 * last] if last > 1 else [0.5, 1.5]},
        )
    return found


def _trace(
    rows: pd.DataFrame, metric: str, name: str, colour: str, width: float, opacity: float = 1
) -> go.Scatter:
    return go.Scatter(
        x=rows["epoch"].tolist(),
        y=rows[metric].tolist(),
        mode="lines" if len(rows) > 1 else "markers",
        line={"color": colour, "width": width},
        marker={"color": colour},
        opacity=opacity,
        name=name,
        hovertemplate=f"{name}<br>epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
    )
