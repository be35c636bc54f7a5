"""What becomes of adversarial examples in later epochs: fooling, forgetting, direction, age."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.analysis.figures import style
from bench.analysis.figures.points import Remembered

LEFT, RIGHT, ACROSS, UPWARD, TALL = 0.62, 0.12, 0.62, 0.62, 1.7
PANELS = (
    ("fooling", "Last epoch's examples that fool (%)"),
    ("forgotten", "Of those known then, forgotten (%)"),
    ("cosine", "Cosine of old and new perturbation"),
)
# Methods of one family share a colour; these tell them apart.
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.5, 1.2)), (0, (5, 1, 1, 1)))


def draw(
    methods: Mapping[str, Remembered],
    *,
    names: Mapping[str, str],
    colours: Mapping[str, str],
    caption: Sequence[str],
) -> Figure:
    """Return the figure; `methods` are those with adversarial examples, in order."""
    looks = _looks(list(methods), colours)
    lines = style.caption_lines(caption, LEFT)
    entries = [(names[method], Line2D([], [], **look)) for method, look in looks.items()]
    columns = 4
    rows = -(-len(entries) // columns)
    foot, head = 0.45 + style.caption_height(lines), 0.3 + 0.16 * rows
    wide = (style.WIDTH - LEFT - RIGHT - ACROSS) / 2
    figure = style.sheet(foot + 2 * TALL + UPWARD + head)
    places = [(column, row) for row in (1, 0) for column in (0, 1)]
    panels = [
        style.axes_at(figure, LEFT + c * (wide + ACROSS), foot + r * (TALL + UPWARD), wide, TALL)
        for c, r in places
    ]
    for axes, (what, label) in zip(panels, PANELS, strict=False):
        for method, look in looks.items():
            epochs, values = getattr(methods[method], what)
            axes.plot(epochs, values, **look)
        _dress(axes, "Epoch", label)
    for method, look in looks.items():
        ages, losses = methods[method].by_age
        axes = panels[-1]
        axes.plot(ages, losses, marker="o", ms=2.5, **look)
    _dress(panels[-1], "Age (epochs) at the end of training", "Cross-entropy (nats)")
    if methods:
        style.legend(figure, entries, left=LEFT, columns=columns)
    else:
        panels[0].text(0.5, 0.5, "no method here trains on adversarial examples", ha="center")
    style.write_caption(figure, lines, LEFT)
    return figure


def _looks(methods: Sequence[str], colours: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    seen: dict[str, int] = {}
    looks = {}
    for method in methods:
        colour = colours[method]
        place = seen[colour] = seen.get(colour, -1) + 1
        looks[method] = {"color": colour, "ls": DASHES[place % len(DASHES)], "lw": 1.1}
    return looks


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y, size=7)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid(True)
