"""Accuracy of every method's network on the adversarial images of every other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context, of_shown_checkpoint, shown_checkpoint
from bench.analysis.plots.style import Chart, MethodDisplay

LARGEST = 0.5  # inches of a field


@dataclass(frozen=True, eq=False)
class Transfer:
    """Accuracy in percent, mean over seeds: rows are what images were made on, columns tried on.

    `weak` are targets that images made on another network break more often than their own.
    """

    displays: Mapping[str, MethodDisplay]
    accuracy: pd.DataFrame
    weak: frozenset[str]
    seeds: Sequence[int]
    caption: Sequence[str]
    columns: ClassVar[int] = 1

    def draw(self) -> Figure:
        """Return the figure, sources from top to bottom and targets from left to right."""
        names = [shown.name for shown in self.displays.values()]
        figure = style.sheet(1.3 + min(LARGEST * len(names), 4.0))
        axes = figure.subplots()
        values = self.accuracy.to_numpy(float)
        axes.imshow(values, cmap=style.RISING, vmin=0, vmax=100, aspect="auto")
        for row, column in np.ndindex(*values.shape):
            value = values[row, column]
            colour = style.readable_on(colormaps[style.RISING](value / 100)[:3])
            text = f"{value:.1f}" if np.isfinite(value) else ""
            axes.text(column, row, text, size=7, ha="center", va="center_baseline", color=colour)
        frame: dict[str, Any] = {
            "fill": False,
            "ec": style.VERMILLION,
            "lw": 1.3,
            "clip_on": False,
            "zorder": 4,
        }
        for k in range(len(names)):
            axes.add_patch(Rectangle((k - 0.5, k - 0.5), 1, 1, **frame))
        axes.set_yticks(range(len(names)), list(map(style.wrapped, names)))
        targets = list(map(style.wrapped, _targets(self)))
        turned: dict[str, Any] = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"}
        axes.set_xticks(range(len(names)), targets, **turned)
        axes.tick_params(length=0, labeltop=True, labelbottom=False, top=False, bottom=False, pad=4)
        axes.spines[:].set_visible(False)
        axes.set_ylabel("Images made on")
        axes.set_title("Tried on", size=8, weight="normal")
        return style.finish(figure, self.caption, {})

    def charts(self) -> dict[str, Chart]:
        """Return the figure for the page."""
        names = [shown.html for shown in self.displays.values()]
        places = list(range(len(names)))
        trace = {
            "type": "heatmap",
            "x": places,
            "y": places,
            "z": style.known(self.accuracy),
            "zmin": 0,
            "zmax": 100,
            "colorscale": "Cividis",
            "colorbar": {"thickness": 10, "title": {"text": "%"}},
            "texttemplate": "%{z:.1f}",
            "customdata": [[[source, target] for target in names] for source in names],
            "hovertemplate": "made on %{customdata[0]}<br>tried on %{customdata[1]}: %{z:.2f} %"
            "<extra></extra>",
        }
        targets = [escape(name, quote=False) for name in _targets(self)]
        shared = {"tickvals": places, "automargin": True}
        frame = {"type": "rect", "line": {"color": style.VERMILLION, "width": 2}}
        fields = [(place - 0.5, place + 0.5) for place in places]
        chart = style.chart(
            [trace],
            title="",
            label="Accuracy of every network on the adversarial images of every other",
            x="Tried on",
            y="",
            height=160 + 32 * len(names),
            shapes=[frame | {"x0": a, "x1": b, "y0": a, "y1": b} for a, b in fields],
            xaxis={"ticktext": targets, "side": "bottom", **shared},
            yaxis={
                "title": {"text": "Images made on", "standoff": 14},
                "ticktext": names,
                "autorange": "reversed",
                **shared,
            },
        )
        return {"matrix": chart}


def collect(context: Context) -> Transfer | None:
    """Return the matrix; None where no attack was transferred."""
    rows = shown_checkpoint(context.results.transfer)
    known = list(context.methods)
    rows = rows[rows["source"].isin(known) & rows["target"].isin(known)]
    if rows.empty:
        return None
    means = rows.groupby(["source", "target"])["accuracy"].mean().unstack()
    shown = [label for label in known if label in means.index and label in means]
    weak = {
        method
        for record in context.results.transfers.values()
        for method, checks in of_shown_checkpoint(record.checkpoints).items()
        if checks.failed
    }
    seeds = sorted(rows["seed"].unique().tolist())
    return Transfer(
        displays={label: context.methods[label] for label in shown},
        accuracy=means.loc[shown, shown],
        weak=frozenset(weak & set(shown)),
        seeds=seeds,
        caption=[
            captions.setting(context, seeds=seeds, n=int(rows["n"].max())),
            "Accuracy in percent of each network on the PGD images of each other, same seed."
            f"{' Mean over seeds.' if len(seeds) > 1 else ''}",
            "In a column the framed field, images made on the network itself, should be the "
            "lowest; ✗: another network's are lower by more than chance.",
        ],
    )


def _targets(data: Transfer) -> list[str]:
    return [f"{d.name} ✗" if label in data.weak else d.name for label, d in data.displays.items()]
