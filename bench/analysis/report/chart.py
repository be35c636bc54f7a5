"""Charts of the page as plotly's JSON: traces that know by `meta` which switches show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from bench.analysis.figures.known import Known

Trace = dict[str, Any]
# By their order in a family of one colour: plotly's name, and the sign that stands for it in text.
SYMBOLS = (
    ("circle", "●"),
    ("square", "■"),
    ("diamond", "◆"),
    ("triangle-up", "▲"),
    ("triangle-down", "▼"),
    ("star", "★"),
    ("cross", "✚"),
    ("x", "✖"),
)


@dataclass(frozen=True)
class Chart:
    """A chart; `name` tells it from others of the page, `label` is what a screen reader says.

    `x` and `y` are titles of the axes, `layout` is further plotly layout.
    """

    name: str
    label: str
    x: str
    y: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def plotly(self) -> dict[str, Any]:
        """Return what the page's script hands to plotly."""
        axes = {
            "xaxis": {"title": {"text": self.x}, **self.layout.get("xaxis", {})},
            "yaxis": {"title": {"text": self.y}, **self.layout.get("yaxis", {})},
        }
        return {"data": list(self.traces), "layout": {**self.layout, **axes}}


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a method with its sign and colour."""

    method: str
    name: str
    sign: str
    colour: str


def faint(colour: str) -> str:
    """Return a colour such as "#1f77b4" as one that lets most of what is behind it through."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.15)"


class Looks:
    """How each method is drawn, the same in every chart of the page."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self._symbols: dict[str, tuple[str, str]] = {}
        taken: dict[str, int] = {}
        for method in dict.fromkeys([*known.order, *known.names]):
            colour = known.colours[method]
            self._symbols[method] = SYMBOLS[taken.get(colour, 0) % len(SYMBOLS)]
            taken[colour] = taken.get(colour, 0) + 1

    def legend(self, methods: Sequence[str]) -> list[Key]:
        """Return the legend of `methods`."""
        names, colours = self.known.names, self.known.colours
        return [Key(m, names[m], self._symbols[m][1], colours[m]) for m in methods]

    def legend_of(self, charts: Sequence[Chart]) -> list[Key]:
        """Return the legend of the methods that the charts show."""
        shown = {trace["meta"].get("method") for chart in charts for trace in chart.traces}
        return self.legend([method for method in self.known.order if method in shown])

    def symbol(self, method: str) -> str:
        """Return plotly's name of the method's symbol."""
        return self._symbols[method][0]

    def colour(self, method: str) -> str:
        """Return the method's colour."""
        return self.known.colours[method]

    def name(self, method: str) -> str:
        """Return the method's name as plotly takes text, which it reads as HTML."""
        return escape(self.known.names[method], quote=False)

    def line(self, method: str, x: Sequence[Any], y: Sequence[Any], unit: str) -> Trace:
        """Return a curve of the method's mean, with its name and values on hover."""
        return {
            "type": "scatter",
            "mode": "lines+markers",
            "x": list(x),
            "y": list(y),
            "line": {"color": self.colour(method), "width": 1.5},
            "marker": {"color": self.colour(method), "symbol": self.symbol(method), "size": 6},
            "name": self.name(method),
            "hovertemplate": f"%{{fullData.name}}<br>%{{x}}: %{{y:.4g}}{unit}<extra></extra>",
            "meta": {"method": method},
        }
