"""How far each variant of an open choice is from its base: a forest plot of differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.ablations import SMALL, unadjusted
from bench.analysis.names import attack_name, network_names
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context
from bench.analysis.sheets import with_images

SMALL_BAND = "#f1f1f1"
COLOURS = {"clean": style.SKY, "robust": style.VERMILLION}
SEED: dict[str, Any] = {"marker": "|", "ms": 5, "mew": 0.7, "ls": "none", "mec": style.SOFT}


@dataclass(frozen=True, eq=False)
class Ablations:
    """The differences in accuracy: `rows` of ablations.csv, with `seeds` as lists of numbers.

    `lines` has choice, base, variant and the names of both, in the order of the figure.
    """

    rows: pd.DataFrame
    lines: pd.DataFrame
    attack: str
    caption: Sequence[str]


def ablations(context: Context) -> Ablations | None:
    """Return the differences; None where the experiment has no ablations."""
    found = context.results.ablations
    if found is None:
        return None
    rows = found[found["quantity"] == "accuracy"]
    lines = rows[["choice", "base", "variant"]].drop_duplicates().reset_index(drop=True)
    names = network_names(context.results.ours)
    lines = lines.assign(
        base_name=lines["base"].map(names), variant_name=lines["variant"].map(names)
    )
    seeds = [[float(value) for value in text.split(";") if value] for text in rows["by_seed"]]
    counts = {
        noun: captions.joined(sorted(rows[column].unique().tolist()))
        for noun, column in (("seeds", "n_seeds"), ("test images", "n_images"))
    }
    told = "; ".join(f"{number} {noun}" for noun, number in counts.items())
    return Ablations(
        rows=rows.assign(seeds=seeds),
        lines=lines,
        attack=next((str(a) for a in rows["attack"] if a != "clean"), "clean"),
        caption=[
            captions.setting(context),
            f"Variant minus base over the same seeds and images ({told}). An interval that "
            f"excludes zero: the choice matters; one within the band of {SMALL:g} point: it does "
            "not; else undecided.",
            *unadjusted(found),
        ],
    )


def _panels(data: Ablations) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield kind, title and rows, in the order of `lines`, of clean and robust accuracy."""
    rows = {attack: data.rows[data.rows["attack"] == attack] for attack in ("clean", data.attack)}
    names = {"clean": "Clean", data.attack: attack_name(data.attack)}
    titles = with_images(
        {
            f"{names[attack]} accuracy, points": ([""] * len(own), own["n_images"])
            for attack, own in rows.items()
        }
    )
    for kind, own, title in zip(("clean", "robust"), rows.values(), titles, strict=True):
        yield kind, title, data.lines.merge(own, on=["choice", "base", "variant"], how="left")


def draw(data: Ablations) -> Figure:
    """Return the figure; choices and their variants from top to bottom."""
    ticks, names, y = [], [], 0.0
    headings: list[tuple[float, str]] = []
    before = None
    for row in data.lines.itertuples():
        if (row.choice, row.base) != before:
            before = (row.choice, row.base)
            headings.append((y, f"{row.choice}, against {row.base_name}"))
            y += 1.0
        ticks.append(y)
        names.append(row.variant_name)
        y += 1.0
    figure = style.sheet(0.6 + 0.21 * y)
    grid = figure.subplots(1, 2, sharey=True)
    for axes, (kind, title, rows) in zip(grid, _panels(data), strict=True):
        axes.axvspan(-SMALL, SMALL, color=SMALL_BAND, zorder=0)
        axes.axvline(0, color=style.SOFT, lw=0.6, zorder=1)
        _forest(axes, rows, ticks, COLOURS[kind])
        axes.set_xlabel(title)
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
    return style.finish(figure, data.caption, entries)


def _forest(axes: Axes, rows: pd.DataFrame, ticks: Sequence[float], colour: str) -> None:
    for y, row in zip(ticks, rows.itertuples(), strict=True):
        if row.difference != row.difference:
            continue
        if len(row.seeds) > 1:
            axes.plot(row.seeds, [y] * len(row.seeds), zorder=3, **SEED)
        axes.plot([row.low, row.high], [y, y], color=colour, lw=1.2, zorder=2)
        axes.plot(row.difference, y, "o", color=colour, ms=4, mec="white", mew=0.5, zorder=4)


def plotly(data: Ablations) -> dict[str, go.Figure]:
    """Return a figure each for clean and robust accuracy for the page."""
    found = {}
    for kind, title, rows in _panels(data):
        known = rows.dropna(subset=["difference"])
        low, high = (known[side].fillna(known["difference"]) for side in ("low", "high"))
        places = known.index.tolist()
        names = [
            escape(f"{row.choice}: {row.variant_name}", quote=False) for row in known.itertuples()
        ]
        trace = go.Scatter(
            x=known["difference"].tolist(),
            y=places,
            mode="markers",
            marker={"color": COLOURS[kind], "size": 8},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": (high - known["difference"]).tolist(),
                "arrayminus": (known["difference"] - low).tolist(),
                "color": COLOURS[kind],
            },
            text=names,
            hovertemplate="%{text}<br>%{x:+.2f} points<extra></extra>",
            showlegend=False,
        )
        found[f"ablations-{kind}"] = style.chart(
            [trace],
            title=title,
            label=f"{title}, variant minus base, with 95 % intervals",
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
