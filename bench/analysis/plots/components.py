"""What each component of AutoAttack broke, as shares of the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import pandas as pd
import plotly.graph_objects as go
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.names import attack_name
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context

# From what was never broken to what was wrong at once: the attacks in reverse order of their turn.
ORDER = ("", "square", "fab-t", "apgd-t", "apgd-ce")
COLOURS = {
    "": style.BLUE,
    "square": style.YELLOW,
    "fab-t": style.PURPLE,
    "apgd-t": style.ORANGE,
    "apgd-ce": style.SKY,
    "clean": "#bdbdbd",
}
NAMES = {"": "Robust", "clean": "Clean error"}
THIN = 3.5  # percent: the number of a narrower part is beside the bars


@dataclass(frozen=True, eq=False)
class Components:
    """Shares in percent, means over seeds: a row a method, the most robust first.

    The columns are what broke the images, "" for those never broken; `names` are of the rows.
    """

    shares: pd.DataFrame
    names: Sequence[str]
    caption: Sequence[str]


def components(context: Context) -> Components | None:
    """Return the shares; None where no per-example results were kept."""
    attack, examples = context.single_attack, context.results.examples
    chosen = examples[(examples["attack"] == attack) & (examples["checkpoint"] == "best")]
    if chosen.empty:
        return None
    plain = chosen.astype({"method": str, "seed": int, "broken_by": str})
    by_seed = plain.groupby(["method", "seed"])["broken_by"].value_counts(normalize=True)
    shares = 100 * by_seed.unstack(fill_value=0.0).groupby("method").mean()
    known = [*(ORDER if set(shares) & set(ORDER[1:]) else ORDER[:1])]
    others = sorted(set(shares) - set(ORDER) - {"clean"})
    shares = shares.reindex(columns=[*known, *others, "clean"], fill_value=0.0)
    shares = shares.loc[[label for label in context.methods if label in shares.index]]
    shares = shares.sort_values("", ascending=False, kind="stable")
    return Components(
        shares=shares,
        names=[context.methods[label].name for label in shares.index],
        caption=[
            captions.setting(context, attack),
            *captions.components(context, attack),
            captions.selection(context),
        ],
    )


def part_name(part: str) -> str:
    """Return the name of what broke an image."""
    return NAMES.get(part, attack_name(part))


def thin_parts(shares: pd.DataFrame) -> list[str]:
    """Return the parts that no bar shows, or of which some bar has no room for the number."""
    narrow = shares.gt(0) & shares.lt(THIN)
    return [part for part in shares if narrow[part].any() or not shares[part].any()]


def draw(data: Components) -> Figure:
    """Return the figure: a bar a method; columns at the right number what a bar has no room for."""
    figure = style.sheet(0.7 + 0.29 * len(data.shares))
    axes = figure.subplots()
    start = pd.Series(0.0, index=data.shares.index)
    rows = range(len(data.shares))
    thin = thin_parts(data.shares)
    for part in data.shares:
        colour, values = COLOURS.get(part, style.GREEN), data.shares[part]
        axes.barh(rows, values, 0.7, start, color=colour, lw=0)
        for y, (value, left) in enumerate(zip(values, start, strict=True)):
            if value and part not in thin:
                axes.text(
                    left + value / 2,
                    y,
                    f"{value:.1f}",
                    size=6.6,
                    ha="center",
                    va="center_baseline",
                    color=style.readable_on(colour),
                )
        start = start + values
    for column, part in enumerate(thin):
        x = 109 + 10.5 * column
        heading = part_name(part).replace(" ", "\n")
        axes.text(x, -0.6, f"{heading}\n%", size=6.6, ha="right", va="bottom")
        for y, value in enumerate(data.shares[part]):
            axes.text(x, y, f"{value:.2f}", size=6.6, ha="right", va="center_baseline")
    axes.set_xlim(0, 100 + 10.5 * len(thin))
    axes.set_xticks([0, 20, 40, 60, 80, 100])
    axes.spines["bottom"].set_bounds(0, 100)
    axes.set_yticks(rows, list(map(style.wrapped, data.names)))
    axes.set_ylim(len(data.shares) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:g}%")
    axes.set_xlabel("Share of the test images (numbers in %)", loc="left")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    entries = [(part_name(part), Patch(fc=COLOURS.get(part, style.GREEN))) for part in data.shares]
    return style.finish(figure, data.caption, entries, columns=len(entries))


def plotly(data: Components) -> go.Figure:
    """Return the figure for the page."""
    names = [escape(name, quote=False) for name in data.names]
    traces = [
        go.Bar(
            y=names,
            x=data.shares[part].tolist(),
            orientation="h",
            name=escape(part_name(part)),
            marker={"color": COLOURS.get(part, style.GREEN)},
            hovertemplate="%{y}<br>%{fullData.name}: %{x:.2f} %<extra></extra>",
        )
        for part in data.shares
    ]
    return style.chart(
        traces,
        title="What each attack broke",
        label="Shares of the test images by what broke them, a bar a method",
        x="Share of the test images, %",
        y="",
        height=120 + 30 * len(names),
        barmode="stack",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
        yaxis={"autorange": "reversed", "automargin": True},
        xaxis={"range": [0, 100]},
    )
