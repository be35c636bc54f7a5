"""The loss around a few test images, of each method's first seed that has pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context, shown_checkpoint
from bench.analysis.plots.style import MethodDisplay

COLUMNS = 5
BALL: dict[str, Any] = {"color": "white", "lw": 0.7, "ls": (0, (2, 1.2))}
BORDER: dict[str, Any] = {"color": style.VERMILLION, "lw": 1.1}


@dataclass(frozen=True, eq=False)
class Surface:
    """The loss in nats around one image and where the network is right, each [along, aside].

    `ticks` are the places along either direction, from -1 to 1 in units of the radius.
    """

    seed: int
    index: int
    ticks: NDArray[np.float64]
    losses: NDArray[np.float64]
    right: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Surfaces:
    """The pictures by method; colours end at a loss of `highest`."""

    displays: Mapping[str, MethodDisplay]
    pictures: Mapping[str, Sequence[Surface]]
    highest: float
    caption: Sequence[str]


def surfaces(context: Context) -> Surfaces | None:
    """Return the pictures; None where none were made."""
    rows = shown_checkpoint(context.results.surfaces)
    if rows.empty:
        return None
    rows = rows[rows["seed"] == rows.groupby("method")["seed"].transform("min")]
    pictures: dict[str, list[Surface]] = {}
    for label in context.methods:
        for (seed, index), own in rows[rows["method"] == label].groupby(["seed", "index"]):
            pictures.setdefault(label, []).append(_surface(int(seed), int(index), own))
    losses = rows["loss"].to_numpy(float)
    # A few huge losses would leave all others one colour.
    highest = float(np.quantile(losses[np.isfinite(losses)], 0.95))
    return Surfaces(
        displays={label: context.methods[label] for label in pictures},
        pictures=pictures,
        highest=max(highest, 1e-3),
        caption=captions.surfaces(context, sorted(rows["seed"].unique().tolist())),
    )


def _surface(seed: int, index: int, rows: pd.DataFrame) -> Surface:
    losses, right = (
        rows.pivot(index="along", columns="aside", values=v) for v in ("loss", "right")
    )
    ticks = losses.index.to_numpy(float)
    return Surface(seed, index, ticks, losses.to_numpy(float), right.to_numpy(float) > 0)


def draw(data: Surfaces) -> Figure:
    """Return the figure: a block of pictures a method, all with the same colours."""
    columns = min(COLUMNS, len(data.displays))
    rows = math.ceil(len(data.displays) / columns)
    most = max(map(len, data.pictures.values()))
    side = math.ceil(math.sqrt(most))
    high = math.ceil(most / side)
    cell = style.WIDTH / (COLUMNS * side)
    figure = style.sheet(0.2 + rows * (high * cell + 0.2))
    blocks = figure.subfigures(rows, COLUMNS, squeeze=False)
    limits = Normalize(0.0, data.highest)
    for block, (label, shown) in zip(blocks.flat, data.displays.items(), strict=False):
        style.set_title(block, shown.name, width=18)
        grid = block.subplots(high, side, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, surface in zip(grid.flat, data.pictures[label], strict=False):
            _draw_picture(axes, surface, limits)
    entries = [
        ("border of the right class", style.key(**BORDER)),
        ("ball of radius ε", style.key(**{**BALL, "color": style.SOFT})),
    ]
    style.finish(figure, data.caption, entries)
    height = float(figure.get_figheight())
    bar = figure.add_axes((0.66, 1 - 0.14 / height, 0.22, 0.08 / height))
    bar.set_in_layout(False)
    figure.colorbar(ScalarMappable(limits, style.RISING), cax=bar, orientation="horizontal")
    bar.tick_params(length=2, pad=1, labelsize=6.6)
    bar.text(1.06, 0.5, "loss, nats", size=7.5, va="center", transform=bar.transAxes)
    return figure


def _draw_picture(axes: Axes, surface: Surface, limits: Normalize) -> None:
    axes.imshow(
        surface.losses,
        origin="lower",
        extent=(-1.0, 1.0, -1.0, 1.0),
        cmap=style.RISING,
        norm=limits,
        interpolation="nearest",
    )
    if surface.right.any() and not surface.right.all():
        ticks, right = surface.ticks, surface.right.astype(float)
        look: dict[str, Any] = {"colors": [BORDER["color"]], "linewidths": [BORDER["lw"]]}
        axes.contour(ticks, ticks, right, levels=[0.5], **look)
    axes.plot([0, 1, 0, -1, 0], [1, 0, -1, 0, 1], **BALL)
    axes.plot(0, 0, marker=".", ms=2.5, color="white")
    axes.set_xlim(-1, 1)
    axes.set_ylim(-1, 1)


def plotly(data: Surfaces) -> dict[str, go.Figure]:
    """Return the first picture of each method for the page."""
    found = {}
    for place, (label, shown) in enumerate(data.displays.items()):
        first = data.pictures[label][0]
        ticks = first.ticks.tolist()
        trace = go.Heatmap(
            x=ticks,
            y=ticks,
            z=[[v if math.isfinite(v) else None for v in row] for row in first.losses.tolist()],
            zmin=0,
            zmax=data.highest,
            colorscale="Cividis",
            colorbar={"thickness": 10, "title": {"text": "loss", "side": "right"}},
            hovertemplate="along %{y}, aside %{x}: %{z:.3g} nats<extra></extra>",
        )
        axis = {"tickvals": [-1, 0, 1]}
        found[f"surface-{place}"] = style.chart(
            [trace],
            title=shown.name,
            label=f"Loss around image {first.index} for {shown.name}, seed {first.seed}",
            x="aside, ε",
            y="along the gradient, ε",
            height=260,
            xaxis=axis,
            yaxis=axis,
        )
    return found
