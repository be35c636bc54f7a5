"""How every figure looks: sizes, colours, markers, captions, and how it becomes a file."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

FORMATS = ("svg", "pdf", "png")
WIDTH = 7.0
POINTS = 72
INK, SOFT, FAINT = "#1a1a1a", "#6b6b6b", "#d9d9d9"
# Okabe and Ito's eight colours, which stay apart under the common kinds of colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
FAMILIES = {
    "standard": BLACK,
    "pgd_at": ORANGE,
    "trades": BLUE,
    "mart": GREEN,
    "memloss": VERMILLION,
}
SPARE = (PURPLE, SKY, YELLOW)
SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "text.color": INK,
    # Names are free text, in which a dollar is a dollar; nothing of ours is a formula.
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
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "bench",
    "savefig.dpi": 300,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this: matplotlib reads its settings at both moments.

    They are matplotlib's own and those above, whatever a matplotlibrc of the user says.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A sign that the font lacks is drawn as a box, and told once; where PYTHONWARNINGS makes
        # warnings errors, that is no reason to have no figure.
        warnings.filterwarnings("once", message="Glyph")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def sheet(height: float) -> Figure:
    """Return an empty figure as wide as a page's text and `height` inches high."""
    figure = Figure(figsize=(WIDTH, height), dpi=POINTS, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes whose sides are given in inches."""
    wide, high = figure.get_size_inches()
    return figure.add_axes((left / wide, bottom / high, width / wide, height / high))


def family(method: str) -> str:
    """Return the family that a label belongs to: trades_beta3 is of trades."""
    return next((f for f in FAMILIES if method == f or method.startswith(f"{f}_")), method)


def colours(methods: Sequence[str]) -> dict[str, str]:
    """Return each method's colour: its family's, or the next spare one for a family not listed."""
    unknown = sorted({family(method) for method in methods} - set(FAMILIES))
    known = FAMILIES | {name: SPARE[i % len(SPARE)] for i, name in enumerate(unknown)}
    return {method: known[family(method)] for method in methods}


@lru_cache(maxsize=4096)
def text_width(text: str, size: float, weight: str = "normal") -> float:
    """Return how wide a text is, in points; the same on every machine and for every format."""
    font = FontProperties(family="DejaVu Sans", weight=weight)
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) if text else 0.0


def fitted(text: str, size: float, width: float) -> float:
    """Return the largest size up to `size` at which a bold text is at most `width` points wide."""
    return min(size, size * width / max(text_width(text, size, "bold"), 1.0))


def wrapped(text: str, size: float, width: float) -> list[str]:
    """Return the text as lines of at most `width` points (a longer word stands alone)."""
    lines: list[str] = []
    for word in text.split(" "):
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


Entry = tuple[str, Any]


def legend(figure: Figure, entries: Sequence[Entry], *, left: float, columns: int) -> None:
    """Draw the legend at the head of the figure, `left` inches from its edge."""
    figure.legend(
        handles=[handle for _, handle in entries],
        labels=[text for text, _ in entries],
        loc="upper left",
        bbox_to_anchor=(left / WIDTH, 1 - 0.07 / figure.get_size_inches()[1]),
        ncols=columns,
        borderaxespad=0,
        borderpad=0,
        handlelength=1.8,
        handletextpad=0.6,
        columnspacing=1.6,
        labelspacing=0.4,
    )


CAPTION_SIZE, CAPTION_LEADING = 7.0, 9.5


def caption_lines(sentences: Sequence[str], margin: float) -> list[str]:
    """Return the caption's lines: as many sentences on each as fit between the margins (inches)."""
    return wrapped(" ".join(sentences), CAPTION_SIZE, (WIDTH - 2 * margin) * POINTS)


def caption_height(lines: Sequence[str]) -> float:
    """Return how many inches the caption takes at the foot of a figure."""
    return (len(lines) * CAPTION_LEADING + 10) / POINTS


def write_caption(figure: Figure, lines: Sequence[str], margin: float) -> None:
    """Write the lines at the foot of the figure, `margin` inches from its left edge."""
    wide, high = figure.get_size_inches() * POINTS
    for i, line in enumerate(reversed(lines)):
        y = (6 + i * CAPTION_LEADING) / high
        figure.text(margin * POINTS / wide, y, line, size=CAPTION_SIZE, color=SOFT, va="bottom")


def encoded(figure: Figure, form: str) -> bytes:
    """Return the figure as the bytes of a file; the same figure gives the same bytes."""
    dates: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=dates.get(form))
    return buffer.getvalue()
