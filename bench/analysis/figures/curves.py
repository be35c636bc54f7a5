"""Learning curves: one small panel a method, all on the same axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.analysis.figures import style
from bench.analysis.figures.points import Curve

LEFT, RIGHT, ACROSS, UPWARD = 0.66, 0.12, 0.16, 0.36
CLEAN, ROBUST = style.SKY, style.VERMILLION
# Hollow, since the seeds' marks lie on each other and on the curves.
MARK: dict[str, Any] = {
    "marker": "o",
    "ms": 3.6,
    "mfc": "none",
    "mec": style.INK,
    "mew": 0.8,
    "ls": "none",
}


def draw(
    curves: Mapping[str, Sequence[Curve]], *, names: Mapping[str, str], caption: Sequence[str]
) -> Figure:
    """Return the figure; `curves` holds each method's runs, in the order of the panels."""
    methods = list(curves)
    columns = min(4, len(methods))
    rows = math.ceil(len(methods) / columns)
    lines = style.caption_lines(caption, LEFT)
    foot, head = 0.5 + style.caption_height(lines), 0.5
    wide = (style.WIDTH - LEFT - RIGHT - (columns - 1) * ACROSS) / columns
    tall = max(1.25, min(2.2, 0.8 * wide))
    figure = style.sheet(foot + rows * tall + (rows - 1) * UPWARD + head)
    size = min(style.fitted(names[method], 8, wide * style.POINTS) for method in methods)
    limits = _limits([curve for runs in curves.values() for curve in runs])
    for i, method in enumerate(methods):
        row, column = divmod(i, columns)
        bottom = foot + (rows - 1 - row) * (tall + UPWARD)
        axes = style.axes_at(figure, LEFT + column * (wide + ACROSS), bottom, wide, tall)
        _panel(axes, curves[method], limits)
        axes.set_title(names[method], loc="left", weight="bold", size=size, pad=3)
        axes.tick_params(labelleft=column == 0, labelbottom=i + columns >= len(methods))
        if i + columns >= len(methods):
            axes.set_xlabel("Epoch")
        if column == 0:
            axes.set_ylabel("Validation accuracy")
    _legend(figure)
    style.write_caption(figure, lines, LEFT)
    return figure


def _limits(curves: Sequence[Curve]) -> tuple[float, float, int]:
    values = [v for curve in curves for v in (*curve.clean, *curve.robust) if v is not None]
    low = 10 * math.floor(min(values) / 10)
    high = 10 * math.ceil(max(values) / 10)
    return low - 1.0, high + 1.0, max(curve.epochs[-1] for curve in curves)


def _panel(axes: Axes, runs: Sequence[Curve], limits: tuple[float, float, int]) -> None:
    low, high, epochs = limits
    for name, colour in (("clean", CLEAN), ("robust", ROBUST)):
        seeds = [
            {e: v for e, v in zip(run.epochs, getattr(run, name), strict=True) if v is not None}
            for run in runs
        ]
        if len(seeds) > 1:
            for seed in seeds:
                axes.plot(list(seed), list(seed.values()), color=colour, lw=0.6, alpha=0.55)
        shared = sorted(set.intersection(*(set(seed) for seed in seeds)))
        mean = [fmean(seed[epoch] for seed in seeds) for epoch in shared]
        few: dict[str, Any] = {"marker": "o", "ms": 2.5} if len(shared) < 3 else {}
        axes.plot(shared, mean, color=colour, lw=1.5, solid_capstyle="round", **few)
    for run in runs:
        epoch, accuracy = run.best
        axes.plot(epoch, accuracy, zorder=5, clip_on=False, **MARK)
    axes.set_ylim(low, high)
    room = 0.02 * epochs if epochs > 1 else 0.5
    axes.set_xlim(1 - room, epochs + room)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter("{x:g}%")
    axes.grid(True)


def _legend(figure: Figure) -> None:
    entries = [
        ("clean, mean over seeds", Line2D([], [], color=CLEAN, lw=1.5)),
        ("PGD, mean over seeds", Line2D([], [], color=ROBUST, lw=1.5)),
        ("one seed", Line2D([], [], color=style.SOFT, lw=0.6)),
        ("epoch kept as best, by seed", Line2D([], [], **MARK)),
    ]
    style.legend(figure, entries, left=LEFT, columns=len(entries))
