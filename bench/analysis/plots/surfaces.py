"""The loss around a few test images, of each method's first seed that has pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context, shown_checkpoint
from bench.analysis.plots.style import Chart

COLUMNS = 5
BALL: dict[str, Any] = {"color": "white", "lw": 0.7, "ls": (0, (2, 1.2))}
BORDER: dict[str, Any] = {"color": style.VERMILLION, "lw": 1.1}


@dataclass(frozen=True, eq=False)
class Surfaces:
    """The pictures by method's name; colours end at a loss of `highest`.

    A picture is of one image: the loss in nats by its places along the gradient (rows) and aside
    (columns), from -1 to 1 in units of the radius, and where the network is right.
    """

    pictures: Mapping[str, Sequence[tuple[pd.DataFrame, pd.DataFrame]]]
    highest: float
    caption: Sequence[str]
    columns: ClassVar[int] = COLUMNS

    def draw(self) -> Figure:
        """Return the figure: a block of pictures a method, all with the same colours."""
        rows = math.ceil(len(self.pictures) / COLUMNS)
        most = max(map(len, self.pictures.values()))
        side = math.ceil(math.sqrt(most))
        high = math.ceil(most / side)
        figure = style.sheet(0.2 + rows * (high * style.WIDTH / (COLUMNS * side) + 0.2))
        blocks = figure.subfigures(rows, COLUMNS, squeeze=False)
        limits = Normalize(0.0, self.highest)
        for block, (name, pictures) in zip(blocks.flat, self.pictures.items(), strict=False):
            style.set_title(block, name, width=18)
            grid = block.subplots(high, side, squeeze=False)
            for axes in grid.flat:
                axes.set_axis_off()
            for axes, (losses, right) in zip(grid.flat, pictures, strict=False):
                _draw_picture(axes, losses, right, limits)
        entries = {
            "border of the right class": style.key(**BORDER),
            "ball of radius ε": style.key(**BALL | {"color": style.SOFT}),
        }
        style.finish(figure, self.caption, entries)
        height = float(figure.get_figheight())
        bar = figure.add_axes((0.66, 1 - 0.14 / height, 0.22, 0.08 / height))
        bar.set_in_layout(False)
        figure.colorbar(ScalarMappable(limits, style.RISING), cax=bar, orientation="horizontal")
        bar.tick_params(length=2, pad=1, labelsize=6.6)
        bar.text(1.06, 0.5, "loss, nats", size=7.5, va="center", transform=bar.transAxes)
        return figure

    def charts(self) -> dict[str, Chart]:
        """Return the first picture of each method for the page."""
        found = {}
        axis = {"tickvals": [-1, 0, 1]}
        for name, pictures in self.pictures.items():
            losses, _ = pictures[0]
            trace = {
                "type": "heatmap",
                "x": losses.columns.tolist(),
                "y": losses.index.tolist(),
                "z": style.known(losses),
                "zmin": 0,
                "zmax": self.highest,
                "colorscale": "Cividis",
                "colorbar": {"thickness": 10, "title": {"text": "loss", "side": "right"}},
                "hovertemplate": "along %{y}, aside %{x}: %{z:.3g} nats<extra></extra>",
            }
            found[name] = style.chart(
                [trace],
                title=name,
                label=f"Loss around an image for {name}",
                x="aside, ε",
                y="along the gradient, ε",
                height=260,
                xaxis=axis,
                yaxis=axis,
            )
        return found


def collect(context: Context) -> Surfaces | None:
    """Return the pictures; None where none were made."""
    rows = shown_checkpoint(context.results.surfaces)
    if rows.empty:
        return None
    rows = rows[rows["seed"] == rows.groupby("method")["seed"].transform("min")]
    rows = rows.astype({"loss": float, "right": float})
    pictures: dict[str, list[tuple[pd.DataFrame, pd.DataFrame]]] = {}
    for label, shown in context.methods.items():
        for _, own in rows[rows["method"] == label].groupby("index"):
            both = own.pivot(index="along", columns="aside", values=["loss", "right"])
            pictures.setdefault(shown.name, []).append((both["loss"], both["right"] > 0))
    losses = rows["loss"].to_numpy(float)
    # A few huge losses would leave all others one colour.
    highest = float(np.quantile(losses[np.isfinite(losses)], 0.95))
    return Surfaces(
        pictures=pictures,
        highest=max(highest, 1e-3),
        caption=[
            captions.setting(context, seeds=rows["seed"].unique().tolist()),
            "Each picture: an image that is classified correctly at its center, ±ε along the sign "
            "of the loss's gradient (vertical) and along random signs (horizontal).",
            "An even slope is what gradient attacks need; plateaus, ripples and cliffs mislead "
            "them.",
        ],
    )


def _draw_picture(axes: Axes, losses: pd.DataFrame, right: pd.DataFrame, limits: Normalize) -> None:
    look: dict[str, Any] = {"extent": (-1.0, 1.0, -1.0, 1.0), "interpolation": "nearest"}
    axes.imshow(losses, origin="lower", cmap=style.RISING, norm=limits, **look)
    if right.any(axis=None) and not right.all(axis=None):
        look = {"colors": [BORDER["color"]], "linewidths": [BORDER["lw"]]}
        axes.contour(right.columns, right.index, right.astype(float), levels=[0.5], **look)
    axes.plot([0, 1, 0, -1, 0], [1, 0, -1, 0, 1], **BALL)
    axes.plot(0, 0, marker=".", ms=2.5, color="white")
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
