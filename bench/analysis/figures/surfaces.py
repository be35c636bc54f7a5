"""The loss around a few images: one block of pictures a method, all with the same colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.figures import style
from bench.analysis.figures.examined import Plane

MARGIN, ACROSS, UPWARD, INNER, COLUMNS = 0.12, 0.18, 0.34, 0.03, 5
COLOURS = "cividis"
BALL: dict[str, Any] = {"color": "white", "lw": 0.7, "ls": (0, (2, 1.2))}
BORDER: dict[str, Any] = {"color": style.VERMILLION, "lw": 1.1}


def draw(
    planes: Mapping[str, Sequence[Plane]], *, names: Mapping[str, str], caption: Sequence[str]
) -> Figure:
    """Return the figure; `planes` holds each method's pictures, in the order of the blocks."""
    methods = list(planes)
    columns = min(COLUMNS, len(methods))
    rows = math.ceil(len(methods) / columns)
    most = max(len(pictures) for pictures in planes.values())
    side = math.ceil(math.sqrt(most))
    lines = style.caption_lines(caption, MARGIN)
    foot, head = 0.1 + style.caption_height(lines), 0.62
    wide = (style.WIDTH - 2 * MARGIN - (COLUMNS - 1) * ACROSS) / COLUMNS
    cell = (wide - (side - 1) * INNER) / side
    high = math.ceil(most / side)
    tall = high * cell + (high - 1) * INNER
    figure = style.sheet(foot + rows * tall + (rows - 1) * UPWARD + head)
    size = min(style.fitted(names[method], 8, wide * style.POINTS) for method in methods)
    losses = np.concatenate([plane.losses.ravel() for found in planes.values() for plane in found])
    # A few huge losses would leave all others one colour.
    limits = Normalize(0.0, max(float(np.quantile(losses[np.isfinite(losses)], 0.95)), 1e-3))
    for i, method in enumerate(methods):
        row, column = divmod(i, columns)
        left = MARGIN + column * (wide + ACROSS)
        bottom = foot + (rows - 1 - row) * (tall + UPWARD)
        for k, plane in enumerate(planes[method]):
            down, over = divmod(k, side)
            place = (left + over * (cell + INNER), bottom + tall - cell - down * (cell + INNER))
            _picture(style.axes_at(figure, *place, cell, cell), plane, limits)
        # The title of a block belongs to no picture of it.
        inches = figure.get_size_inches()
        x, y = left / inches[0], (bottom + tall + 0.05) / inches[1]
        figure.text(x, y, names[method], size=size, weight="bold", va="bottom")
    _head(figure, limits)
    style.write_caption(figure, lines, MARGIN)
    return figure


def _picture(axes: Axes, plane: Plane, limits: Normalize) -> None:
    box = (-1.0, 1.0, -1.0, 1.0)
    axes.imshow(
        plane.losses, origin="lower", extent=box, cmap=COLOURS, norm=limits, interpolation="nearest"
    )
    if plane.right.any() and not plane.right.all():
        ticks = np.linspace(-1, 1, len(plane.right))
        axes.contour(
            ticks,
            ticks,
            plane.right.astype(float),
            levels=[0.5],
            colors=[BORDER["color"]],
            linewidths=[BORDER["lw"]],
        )
    axes.plot([0, 1, 0, -1, 0], [1, 0, -1, 0, 1], **BALL)
    axes.plot(0, 0, marker=".", ms=2.5, color="white")
    axes.set_xlim(-1, 1)
    axes.set_ylim(-1, 1)
    axes.set_axis_off()


def _head(figure: Figure, limits: Normalize) -> None:
    high = float(figure.get_size_inches()[1])
    bar = style.axes_at(figure, MARGIN, high - 0.2, 1.9, 0.09)
    colours = figure.colorbar(
        ScalarMappable(limits, COLOURS), cax=bar, orientation="horizontal", extend="max"
    )
    colours.outline.set_visible(False)
    bar.tick_params(length=2, pad=1, labelsize=6.6)
    bar.text(1.09, 0.5, "Loss, nats", size=7.5, va="center", transform=bar.transAxes)
    entries = [
        ("border of the right class", Line2D([], [], **BORDER)),
        ("ball of radius ε", Line2D([], [], **{**BALL, "color": style.SOFT})),
    ]
    style.legend(figure, entries, left=3.4, columns=len(entries))
