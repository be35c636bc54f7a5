"""What becomes of adversarial examples in later epochs: fooling, forgetting, direction, age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bench.analysis.figures import style
from bench.analysis.figures.points import Remembered, Series

LEFT, RIGHT, ACROSS, UPWARD, TALL = 0.62, 0.12, 0.62, 0.62, 1.7
PANELS = (
    ("fooling", "Epoch", "Last epoch's examples that fool (%)"),
    ("forgotten", "Epoch", "Of those known then, forgotten (%)"),
    ("cosine", "Epoch", "Cosine of old and new perturbation"),
    ("by_age", "Age (epochs) at the end of training", "Cross-entropy (nats)"),
)
BOLD: dict[str, Any] = {"lw": 1.6, "zorder": 3}
THIN: dict[str, Any] = {"lw": 0.8, "alpha": 0.7, "zorder": 2}
# Its edge keeps a span of one method, or of equal ones, in sight.
SPAN: dict[str, Any] = {"fc": to_rgba(style.BLUE, 0.25), "ec": style.BLUE, "lw": 0.8}
# Of the methods that are drawn alike; these tell them apart.
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.5, 1.2)), (0, (5, 1, 1, 1)))
REMEMBERING, FORGETFUL = "memloss", "trades"  # the comparison that the figure is for


def draw(
    methods: Mapping[str, Remembered],
    *,
    names: Mapping[str, str],
    colours: Mapping[str, str],
    families: Mapping[str, str],
    caption: Sequence[str],
) -> Figure:
    """Return the figure; `methods` are those with adversarial examples, in order.

    `families` are the registered methods behind the labels: MemLoss is drawn boldly before what all
    of TRADES spans, the others thinly.
    """
    spanned = [method for method in methods if families[method] == FORGETFUL]
    looks = _looks([m for m in methods if m not in spanned], colours, families)
    lines = style.caption_lines(caption, LEFT)
    entries: list[style.Entry] = []
    if spanned:
        several = f"TRADES, least to most of {len(spanned)}" if spanned[1:] else names[spanned[0]]
        entries.append((several, Patch(**SPAN)))
    entries += [(names[method], Line2D([], [], **look)) for method, look in looks.items()]
    columns = min(4, len(entries))
    rows = -(-len(entries) // max(columns, 1))
    foot, head = 0.45 + style.caption_height(lines), 0.3 + 0.16 * rows
    wide = (style.WIDTH - LEFT - RIGHT - ACROSS) / 2
    figure = style.sheet(foot + 2 * TALL + UPWARD + head)
    places = [(column, row) for row in (1, 0) for column in (0, 1)]
    for (what, x, y), (column, row) in zip(PANELS, places, strict=True):
        left, bottom = LEFT + column * (wide + ACROSS), foot + row * (TALL + UPWARD)
        axes = style.axes_at(figure, left, bottom, wide, TALL)
        _span(axes, [getattr(methods[method], what) for method in spanned])
        for method, look in looks.items():
            axes.plot(*getattr(methods[method], what), **look)
        axes.set_xlabel(x)
        axes.set_ylabel(y, size=7)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.grid(True)
    if methods:
        style.legend(figure, entries, left=LEFT, columns=columns)
    else:
        said = "no method here trains on adversarial examples"
        figure.axes[0].text(0.5, 0.5, said, ha="center")
    style.write_caption(figure, lines, LEFT)
    return figure


def _looks(
    methods: Sequence[str], colours: Mapping[str, str], families: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    seen = {True: 0, False: 0}
    looks = {}
    for method in methods:
        bold = families[method] == REMEMBERING
        dash = DASHES[seen[bold] % len(DASHES)]
        seen[bold] += 1
        looks[method] = {"color": colours[method], "ls": dash, **(BOLD if bold else THIN)}
    return looks


def _span(axes: Axes, series: Sequence[Series]) -> None:
    """Fill what the series span, each over the places that it has."""
    found: dict[int, list[float]] = {}
    for places, values in series:
        for place, value in zip(places, values, strict=True):
            found.setdefault(place, []).append(value)
    places = sorted(found)
    low, high = [min(found[place]) for place in places], [max(found[place]) for place in places]
    axes.fill_between(places, low, high, **SPAN)
