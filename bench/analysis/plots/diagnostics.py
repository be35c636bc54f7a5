"""Accuracy against stronger and stronger attacks: by radius, steps, restarts, and Square alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import (
    Context,
    mean_over_seeds,
    of_shown_checkpoint,
    shown_checkpoint,
)
from bench.analysis.plots.style import MethodDisplay

COLUMNS = 3
PGD, FGSM = style.VERMILLION, style.SKY
LOOKS: dict[str, dict[str, Any]] = {
    "eps": {"color": PGD, "lw": 1.5},
    "steps": {"color": PGD, "lw": 1.5},
    "fgsm": {"color": FGSM, "lw": 1.2, "ls": (0, (3, 1.5))},
    "restarts": {"marker": "v", "ms": 4, "mfc": "white", "mec": PGD, "mew": 1.0, "ls": "none"},
    # Open, as it may lie on the triangle.
    "square": {"marker": "D", "ms": 4, "mfc": "none", "mec": "black", "mew": 0.8, "ls": "none"},
}
# For the page: title, title of the x axis, whether x is shown on a log scale.
CHARTS = {
    "eps": ("PGD against radius", "radius / ε", False),
    "fgsm": ("FGSM against radius", "radius / ε", False),
    "steps": ("PGD against steps", "steps", True),
    "restarts": ("PGD against restarts", "restarts", False),
    "square": ("Square alone against queries", "queries", True),
}


@dataclass(frozen=True, eq=False)
class Strengths:
    """Accuracies in percent by strength of the attack.

    `seeds` has method, seed, check, x and accuracy, `means` the same without seed; x of `eps` and
    `fgsm` is the radius over the ε that robustness is claimed for. `failed` are the checks that a
    method did not pass. From the radius `end` on no PGD curve is above 0.
    """

    displays: Mapping[str, MethodDisplay]
    seeds: pd.DataFrame
    means: pd.DataFrame
    failed: Mapping[str, Sequence[str]]
    end: float
    caption: Sequence[str]


def strengths(context: Context) -> Strengths | None:
    """Return the curves; None where no diagnostics were run."""
    curves = shown_checkpoint(context.results.curves)
    curves = curves[curves["check"].isin(list(CHARTS))]
    if curves.empty:
        return None
    by_radius = curves["check"].isin(["eps", "fgsm"])
    x = curves["x"].where(~by_radius, curves["x"] / max(context.radii))
    seeds = context.ordered(curves.assign(x=x))[["method", "seed", "check", "x", "accuracy"]]
    means = [
        mean_over_seeds(own, "x", "accuracy").assign(check=check)
        for check, own in seeds.groupby("check")
    ]
    failed: dict[str, dict[str, None]] = {}
    for (method, _), record in context.results.diagnostics.items():
        checks = of_shown_checkpoint(record.checkpoints).failed
        failed.setdefault(method, {}).update(dict.fromkeys(checks))
    shown = [label for label in context.methods if (seeds["method"] == label).any()]
    numbers = sorted(seeds["seed"].unique().tolist())
    return Strengths(
        displays={label: context.methods[label] for label in shown},
        seeds=seeds,
        means=context.ordered(pd.concat(means)),
        failed={label: list(names) for label, names in failed.items()},
        end=_end(seeds[seeds["check"] == "eps"]),
        caption=captions.diagnostics(context, numbers, int(curves["n"].max())),
    )


def _end(curves: pd.DataFrame) -> float:
    """Return the radius from which on all curves are at 0, or where the last one ends."""
    ends = []
    for _, curve in curves.groupby(["method", "seed"]):
        last_above = curve.loc[curve["accuracy"] > 0, "x"].max()
        beyond = curve.loc[~(curve["x"] <= last_above), "x"]
        ends.append(float(beyond.min() if len(beyond) else curve["x"].max()))
    return max([1.0, *ends])


def draw(data: Strengths) -> Figure:
    """Return the figure: a panel a method, the radius at the left, PGD's steps at the right."""
    columns = min(COLUMNS, len(data.displays))
    failed = max(map(len, data.failed.values()), default=0)
    rows = math.ceil(len(data.displays) / columns)
    figure = style.sheet(0.3 + 1.4 * rows + 0.12 * failed)
    ratios = (5, 3.4) * columns
    grid = figure.subplots(rows, 2 * columns, sharey=True, squeeze=False, width_ratios=ratios)
    for axes in grid.flat[2 * len(data.displays) :]:
        axes.set_visible(False)
    for i, (label, shown) in enumerate(data.displays.items()):
        radius, steps = grid.flat[2 * i], grid.flat[2 * i + 1]
        _radius_panel(radius, label, data)
        _steps_panel(steps, label, data)
        named = "".join(f"\n✗ {check}" for check in data.failed.get(label, ()))
        # Failed checks are named above the panel, where no curve is.
        style.set_title(radius, shown.name, 30, named)
        radius.set_ylim(-2, 102)
        radius.yaxis.set_major_locator(FixedLocator([0, 25, 50, 75, 100]))
        radius.yaxis.set_major_formatter("{x:g}%")
        steps.tick_params(left=False)
        steps.spines["left"].set_visible(False)
        for axes in (radius, steps):
            axes.grid(True)
            axes.tick_params(labelbottom=i + columns >= len(data.displays))
        if i % columns == 0:
            radius.set_ylabel("Accuracy")
        if i + columns >= len(data.displays):
            radius.set_xlabel("Radius / ε")
            steps.set_xlabel("Steps, at ε")
    entries = [
        ("PGD", style.key(**LOOKS["eps"])),
        ("FGSM, one step", style.key(**LOOKS["fgsm"])),
        ("PGD, all restarts", style.key(**LOOKS["restarts"])),
        ("Square alone", style.key(**LOOKS["square"])),
    ]
    if data.seeds["seed"].nunique() > 1:
        entries.append(("one seed", style.key(color=style.SOFT, lw=0.6)))
    return style.finish(figure, data.caption, entries, columns=len(entries))


def _of(frame: pd.DataFrame, label: str, check: str) -> pd.DataFrame:
    return frame[(frame["method"] == label) & (frame["check"] == check)]


def _curves(axes: Axes, label: str, check: str, data: Strengths) -> None:
    seeds = _of(data.seeds, label, check)
    if seeds["seed"].nunique() > 1:
        for _, own in seeds.groupby("seed"):
            axes.plot(own["x"], own["accuracy"], color=LOOKS[check]["color"], lw=0.6, alpha=0.5)
    mean = _of(data.means, label, check)
    axes.plot(mean["x"], mean["accuracy"], solid_capstyle="round", **LOOKS[check])


def _radius_panel(axes: Axes, label: str, data: Strengths) -> None:
    for check in ("fgsm", "eps"):
        _curves(axes, label, check, data)
    axes.axvline(1, color=style.SOFT, lw=0.6, ls=(0, (1, 1.5)), zorder=0.5)
    if data.end > 4:
        # Evenly to twice the radius, then by doublings, as the points lie.
        axes.set_xscale("function", functions=(_compressed, _expanded))
        ticks = [0, 1, *(2**k for k in range(1, 9) if 2**k <= data.end)]
    else:
        ticks = list(range(int(data.end) + 1))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0, data.end)


def _compressed(x: Any) -> Any:
    return np.where(x <= 2, x, 1 + np.log2(np.maximum(x, 2)))


def _expanded(y: Any) -> Any:
    return np.where(y <= 2, y, 2.0 ** (np.maximum(y, 2) - 1))


def _steps_panel(axes: Axes, label: str, data: Strengths) -> None:
    _curves(axes, label, "steps", data)
    axes.set_xscale("log")
    most = float(_of(data.seeds, label, "steps")["x"].max())
    for check in ("restarts", "square"):
        for accuracy in _of(data.means, label, check)["accuracy"][-1:]:
            axes.plot(most, accuracy, clip_on=False, **LOOKS[check])
    axes.xaxis.set_major_locator(FixedLocator([x for x in (1, 10, 100, 1000) if x <= most]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.9, 1.25 * max(most, 1.0))


def plotly(data: Strengths) -> dict[str, go.Figure]:
    """Return a figure for each attack, with a curve of each method, for the page."""
    found = {}
    for check, (title, x, logarithmic) in CHARTS.items():
        traces = [
            style.line(shown, own["x"], own["accuracy"], " %")
            for label, shown in data.displays.items()
            if len(own := _of(data.means, label, check))
        ]
        if not traces:
            continue
        places = sorted({place for trace in traces for place in trace.x})
        axis: dict[str, Any] = {"range": [0, data.end]} if check in ("eps", "fgsm") else {}
        if logarithmic:
            kind = "log" if len(places) > 1 else "linear"
            axis = {"type": kind, "tickvals": places, "ticktext": [f"{p:g}" for p in places]}
        found[f"strength-{check}"] = style.chart(
            traces,
            title=title,
            label=f"{title}: accuracy, mean over seeds, a curve for each method",
            x=x,
            y="Accuracy, %",
            xaxis=axis,
            yaxis={"range": [-2, 102]},
        )
    return found
