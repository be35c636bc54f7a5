"""Panels of curves: matplotlib draws them for paper and plotly for the page."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from bench.analysis.plots import style
from bench.analysis.plots.style import DASHES, Chart, Dash, Marker, MethodDisplay, Trace

SEED = "one seed"  # in the legend, of the thin curves
POINT = 4 / 3  # CSS pixels of a point, in which widths on paper are


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve, or points where `width` is 0; `points` has x and y.

    `legend` names all curves of its look, empty for none. A `label` is that of a method, by which
    the page shows and hides it.
    """

    name: str
    points: pd.DataFrame
    colour: str
    legend: str = ""
    width: float = 1.5
    alpha: float = 1.0
    dash: Dash = DASHES[0]
    marker: Marker | None = None
    label: str = ""

    @property
    def paper(self) -> dict[str, Any]:
        """The look as arguments of matplotlib's `plot`."""
        look: dict[str, Any] = {"color": self.colour, "alpha": self.alpha, "lw": self.width}
        look["ls"] = self.dash.paper if self.width else "none"
        if self.marker:
            # Hollow, since marks lie on each other and on the curves.
            look |= {"marker": self.marker.paper, "ms": 3.8, "mfc": "none", "mew": 0.9}
        return look

    def trace(self, unit: str, even: float = math.inf) -> Trace:
        """Return the curve for the page, on an axis that goes by doublings from `even` on."""
        few = self.marker or len(self.points) < 3
        symbol = f"{self.marker.page}-open" if self.marker else "circle"
        x = self.points["x"].tolist()
        # The name is no part of the template, which would read it as one.
        hover = f"%{{fullData.name}}<br>%{{customdata:.4g}}: %{{y:.4g}}{unit}<extra></extra>"
        return {
            "type": "scatter",
            "x": _doublings(x, even),
            "y": self.points["y"].tolist(),
            "customdata": x,
            "mode": "+".join(["lines"] * bool(self.width) + ["markers"] * bool(few)),
            "line": {"color": self.colour, "width": POINT * self.width, "dash": self.dash.page},
            "marker": {"color": self.colour, "symbol": symbol, "size": 7},
            "opacity": self.alpha,
            "name": escape(self.name, quote=False),
            "legendgroup": self.label or None,
            "hovertemplate": hover,
        }


@dataclass(frozen=True, eq=False)
class Band:
    """What lies between `low` and `high` at every `x` of `points`, of a method."""

    method: MethodDisplay
    points: pd.DataFrame

    def traces(self) -> list[Trace]:
        """Return the band for the page."""
        red, green, blue = (round(255 * part) for part in to_rgb(self.method.colour))
        fill = f"rgba({red}, {green}, {blue}, 0.15)"
        x, look = self.points["x"], {"color": self.method.colour, "width": 0.5}
        shared: dict[str, Any] = {"mode": "lines", "line": look, "hoverinfo": "skip"}
        return [
            style.scatter(self.method, x, self.points["low"], **shared),
            style.scatter(
                self.method, x, self.points["high"], fill="tonexty", fillcolor=fill, **shared
            ),
        ]


@dataclass(frozen=True, eq=False)
class Panel:
    """Curves over one pair of axes, with a dotted line at the x of `guide`, its name above it.

    Further lines of `title` say what to know. `ticks` are the places of numbers. The axis of x
    goes evenly to `even` and from there by doublings.
    """

    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    unit: str = ""
    bands: Sequence[Band] = ()
    xlim: tuple[float, float] | None = None
    ylim: tuple[float, float] | None = None
    log: bool = False
    even: float = math.inf
    ticks: Sequence[float] = ()
    guide: tuple[float, str] | None = None


@dataclass(frozen=True, eq=False)
class Panels:
    """The panels of a figure, on paper row by row in so many `columns` of a `height` in inches.

    `nothing` is said where there is no panel. `displays` are the methods, by label.
    """

    panels: Sequence[Panel]
    caption: Sequence[str]
    displays: Mapping[str, MethodDisplay]
    columns: int
    height: float = 1.4
    nothing: str = ""

    @property
    def legend(self) -> dict[str, Curve]:
        """A curve for each entry of the legend, the thin ones of single seeds last."""
        found = {c.legend: c for panel in self.panels for c in panel.curves if c.legend}
        return dict(sorted(found.items(), key=lambda entry: entry[0] == SEED))

    def draw(self) -> Figure:
        """Return the figure; panels with limits of the y axis share them."""
        count = len(self.panels)
        columns = max(1, min(self.columns, count))
        rows = max(1, math.ceil(count / columns))
        shared = any(panel.ylim for panel in self.panels)
        figure = style.sheet(0.25 + self.height * rows)
        grid = figure.subplots(rows, columns, sharey=shared, squeeze=False)
        for axes in grid.flat[count:]:
            axes.set_axis_off()
        if not count:
            grid.flat[0].text(0.5, 0.5, self.nothing, ha="center")
        for i, (axes, panel) in enumerate(zip(grid.flat, self.panels, strict=False)):
            _draw_panel(axes, panel)
            style.set_title(axes, panel.title, width=88 // columns)
            if not shared or i + columns >= count:
                axes.set_xlabel(panel.x)
            if not shared or i % columns == 0:
                axes.set_ylabel(panel.y)
        entries = {name: style.key(**curve.paper) for name, curve in self.legend.items()}
        return style.finish(figure, self.caption, entries)

    def charts(self) -> dict[str, Chart]:
        """Return a figure for each panel for the page."""
        found = {}
        for place, panel in enumerate(self.panels):
            traces = [trace for band in panel.bands for trace in band.traces()]
            traces += [curve.trace(panel.unit, panel.even) for curve in panel.curves]
            title = panel.title.replace("\n", " ")
            found[str(place)] = style.chart(
                traces,
                title=title,
                label=f"{title}: {panel.y} by {panel.x}",
                x=panel.x,
                y=panel.y,
                height=260,
                showlegend=False,
                xaxis=_xaxis(panel),
                yaxis={
                    "range": panel.ylim,
                    "ticksuffix": panel.unit.strip() if "%" in panel.unit else "",
                },
                **_guide(panel),
            )
        return found


def _xaxis(panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {}
    if panel.xlim and not panel.log:  # a logarithmic axis finds its own limits
        axis["range"] = _doublings(panel.xlim, panel.even)
    if panel.ticks:
        axis["tickvals"] = _doublings(panel.ticks, panel.even)
        axis |= {"ticktext": [f"{x:g}" for x in panel.ticks], "tickangle": 0}
    return axis | {"type": "log" if panel.log else "linear"}


def _guide(panel: Panel) -> dict[str, Any]:
    if panel.guide is None:
        return {}
    x, name = panel.guide
    (at,) = _doublings([x], panel.even)
    line = {"color": style.SOFT, "width": 1, "dash": "2px,2px"}
    ends = {"x0": at, "x1": at, "y0": 0, "y1": 1, "yref": "paper"}
    where = {"x": at, "xanchor": "left", "y": 1, "yref": "paper", "yanchor": "top"}
    return {
        "shapes": [{"type": "line", "line": line, **ends}],
        "annotations": [{"text": name, "showarrow": False, **where}],
    }


def _doublings(x: Iterable[float], even: float) -> list[float]:
    """Return the places of `x` on an axis that is even up to `even`, and logarithmic beyond.

    There a doubling is half as long as the even part, as in matplotlib's symlog of base 2. Plotly
    has no such axis.
    """
    return [at if at <= even else even * (1 + math.log2(at / even) / 2) for at in x]


def _draw_panel(axes: Axes, panel: Panel) -> None:
    for band in panel.bands:
        points = band.points
        look: dict[str, Any] = {"fc": band.method.colour, "alpha": 0.12, "lw": 0}
        axes.fill_between(points["x"], points["low"], points["high"], **look)
    for curve in panel.curves:
        few: dict[str, Any] = {"marker": "o", "ms": 2.5} if len(curve.points) < 3 else {}
        look = few | curve.paper | {"clip_on": curve.marker is None}
        axes.plot(curve.points["x"], curve.points["y"], **look)
    if panel.guide is not None:
        x, name = panel.guide
        axes.axvline(x, color=style.SOFT, lw=0.6, ls=(0, (1, 1.5)), zorder=1)
        place: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "va": "top"}
        axes.text(x, 1.0, f" {name}", color=style.SOFT, size=7, **place)
    if panel.log:
        axes.set_xscale("log")
    elif math.isfinite(panel.even):
        axes.set_xscale("symlog", base=2, linthresh=panel.even)
    if panel.ticks:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        axes.xaxis.set_major_locator(
            MaxNLocator(5, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        )
    axes.xaxis.set_major_formatter("{x:g}")
    if panel.unit == " %":
        axes.yaxis.set_major_formatter("{x:g}%")
    axes.set(xlim=panel.xlim, ylim=panel.ylim)
    axes.grid(True)


def of_epochs(last: int) -> tuple[float, float]:
    """Return the limits of an axis of epochs."""
    room = 0.02 * last if last > 1 else 0.5
    return 1 - room, last + room
