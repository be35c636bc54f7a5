"""Replayed adversarial examples: success and forgetting rate, direction, loss by age, weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context, mean_over_seeds
from bench.analysis.plots.style import MethodDisplay
from bench.results.options import options_of

AGE = re.compile(r"replay_loss_age(\d+)")
FORGETTING = "forgetting_rate"
WEIGHT = "replay_weight_p50"
# By column: title, title of the y axis, unit.
PANELS = {
    "replay_success_rate": ("Replay success rate", "% of last epoch's examples", " %"),
    FORGETTING: ("Forgetting rate", "% of those it had resisted", " %"),
    "replay_cosine": ("Cosine of old and new perturbation", "cosine", ""),
    WEIGHT: ("V1's weight: median (band: 10th to 90th percentile)", "1.0000001 − p(y | x″)", ""),
}
BY_AGE = ("Loss by age, at the end of training", "cross-entropy, nats", " nats")
EMPHASIZED, COMPARED = "memloss", "trades"  # the comparison that the figure is for
SPAN: dict[str, Any] = {"fc": to_rgba(style.BLUE, 0.25), "ec": style.BLUE, "lw": 0.8}
LONG = 1.5  # times the second longest training: later epochs are cut off


@dataclass(frozen=True, eq=False)
class ReplayPanel:
    """One quantity: `means` has method, x (epoch, or age in epochs) and y, means over seeds.

    `bands` has method, x, low and high.
    """

    title: str
    x: str
    y: str
    unit: str
    means: pd.DataFrame
    bands: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=["method"]))


@dataclass(frozen=True, eq=False)
class Replay:
    """The panels of the figure; `until` is the last epoch shown."""

    displays: Mapping[str, MethodDisplay]
    panels: Sequence[ReplayPanel]
    until: int
    caption: Sequence[str]


def replay(context: Context) -> Replay:
    """Return what was measured of replayed examples; no panel where nothing was."""
    history = context.results.history
    measured = [name for name in history if name.startswith("replay_") or name == FORGETTING]
    history = history[history[measured].notna().any(axis=1)] if measured else history.iloc[:0]
    panels = []
    for column, (title, y, unit) in PANELS.items():
        if column == WEIGHT and not (by_age := _by_age(context, history)).empty:
            about, measured_in, short = BY_AGE
            panels.append(ReplayPanel(about, "Age in epochs", measured_in, short, by_age))
        means = _means(context, history, "epoch", column)
        if not means.empty:
            bands = _bands(context, history) if column == WEIGHT else means.iloc[:0]
            panels.append(ReplayPanel(title, "Epoch", y, unit, means, bands))
    lengths = history.groupby("method")["epoch"].max().sort_values()
    until, said = _until(context, lengths)
    methods = set(history["method"])
    return Replay(
        displays={label: shown for label, shown in context.methods.items() if label in methods},
        panels=panels,
        until=until,
        caption=[captions.setting(context), *captions.REPLAY, *said],
    )


def _until(context: Context, lengths: pd.Series) -> tuple[int, list[str]]:
    """Return the last epoch to show, which one long training must not decide."""
    if len(lengths) < 2 or lengths.iloc[-1] <= LONG * lengths.iloc[-2]:
        return int(lengths.max()) if len(lengths) else 1, []
    name, until = context.methods[str(lengths.index[-1])].name, int(lengths.iloc[-2])
    return until, [f"{name} was trained for {lengths.iloc[-1]} epochs; here are the first {until}."]


def _means(context: Context, history: pd.DataFrame, at: str, column: str) -> pd.DataFrame:
    if column not in history:
        return pd.DataFrame(columns=["method", "x", "y"])
    means = mean_over_seeds(history, at, column).rename(columns={at: "x", column: "y"})
    return context.ordered(means)


def _by_age(context: Context, history: pd.DataFrame) -> pd.DataFrame:
    columns = {name: int(found[1]) for name in history if (found := AGE.fullmatch(name))}
    if not columns or history.empty:
        return pd.DataFrame(columns=["method", "x", "y"])
    last = history.sort_values("epoch", kind="stable").groupby(["method", "seed"]).tail(1)
    last = last[["method", "seed", *columns]]
    tidy = last.melt(["method", "seed"], list(columns), "column", "loss").dropna()
    tidy["age"] = tidy["column"].map(columns)
    means = mean_over_seeds(tidy, "age", "loss").rename(columns={"age": "x", "loss": "y"})
    return context.ordered(means.astype({"y": float}))


def _bands(context: Context, history: pd.DataFrame) -> pd.DataFrame:
    """Return between which percentiles the weights lie, of the methods that use them."""
    rows = context.results.ours.drop_duplicates("method")
    weighing = [
        row.method
        for row in rows.itertuples()
        if row.base_method == "memloss"
        and {("variant", "v1"), ("weight", "A")} <= (own := options_of(row.options)).items()
        and own.get("alignment") != "clean_crop"
    ]
    chosen = history[history["method"].isin(weighing)]
    low, high = (
        _means(context, chosen, "epoch", f"replay_weight_p{percent}").rename(columns={"y": name})
        for percent, name in ((10, "low"), (90, "high"))
    )
    return low.merge(high, on=["method", "x"])


def draw(data: Replay) -> Figure:
    """Return the figure: MemLoss drawn boldly over what all of TRADES spans, the others thinly."""
    panels = data.panels
    rows = max(1, -(-len(panels) // 2))
    figure = style.sheet(1.8 * rows)
    grid = figure.subplots(rows, 2, squeeze=False)
    for i, axes in enumerate(grid.flat):
        if i < len(panels):
            _draw_panel(axes, panels[i], data)
        else:
            axes.set_axis_off()
    if not panels:
        said = "no method here trains on adversarial examples"
        grid.flat[0].text(0.5, 0.5, said, ha="center")
    spanned = [shown for shown in data.displays.values() if shown.family == COMPARED]
    entries: list[tuple[str, Any]] = []
    if spanned:
        several = f"TRADES, least to most of {len(spanned)}" if spanned[1:] else spanned[0].name
        entries.append((several, Patch(**SPAN)))
    entries += [
        (shown.name, style.key(**_look(shown)))
        for shown in data.displays.values()
        if shown.family != COMPARED
    ]
    return style.finish(figure, data.caption, entries)


def _draw_panel(axes: Axes, panel: ReplayPanel, data: Replay) -> None:
    spanned = [label for label, shown in data.displays.items() if shown.family == COMPARED]
    span = panel.means[panel.means["method"].isin(spanned)].groupby("x")["y"].agg(["min", "max"])
    axes.fill_between(span.index, span["min"], span["max"], **SPAN)
    for label, band in panel.bands.groupby("method"):
        colour = data.displays[str(label)].colour
        axes.fill_between(band["x"], band["low"], band["high"], fc=to_rgba(colour, 0.12), lw=0)
    for label, own in panel.means.groupby("method", sort=False):
        if label not in spanned:
            few: dict[str, Any] = {"marker": "o", "ms": 2.5} if len(own) < 3 else {}
            axes.plot(own["x"], own["y"], **_look(data.displays[str(label)]), **few)
    axes.set_title(panel.title, pad=3, weight="normal")
    axes.set_xlabel(panel.x)
    axes.set_ylabel(panel.y, size=7)
    if panel.x == "Epoch":
        room = 0.02 * data.until
        axes.set_xlim(1 - room, data.until + room + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True)


def _look(shown: MethodDisplay) -> dict[str, Any]:
    bold = shown.family == EMPHASIZED
    weight: dict[str, Any] = {"lw": 1.6, "zorder": 3} if bold else {"lw": 0.9, "alpha": 0.75}
    return {"color": shown.colour, "ls": shown.dash[0], **weight}


def plotly(data: Replay) -> dict[str, go.Figure]:
    """Return a figure a panel for the page, with a curve of each method."""
    found = {}
    for place, panel in enumerate(data.panels):
        traces = []
        for label, band in panel.bands.groupby("method"):
            traces += _band(data.displays[str(label)], band)
        traces += [
            style.line(data.displays[str(label)], own["x"], own["y"], panel.unit)
            for label, own in panel.means.groupby("method", sort=False)
        ]
        limits = {"range": [0.5, data.until + 0.5]} if panel.x == "Epoch" else {}
        found[f"replay-{place}"] = style.chart(
            traces,
            title=panel.title,
            label=f"{panel.title}: mean over seeds of every method",
            x=panel.x,
            y=panel.y,
            xaxis=limits,
        )
    return found


def _band(shown: MethodDisplay, band: pd.DataFrame) -> list[go.Scatter]:
    red, green, blue, _ = (round(255 * part) for part in to_rgba(shown.colour))
    return [
        style.scatter(
            shown,
            band["x"],
            band[edge],
            mode="lines",
            line={"color": shown.colour, "width": 0.5},
            fill=fill,
            fillcolor=f"rgba({red}, {green}, {blue}, 0.15)",
            hovertemplate=f"%{{fullData.name}}<br>{percent}th percentile, epoch %{{x}}: "
            "%{y:.4g}<extra></extra>",
            showlegend=False,
        )
        for edge, fill, percent in (("low", "none", 10), ("high", "tonexty", 90))
    ]
