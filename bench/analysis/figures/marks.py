"""The frontier's marks, its legend, and the ledger that keeps labels off everything drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.figures import style
from bench.analysis.figures.place import Box, Item, Line, place
from bench.analysis.figures.points import Kind, Mean, Other, Point

SEED, MEAN, PAPER, REFERENCE, TINY = 3.4, 8.5, 5.6, 5.4, 4.0
FRONT: dict[str, Any] = {"color": style.SOFT, "lw": 0.9, "ls": (0, (4, 2))}
BETAS: dict[str, Any] = {"color": style.BLUE, "lw": 1.2}
BADGES = {"extra": "+", "generated": "x"}


def dot(colour: str) -> dict[str, Any]:
    """Draw one seed of ours; a white edge parts it from its neighbours."""
    return {"marker": "o", "ms": SEED, "mfc": colour, "mec": "white", "mew": 0.4, "ls": "none"}


def disc(colour: str, size: float = MEAN) -> dict[str, Any]:
    """Draw the face of a mean over seeds: see-through, because near means overlap."""
    return {"marker": "o", "ms": size, "mfc": to_rgba(colour, 0.3), "mec": "none", "ls": "none"}


def ring(size: float = MEAN) -> dict[str, Any]:
    """Draw the outline of a mean over seeds."""
    edge = {"mfc": "none", "mec": style.BLACK, "mew": 0.9}
    return {"marker": "o", "ms": size, "ls": "none", **edge}


def speck(colour: str) -> dict[str, Any]:
    """Draw a mean of ours where the details are in another panel."""
    return {"marker": "o", "ms": TINY, "mfc": colour, "mec": "none", "alpha": 0.8, "ls": "none"}


def diamond(colour: str, kind: Kind, size: float = PAPER) -> dict[str, Any]:
    """Draw a paper's number: hollow, as it may lie on ours; narrow if it is not its own paper's."""
    shape = "d" if kind == "secondary" else "D"
    wider = 1.3 if kind == "secondary" else 1.0
    size *= wider
    return {"marker": shape, "ms": size, "mfc": "none", "mec": colour, "mew": 1.1, "ls": "none"}


def square(kind: Kind) -> dict[str, Any]:
    """Draw a model of RobustBench: filled if it saw only the data set's own training images."""
    face = to_rgba(style.SOFT, 0.55) if kind == "plain" else "none"
    return {
        "marker": "s",
        "ms": REFERENCE,
        "mfc": face,
        "mec": style.SOFT,
        "mew": 0.8,
        "ls": "none",
    }


def badge(kind: Kind) -> dict[str, Any]:
    """Draw what stands inside the square of a model that saw more data than the others."""
    mark = BADGES[kind]
    return {"marker": mark, "ms": REFERENCE - 2, "mec": style.INK, "mew": 0.8, "ls": "none"}


def arrow(colour: str, angle: float) -> dict[str, Any]:
    """Draw what points at a place outside the axes; upwards, turned by `angle` degrees."""
    return {"marker": (3, 0, angle), "ms": 7, "mfc": colour, "mec": "none", "ls": "none"}


def entries(
    reported: Sequence[Other], reference: Sequence[Other], *, front: bool, betas: bool, away: bool
) -> list[style.Entry]:
    """Return the legend: what each mark stands for, of those that are shown."""
    grey = style.SOFT
    found: list[style.Entry] = [
        ("one seed", Line2D([], [], **dot(grey))),
        ("mean over seeds", (Line2D([], [], **disc(grey)), Line2D([], [], **ring()))),
    ]
    if front:
        found.append(("front of mixtures of the means", Line2D([], [], **FRONT)))
    if betas:
        found.append(("TRADES, joined in order of β", Line2D([], [], **BETAS)))
    if away:
        found.append(("outside the axes: (clean, attacked)", Line2D([], [], **arrow(grey, 180))))
    papers: dict[Kind, str] = {
        "paper": "reported by its authors (in italics)",
        "secondary": "reported by others (in italics)",
    }
    for kind, text in papers.items():
        if any(other.kind == kind for other in reported):
            found.append((text, Line2D([], [], **diamond(grey, kind))))
    models: dict[Kind, str] = {
        "plain": "RobustBench, 18 layers",
        "extra": "… with extra data",
        "generated": "… with generated data",
    }
    for kind, text in models.items():
        if any(other.kind == kind for other in reference):
            looks = [square(kind), *([badge(kind)] if kind in BADGES else [])]
            found.append((text, tuple(Line2D([], [], **look) for look in looks)))
    return found


def columns(found: Sequence[style.Entry]) -> int:
    """Return in how many columns the legend fits the page."""
    return len(found) if len(found) <= 4 else 3


@dataclass
class Ledger:
    """What has been drawn in one set of axes, in points, so that labels can keep clear of it."""

    axes: Axes
    items: list[Item] = field(default_factory=list)
    texts: list[tuple[str, float, str]] = field(default_factory=list)
    markers: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def at(self, clean: float, robust: float) -> tuple[float, float]:
        """Return where two accuracies are, in points."""
        x, y = self.axes.transData.transform((clean, robust))
        return float(x), float(y)

    def mark(self, x: float, y: float, size: float) -> None:
        """Keep labels off a marker centred at (x, y)."""
        self.markers.append(Box.around(x, y, size, size))

    def stroke(self, path: Sequence[tuple[float, float]]) -> None:
        """Let labels avoid a line through accuracies."""
        ends = [self.at(*point) for point in path]
        self.lines += [Line(*a, *b) for a, b in itertools.pairwise(ends)]

    def name(
        self, x: float, y: float, marker: float, text: str, size: float, slant: str = "normal"
    ) -> None:
        """Ask for a label beside the marker of that size at (x, y)."""
        width = style.text_width(text, size) + 1.5
        self.items.append(Item(x, y, marker / 2, width, size * 1.2))
        self.texts.append((text, size, slant))

    def write(self) -> list[Box]:
        """Place every label and draw it, with its leader; return where the labels are."""
        figure = self.axes.figure
        assert isinstance(figure, Figure)
        wide, high = figure.get_size_inches() * style.POINTS
        edge = self.axes.bbox
        bounds = Box(edge.x0 + 3, edge.y0 + 3, edge.x1 - 1, edge.y1 - 1)
        placed = place(self.items, markers=self.markers, lines=self.lines, bounds=bounds)
        for label, (text, size, slant) in zip(placed, self.texts, strict=True):
            if label.leader:
                across = [label.leader.x0 / wide, label.leader.x1 / wide]
                along = [label.leader.y0 / high, label.leader.y1 / high]
                figure.add_artist(Line2D(across, along, color=style.SOFT, lw=0.5))
            x, y = label.box.left / wide, (label.box.bottom + label.box.top) / 2 / high
            figure.text(x, y, text, size=size, style=slant, va="center_baseline")
        return [label.box for label in placed]


def enclosing(ledger: Ledger, spot: tuple[float, float], means: Sequence[Mean]) -> float:
    """Return how wide a mean's ring must be to show around the seeds that lie just there."""
    x, y = ledger.at(*spot)
    here = [ledger.at(seed.clean, seed.robust) for mean in means for seed in mean.seeds]
    count = sum(math.hypot(a - x, b - y) < 1 for a, b in here)
    reach = max((math.hypot(*place) for place in _rosette(count)), default=0.0)
    return max(MEAN, 2 * reach * (SEED + 0.2) + SEED + 2)


def side_by_side(ledger: Ledger, seeds: Sequence[Point]) -> list[tuple[Point, tuple[float, float]]]:
    """Return where to draw each seed, in points: equal ones as a rosette around their spot."""
    spots: dict[tuple[float, float], list[Point]] = {}
    for seed in seeds:
        spots.setdefault((seed.clean, seed.robust), []).append(seed)
    found = []
    for spot, equal in spots.items():
        x, y = ledger.at(*spot)
        for (across, along), seed in zip(_rosette(len(equal)), equal, strict=True):
            found.append((seed, (x + across * (SEED + 0.2), y + along * (SEED + 0.2))))
    return found


def _rosette(count: int) -> list[tuple[float, float]]:
    """Return places one apart and near the middle: a pair, a triangle, or rings of six, twelve."""
    if count <= 1:
        return [(0.0, 0.0)] * count
    if count <= 3:
        radius = 0.5 if count == 2 else 0.58
        return [_polar(radius, k / count) for k in range(count)]
    places = [(0.0, 0.0)]
    for around in range(1, count):
        here = min(6 * around, count - len(places))
        places += [_polar(around, k / here) for k in range(here)]
    return places


def _polar(radius: float, turn: float) -> tuple[float, float]:
    return radius * math.cos(math.tau * turn), radius * math.sin(math.tau * turn)
