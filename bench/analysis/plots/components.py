"""What each component of AutoAttack broke, as shares of the test images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, ClassVar

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.names import attack_name
from bench.analysis.plots import caption as captions
from bench.analysis.plots import style
from bench.analysis.plots.context import Context
from bench.analysis.plots.style import Chart

# From what was never broken to what was wrong at once: the attacks in reverse order of their turn.
ORDER = ("", "square", "fab-t", "apgd-t", "apgd-ce")
COLOURS = {
    "Robust": style.BLUE,
    "Square": style.YELLOW,
    "FAB-T": style.PURPLE,
    "APGD-T": style.ORANGE,
    "APGD-CE": style.SKY,
    "Clean error": "#bdbdbd",
}
NARROW = 3.5  # percent: a part with less room has its number at the right of the bars


@dataclass(frozen=True, eq=False)
class Components:
    """Shares in percent, means over seeds: a row a method by name, the most robust first.

    The columns are the names of what broke the images, "Robust" for those never broken.
    """

    shares: pd.DataFrame
    caption: Sequence[str]
    columns: ClassVar[int] = 1

    def draw(self) -> Figure:
        """Return the figure: a bar a method; what has no room in it is a number at the right."""
        figure = style.sheet(0.7 + 0.29 * len(self.shares))
        axes = figure.subplots()
        start = pd.Series(0.0, index=self.shares.index)
        rows = range(len(self.shares))
        beside = 0
        for part, values in self.shares.items():
            colour = COLOURS.get(str(part), style.GREEN)
            bars = axes.barh(rows, values, 0.7, start, color=colour, lw=0)
            start = start + values
            if (values[values > 0] >= NARROW).all() and values.any():
                look: Any = {
                    "size": 6.6,
                    "color": style.readable_on(colour),
                    "label_type": "center",
                }
                axes.bar_label(bars, [f"{value:.1f}" if value else "" for value in values], **look)
                continue
            beside += 1
            x, heading = 98.5 + 10.5 * beside, str(part).replace(" ", "\n")
            axes.text(x, -0.6, f"{heading}\n%", size=6.6, ha="right", va="bottom")
            for y, value in enumerate(values):
                axes.text(x, y, f"{value:.2f}", size=6.6, ha="right", va="center_baseline")
        axes.set_xlim(0, 100 + 10.5 * beside)
        axes.set_xticks([0, 20, 40, 60, 80, 100])
        axes.spines["bottom"].set_bounds(0, 100)
        axes.set_yticks(rows, list(map(style.wrapped, self.shares.index)))
        axes.set_ylim(len(self.shares) - 0.5, -0.5)
        axes.xaxis.set_major_formatter("{x:g}%")
        axes.set_xlabel("Share of the test images (numbers in %)", loc="left")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        entries = {part: Patch(fc=COLOURS.get(part, style.GREEN)) for part in self.shares}
        return style.finish(figure, self.caption, entries, columns=len(entries))

    def charts(self) -> dict[str, Chart]:
        """Return the figure for the page."""
        names = [escape(name, quote=False) for name in self.shares.index]
        traces = [
            {
                "type": "bar",
                "y": names,
                "x": values.tolist(),
                "orientation": "h",
                "name": escape(str(part)),
                "marker": {"color": COLOURS.get(str(part), style.GREEN)},
                "hovertemplate": "%{y}<br>%{fullData.name}: %{x:.2f} %<extra></extra>",
            }
            for part, values in self.shares.items()
        ]
        chart = style.chart(
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
        return {"shares": chart}


def collect(context: Context) -> Components | None:
    """Return the shares; None where no per-example results were kept."""
    attack = context.single_attack
    chosen = context.results.examples_of(attack, "best")
    if chosen.empty:
        return None
    runs = chosen.groupby(["method", "seed"], observed=True)
    by_seed = runs["broken_by"].value_counts(normalize=True).unstack(fill_value=0.0)
    by_seed.columns = by_seed.columns.astype(str)
    shares = 100 * by_seed.groupby("method", observed=True).mean()
    known = [*(ORDER if set(shares) & set(ORDER[1:]) else ORDER[:1])]
    others = sorted(set(shares) - set(ORDER) - {"clean"})
    parts = [*known, *others, "clean"]
    labels = [label for label in context.methods if label in shares.index]
    shares = shares.reindex(index=labels, columns=parts, fill_value=0.0)
    shares.index = pd.Index([context.methods[label].name for label in labels])
    shares.columns = pd.Index(["Robust", *map(attack_name, parts[1:-1]), "Clean error"])
    how = "Mean over seeds. Each attack in turn sees only the images that none before it broke."
    if attack != "autoattack":
        how = f"AutoAttack was not run: what {attack_name(attack)} broke instead."
    return Components(
        shares=shares.sort_values("Robust", ascending=False, kind="stable"),
        caption=[captions.setting(context, attack), how, captions.selection(context)],
    )
