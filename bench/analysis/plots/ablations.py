"""How far each variant of an open choice is from its base: a forest plot of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.ablations import SMALL, unadjusted
from bench.analysis.names import attack_name, network_names
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context
from bench.analysis.plots.style import Chart
from bench.analysis.sheets import with_images

SMALL_BAND = "#f1f1f1"
COLOURS = {"clean": style.SKY, "robust": style.VERMILLION}
SEED: dict[str, Any] = {"marker": "|", "ms": 5, "mew": 0.7, "ls": "none", "mec": style.SOFT}


@dataclass(frozen=True, eq=False)
class Ablations:
    """The differences in accuracy: by "clean" and "robust", a line for each variant in order.

    A line has choice, base and variant by name, difference, low, high, and `seeds`, a list of the
    differences of single seeds. `titles` are those of the axes.
    """

    lines: Mapping[str, pd.DataFrame]
    titles: Mapping[str, str]
    caption: Sequence[str]
    columns: ClassVar[int] = 2

    def draw(self) -> Figure:
        """Return the figure; choices and their variants from top to bottom."""
        ticks, names, y = [], [], 0.0
        headings: list[tuple[float, str]] = []
        before = None
        for row in self.lines["clean"].itertuples():
            if (row.choice, row.base) != before:
                before = (row.choice, row.base)
                headings.append((y, f"{row.choice}, against {row.base}"))
                y += 1.0
            ticks.append(y)
            names.append(row.variant)
            y += 1.0
        figure = style.sheet(0.6 + 0.21 * y)
        grid = figure.subplots(1, 2, sharey=True)
        for axes, (kind, rows) in zip(grid, self.lines.items(), strict=True):
            axes.axvspan(-SMALL, SMALL, color=SMALL_BAND, zorder=0)
            axes.axvline(0, color=style.SOFT, lw=0.6, zorder=1)
            _forest(axes, rows, ticks, COLOURS[kind])
            axes.set_xlabel(self.titles[kind])
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.grid(True, axis="x")
        grid[0].set_ylim(y - 0.4, -0.6)
        grid[0].set_yticks(ticks, list(map(style.wrapped, names)))
        for at, text in headings:
            place: Any = ("figure fraction", "data")
            look: dict[str, Any] = {"weight": "bold", "va": "center", "annotation_clip": False}
            ground = {"fc": "white", "ec": "none", "pad": 1}
            heading = grid[0].annotate(text, (0.012, at), xycoords=place, bbox=ground, **look)
            # It may be longer than the names of the variants and lie over the axes.
            heading.set_in_layout(False)
        entries = {
            "mean and 95 % interval over seeds and images": style.key(
                color=style.INK, marker="o", ms=4
            ),
            "one seed": style.key(**SEED),
            f"within {SMALL:g} point": Patch(fc=SMALL_BAND),
        }
        return style.finish(figure, self.caption, entries)

    def charts(self) -> dict[str, Chart]:
        """Return a figure each for clean and robust accuracy for the page."""
        found = {}
        for kind, rows in self.lines.items():
            low, high = (rows[side].fillna(rows["difference"]) for side in ("low", "high"))
            places = rows.index.tolist()
            names = [
                escape(f"{row.choice}: {row.variant}", quote=False) for row in rows.itertuples()
            ]
            trace = {
                "type": "scatter",
                "x": rows["difference"].tolist(),
                "y": places,
                "mode": "markers",
                "marker": {"color": COLOURS[kind], "size": 8},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": (high - rows["difference"]).tolist(),
                    "arrayminus": (rows["difference"] - low).tolist(),
                    "color": COLOURS[kind],
                },
                "text": names,
                "hovertemplate": "%{text}<br>%{x:+.2f} points<extra></extra>",
                "showlegend": False,
            }
            found[kind] = style.chart(
                [trace],
                title=self.titles[kind],
                label=f"{self.titles[kind]}, variant minus base, with 95 % intervals",
                x="points",
                y="",
                height=110 + 26 * len(places),
                yaxis={
                    "autorange": "reversed",
                    "tickvals": places,
                    "ticktext": names,
                    "automargin": True,
                },
                xaxis={"zeroline": True},
                shapes=[
                    {
                        "type": "rect",
                        "x0": -SMALL,
                        "x1": SMALL,
                        "y0": 0,
                        "y1": 1,
                        "yref": "paper",
                        "line": {"width": 0},
                        "fillcolor": "rgba(128, 128, 128, 0.12)",
                    }
                ],
            )
        return found


def collect(context: Context) -> Ablations | None:
    """Return the differences; None where the experiment has no ablations."""
    found = context.results.ablations
    if found is None:
        return None
    rows, names = found[found["quantity"] == "accuracy"], network_names(context.results.ours)
    seeds = [[float(value) for value in text.split(";") if value] for text in rows["by_seed"]]
    rows = rows.assign(
        seeds=seeds, base=rows["base"].map(names), variant=rows["variant"].map(names)
    )
    is_clean = rows["attack"] == "clean"
    lines = {"clean": rows[is_clean], "robust": rows[~is_clean]}
    titles = with_images(
        {
            f"{attack_name(own['attack'].iloc[0])} accuracy, points": (
                [""] * len(own),
                own["n_images"],
            )
            for own in lines.values()
        }
    )
    counts = {
        noun: captions.joined(sorted(rows[column].unique().tolist()))
        for noun, column in (("seeds", "n_seeds"), ("test images", "n_images"))
    }
    told = "; ".join(f"{number} {noun}" for noun, number in counts.items())
    return Ablations(
        lines={kind: own.reset_index(drop=True) for kind, own in lines.items()},
        titles=dict(zip(lines, titles, strict=True)),
        caption=[
            captions.setting(context),
            f"Variant minus base over the same seeds and images ({told}). An interval that "
            f"excludes zero: the choice matters; one within the band of {SMALL:g} point: it does "
            "not; else undecided.",
            *unadjusted(found),
        ],
    )


def _forest(axes: Axes, rows: pd.DataFrame, ticks: Sequence[float], colour: str) -> None:
    for y, row in zip(ticks, rows.itertuples(), strict=True):
        if len(row.seeds) > 1:
            axes.plot(row.seeds, [y] * len(row.seeds), zorder=3, **SEED)
        axes.plot([row.low, row.high], [y, y], color=colour, lw=1.2, zorder=2)
        axes.plot(row.difference, y, "o", color=colour, ms=4, mec="white", mew=0.5, zorder=4)
