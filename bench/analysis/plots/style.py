"""How figures look, on paper (matplotlib) and on the page (plotly): sizes, colours, markers."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, NamedTuple

import matplotlib
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.names import names_of
from bench.results.options import options_of
from bench.results.paths import FIGURE_FORMATS

WIDTH, DPI = 7.0, 300  # inches of a page's text; layout is computed at the pixels of the PNG
CAPTION_SIZE, CAPTION_COLUMNS = 7.0, 124
LEGEND_COLUMNS = 122  # characters of a legend's line
INK, SOFT = "#1a1a1a", "#6b6b6b"
# Okabe and Ito's eight colours, which stay apart under the common kinds of colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, BROWN, WINE = "#7f7f7f", "#8c564b", "#882255"
CANVASES: dict[str, Any] = {
    "svg": FigureCanvasSVG,
    "pdf": FigureCanvasPdf,
    "png": FigureCanvasAgg,
}
CLEAN, ROBUST = SKY, VERMILLION
FAMILIES = {
    "standard": BLACK,
    "pgd_at": ORANGE,
    "trades": BLUE,
    "mart": GREEN,
    "memloss": VERMILLION,
    "memloss_hat": VERMILLION,
    "memory_mart": GREEN,
    "hat": GREY,
    "dynat": PURPLE,
    "cure": SKY,
    "sat": BROWN,
    "fgsm_at": BROWN,
    "fgsm_rs": BROWN,
}
SPARE = (PURPLE, SKY, YELLOW)
PLACEBO = WINE  # instead of its family's colour: it is compared with its neighbour
RISING = "cividis"  # the colour map of losses and accuracies
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "text.color": INK,
    # Names are free text, in which a dollar is a dollar; nothing here is a formula.
    "text.parse_math": False,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "bench",
    "savefig.dpi": DPI,
}


# A chart of the page and a curve of it, as plotly's JSON has them.
Chart = dict[str, Any]
Trace = dict[str, Any]


class Marker(NamedTuple):
    """A marker as matplotlib, plotly and text have it."""

    paper: Any
    page: str
    sign: str


MARKERS = tuple(
    Marker(*names)
    for names in (
        ("o", "circle", "●"),
        ("s", "square", "■"),
        ("^", "triangle-up", "▲"),
        ("D", "diamond", "◆"),
        ("v", "triangle-down", "▼"),
        ("P", "cross", "✚"),
        ("X", "x", "✖"),
        ("*", "star", "★"),
        ("<", "triangle-left", "◀"),
        (">", "triangle-right", "▶"),
        ("p", "pentagon", "⬟"),
        ("h", "hexagon", "⬢"),
    )
)


class Dash(NamedTuple):
    """The dashes of a line as matplotlib and as plotly have them."""

    paper: Any
    page: str


# Of the lines of one colour.
DASHES = (
    Dash("-", "solid"),
    Dash((0, (4, 1.5)), "8px,3px"),
    Dash((0, (1.2, 1.2)), "2px,2px"),
    Dash((0, (5, 1, 1, 1)), "10px,2px,2px,2px"),
    Dash((0, (8, 2)), "16px,4px"),
    Dash((0, (5, 1, 1, 1, 1, 1)), "10px,2px,2px,2px,2px,2px"),
    Dash((0, (1.2, 3)), "2px,6px"),
)


@dataclass(frozen=True)
class MethodDisplay:
    """How a method is shown, the same in every figure: by its family's colour and a marker.

    `place` is its position among the methods of the family's colour, and `beta` TRADES' weight.
    A `placebo` recalls clean images in place of adversarial examples.
    """

    label: str
    name: str
    family: str
    colour: str
    place: int
    beta: float | None = None
    placebo: bool = False

    @property
    def marker(self) -> Marker:
        """The marker, which tells it from others of its colour."""
        return MARKERS[self.place % len(MARKERS)]

    @property
    def dash(self) -> Dash:
        """The dashes of its lines."""
        return DASHES[self.place % len(DASHES)]

    @property
    def html(self) -> str:
        """The name as plotly takes text, which it reads as HTML."""
        return escape(self.name, quote=False)


def method_displays(ours: pd.DataFrame, others: pd.DataFrame) -> dict[str, MethodDisplay]:
    """Return how each method is shown, baselines first, families together, TRADES by its beta.

    Within a family the methods of one network are together, that of the most methods first. A
    method that only `others` report changes neither name nor marker of one of ours: it comes after
    them. Columns are method (the label), base_method, options, flags and model.
    """
    every = pd.concat([ours, others])
    rows, names = every.drop_duplicates("method").set_index("method"), names_of(every)
    names |= names_of(ours)
    families = rows["base_method"].where(rows["base_method"] != "", rows.index)
    is_trades = rows["base_method"] == "trades"
    betas = {
        label: float(options_of(options).get("beta", "nan"))
        for label, options in rows.loc[is_trades, "options"].items()
    }
    known = set(ours["method"])
    first = {families[label]: i for i, label in reversed([*enumerate(names)])}
    networks = list(rows["model"].value_counts().index)

    def place_of(label: str) -> tuple[bool, int, int, float]:
        network = networks.index(rows.loc[label, "model"])
        return label not in known, first[families[label]], network, betas.get(label, 0.0)

    order = sorted(names, key=place_of)
    unknown = [name for name in dict.fromkeys(families[order]) if name not in FAMILIES]
    colours = FAMILIES | {name: SPARE[i % len(SPARE)] for i, name in enumerate(unknown)}
    shown: dict[str, MethodDisplay] = {}
    taken: dict[str, int] = {}
    for label in order:
        colour = colours[families[label]]
        place = taken[colour] = taken.get(colour, -1) + 1
        placebo = options_of(rows.loc[label, "options"]).get("alignment") == "clean_crop"
        shown[label] = MethodDisplay(
            label=label,
            name=names[label],
            family=families[label],
            colour=PLACEBO if placebo else colour,
            place=place,
            beta=betas.get(label),
            placebo=placebo,
        )
    return shown


@contextmanager
def styled() -> Iterator[None]:
    """Context manager to draw and save in: matplotlib reads its settings at both moments.

    They are its defaults and those above, whatever a matplotlibrc says.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def sheet(height: float) -> Figure:
    """Return an empty figure as wide as a page's text; its parts make room for each other.

    `height` is that of the axes, in inches: `finish` adds what caption and legend need.
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white", layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.08, h_pad=0.05, wspace=0.02, hspace=0.03)
    FigureCanvasAgg(figure)
    return figure


def finish(
    figure: Figure, caption: Sequence[str], entries: Mapping[str, Any], columns: int = 4
) -> Figure:
    """Write the caption below the figure and the legend above it, and return the figure.

    `entries` are the samples of the legend by their names.
    """
    text = textwrap.fill(" ".join(caption), CAPTION_COLUMNS)
    names = [wrapped(name, 46) for name in entries]
    widest = max((len(line) for name in names for line in name.split("\n")), default=1)
    columns = max(1, min(columns, len(names), LEGEND_COLUMNS // (widest + 6)))
    lines = math.ceil(sum(name.count("\n") + 1 for name in names) / columns)
    added = 0.15 + 0.135 * (text.count("\n") + 1) + 0.16 * lines
    figure.set_size_inches(WIDTH, float(figure.get_figheight()) + added)
    figure.supxlabel(text, x=0.01, ha="left", size=CAPTION_SIZE, color=SOFT, linespacing=1.35)
    if entries:
        figure.legend(
            handles=list(entries.values()),
            labels=names,
            loc="outside upper left",
            ncols=columns,
            handlelength=1.8,
            columnspacing=1.5,
            labelspacing=0.45,
        )
    return figure


def wrapped(name: str, width: int = 36) -> str:
    """Return a name as lines of at most `width` characters."""
    # A network's width stays with its number.
    return textwrap.fill(name.replace("width ", "width\N{NO-BREAK SPACE}"), width)


def set_title(axes: Any, text: str, width: int) -> None:
    """Write a title that has room for `width` characters: a longer one is smaller and wrapped.

    `axes` may be a subfigure.
    """
    size = 8.0 if len(text) <= width and "\n" not in text else 6.5
    text = "\n".join(wrapped(line, width * 5 // 4) for line in text.split("\n"))
    if hasattr(axes, "set_title"):
        axes.set_title(text, size=size, pad=3, linespacing=1.1)
    else:
        axes.suptitle(text, size=size, weight="bold", x=0.02, ha="left")


def mark(method: MethodDisplay, size: float = 6.0, **style: Any) -> dict[str, Any]:
    """Return a marker of the method as arguments of matplotlib's `plot`."""
    small = {"*": 1.35, "D": 0.85, "p": 1.1, "h": 1.1}.get(method.marker.paper, 1.0)
    look = {"mfc": method.colour, "mec": "white", "mew": 0.6, "ls": "none"}
    return {"marker": method.marker.paper, "ms": size * small} | look | style


def key(**style: Any) -> Line2D:
    """Return a sample for the legend."""
    return Line2D([], [], **style)


def readable_on(colour: Any) -> str:
    """Return the colour of a text on a ground of `colour`."""
    red, green, blue = to_rgb(colour)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK


def known(values: pd.DataFrame) -> list[list[float | None]]:
    """Return numbers as JSON has them, which knows no infinity and NaN."""
    rows = values.to_numpy(float).tolist()
    return [[value if math.isfinite(value) else None for value in row] for row in rows]


def encoded(figure: Figure) -> dict[str, bytes]:
    """Return the figure as files by format; the same figure gives the same bytes."""
    dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    found = {}
    with warnings.catch_warnings():
        # A sign that the font lacks is drawn as a box; where every warning is an error
        # (PYTHONWARNINGS) there must be a figure all the same.
        warnings.filterwarnings("default", message="Glyph")
        # The layout takes longer than a drawing, and is the same for all formats.
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for form in FIGURE_FORMATS:
            buffer = io.BytesIO()
            figure.set_dpi(DPI)  # which printing changes
            # `savefig` would draw everything once more before.
            canvas = CANVASES[form](figure)
            getattr(canvas, f"print_{form}")(buffer, metadata=dates.get(form))
            found[form] = buffer.getvalue()
    return found


def chart(traces: Sequence[Any], *, title: str, label: str, x: str, y: str, **layout: Any) -> Chart:
    """Return a chart of the page, of which a screen reader says `label`.

    `x` and `y` are the titles of the axes; a dict of `layout` named xaxis or yaxis is added to it.
    """
    for axis, text in (("xaxis", x), ("yaxis", y)):
        layout[axis] = {"title": {"text": text}, **layout.get(axis, {})}
    shared: dict[str, Any] = {"height": 300, "hovermode": "closest", "showlegend": True}
    meta = {"title": title, "label": label}
    return {"data": list(traces), "layout": shared | layout | {"meta": meta}}


def scatter(method: MethodDisplay, x: Any, y: Any, **style: Any) -> Trace:
    """Return a trace of the method, which the legend's switch of the method shows and hides.

    Its name is in hover texts `%{fullData.name}`: one written into a template would be read
    as part of it.
    """
    shared = {"type": "scatter", "name": method.html, "legendgroup": method.label}
    return {**shared, "x": list(x), "y": list(y), **style}
