"""The accuracy–robustness frontier: what a method pays in clean accuracy for its robustness."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from bench.analysis.figures import marks, style
from bench.analysis.figures.marks import Ledger
from bench.analysis.figures.points import Located, Mean, Other, front, strays

LEFT, RIGHT, BETWEEN, TALL = 0.62, 0.18, 0.62, 4.0
SHARE = 0.6
LABEL, SMALL = 7.0, 6.4


@dataclass(frozen=True)
class Scene:
    """What the frontier shows; `names`, `colours` and `betas` are by method."""

    means: Sequence[Mean]
    reported: Sequence[Other]
    reference: Sequence[Other]
    attack: str
    names: Mapping[str, str]
    colours: Mapping[str, str]
    betas: Mapping[str, float]
    caption: Sequence[str]


def draw(scene: Scene) -> Figure:
    """Return the figure: this experiment, and beside it RobustBench's models if there are any."""
    caption = style.caption_lines(scene.caption, LEFT)
    foot = 0.46 + style.caption_height(caption)
    joined = _joined(scene.means, scene.betas)
    entries = marks.entries(
        scene.reported,
        scene.reference,
        front=len(front(scene.means)) > 1,
        betas=len(joined) > 1,
        away=bool(strays(scene.means) or strays(scene.reference)),
    )
    rows = math.ceil(len(entries) / marks.columns(entries))
    figure = style.sheet(foot + TALL + 0.32 + 0.165 * rows)
    style.legend(figure, entries, left=LEFT, columns=marks.columns(entries))
    room = style.WIDTH - LEFT - RIGHT
    if scene.reference:
        first = SHARE * (room - BETWEEN)
        ours = style.axes_at(figure, LEFT, foot, first, TALL)
        among = style.axes_at(figure, LEFT + first + BETWEEN, foot, room - BETWEEN - first, TALL)
        _ours(ours, scene, "a  This experiment")
        _among(among, ours, scene)
    else:
        _ours(style.axes_at(figure, LEFT, foot, room, TALL), scene, "")
    style.write_caption(figure, caption, LEFT)
    return figure


def _ours(axes: Axes, scene: Scene, title: str) -> None:
    away = strays(scene.means)
    near = [mean for mean in scene.means if mean not in away]
    seeds = [seed for mean in near for seed in mean.seeds]
    _frame(axes, [*near, *seeds, *scene.reported], title, foot=bool(away))
    axes.set_ylabel(f"{scene.attack} accuracy")
    ledger = Ledger(axes)
    # Through what lies outside as well: the axes cut the line where they end.
    corners = [(mean.clean, mean.robust) for mean in front(scene.means)]
    axes.plot(*zip(*corners, strict=True), **marks.FRONT, zorder=1, scalex=False, scaley=False)
    ledger.stroke(corners)
    path = [(mean.clean, mean.robust) for mean in _joined(near, scene.betas)]
    if len(path) > 1:
        axes.plot(*zip(*path, strict=True), **marks.BETAS, zorder=2)
        ledger.stroke(path)
    for other in scene.reported:
        style_of = marks.diamond(scene.colours[other.name], other.kind)
        axes.plot(other.clean, other.robust, **style_of, zorder=7)
        ledger.mark(*ledger.at(other.clean, other.robust), marks.PAPER + 2)
    _methods(ledger, near, scene)
    for other in scene.reported:
        where = ledger.at(other.clean, other.robust)
        ledger.name(*where, marks.PAPER + 2, scene.names[other.name], SMALL, "italic")
    _arrows(ledger, away, scene)
    ledger.write()


def _among(axes: Axes, ours: Axes, scene: Scene) -> None:
    away = strays(scene.reference)
    means = [mean for mean in scene.means if mean not in strays(scene.means)]
    others = [other for other in scene.reference if other not in away]
    near: list[Mean | Other] = [*means, *scene.reported, *others]
    left, right, bottom, top = _window(ours)
    corners = [Other("", left, bottom, "plain"), Other("", right, top, "plain")]
    _frame(axes, [*near, *corners], "b  Beside RobustBench", foot=bool(away))
    axes.set_ylabel(f"{scene.attack} accuracy")
    ledger = Ledger(axes)
    size = (right - left, top - bottom)
    axes.add_patch(Rectangle((left, bottom), *size, fill=False, ec=style.SOFT, lw=0.6))
    ledger.stroke([(left, bottom), (left, top), (right, top), (right, bottom), (left, bottom)])
    axes.annotate("a", (left, top), (3, -2.5), textcoords="offset points", va="top", weight="bold")
    x, y = ledger.at(left, top)
    ledger.mark(x + 5, y - 6, 10)
    for point in near:
        where = ledger.at(point.clean, point.robust)
        if isinstance(point, Mean):
            axes.plot(point.clean, point.robust, **marks.speck(scene.colours[point.method]))
            ledger.mark(*where, marks.TINY)
        elif point in scene.reported:
            small = marks.diamond(scene.colours[point.name], point.kind, marks.TINY - 1)
            axes.plot(point.clean, point.robust, **small)
            ledger.mark(*where, marks.TINY)
        else:
            axes.plot(point.clean, point.robust, **marks.square(point.kind), zorder=4)
            if point.kind in marks.BADGES:
                axes.plot(point.clean, point.robust, **marks.badge(point.kind), zorder=5)
            ledger.mark(*where, marks.REFERENCE + 1)
            ledger.name(*where, marks.REFERENCE, short(point.name), SMALL)
    _arrows(ledger, away, scene)
    ledger.write()


def short(name: str) -> str:
    """Return a RobustBench model's first author and year: Gowal2021Improving_R18 is Gowal 2021."""
    found = re.match(r"([^\d_]+?)(\d{4})", name)
    return f"{found[1]} {found[2]}" if found else name


def shortened(others: Sequence[Other]) -> dict[str, str]:
    """Return the short names of RobustBench's models, by their names."""
    return {other.name: short(other.name) for other in others}


def _window(axes: Axes) -> tuple[float, float, float, float]:
    left, right = map(float, axes.get_xlim())
    bottom, top = map(float, axes.get_ylim())
    return left, right, bottom, top


def _joined(means: Sequence[Mean], betas: Mapping[str, float]) -> list[Mean]:
    return sorted((m for m in means if m.method in betas), key=lambda mean: betas[mean.method])


def _frame(axes: Axes, points: Sequence[Located], title: str, *, foot: bool) -> None:
    across, along = [p.clean for p in points], [p.robust for p in points]
    # A label is much wider than high, and arrows to what lies outside stand at the foot.
    axes.set_xlim(*_limits(across, 0.13, 0.13))
    axes.set_ylim(*_limits(along, 0.18 if foot else 0.1, 0.1))
    for side in (axes.xaxis, axes.yaxis):
        side.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
        side.set_major_formatter("{x:g}%")
    axes.grid(True)
    axes.set_xlabel("Clean accuracy")
    axes.set_title(title, loc="left", weight="bold", pad=6)


def _limits(values: Sequence[float], below: float, above: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    span = max(high - low, 2.0)
    # Nothing is beyond 0 or 100 %, but a marker on that edge must not be cut.
    return max(low - below * span, -2.0), min(high + above * span, 102.0)


def _methods(ledger: Ledger, means: Sequence[Mean], scene: Scene) -> None:
    """Draw every mean and seed, so that all of it shows where several fall on one spot."""
    axes = ledger.axes
    taken: Counter[tuple[float, float]] = Counter()
    for mean in means:
        spot, colour = (mean.clean, mean.robust), scene.colours[mean.method]
        for seed in mean.seeds:
            ends = (mean.clean, seed.clean), (mean.robust, seed.robust)
            axes.plot(*ends, color=colour, lw=0.6, alpha=0.6, zorder=2.5)
            ledger.stroke([spot, (seed.clean, seed.robust)])
        size = marks.enclosing(ledger, spot, means) + 3 * taken[spot]
        taken[spot] += 1
        axes.plot(*spot, **marks.disc(colour, size), zorder=5)
        axes.plot(*spot, **marks.ring(size), zorder=5.5)
        ledger.mark(*ledger.at(*spot), size)
        ledger.name(*ledger.at(*spot), size, scene.names[mean.method], LABEL)
    for seed, (x, y) in marks.side_by_side(ledger, [s for mean in means for s in mean.seeds]):
        where = axes.transData.inverted().transform((x, y))
        axes.plot(*where, **marks.dot(scene.colours[seed.method]), zorder=6)
        ledger.mark(x, y, marks.SEED)


def _arrows(ledger: Ledger, away: Sequence[Mean | Other], scene: Scene) -> None:
    """Point at what lies outside the axes, and say where it is."""
    axes = ledger.axes
    left, right, bottom, top = _window(axes)
    taken: list[float] = []
    for point in away:
        across = (point.clean > right) - (point.clean < left)
        along = (point.robust > top) - (point.robust < bottom)
        x, y = ledger.at(min(max(point.clean, left), right), min(max(point.robust, bottom), top))
        x, y = x - 7 * across, y - 7 * along
        while any(abs(x - other) < 10 for other in taken):
            x -= 10
        taken.append(x)
        name, colour = short(getattr(point, "name", "")), style.SOFT
        if isinstance(point, Mean):
            name, colour = scene.names[point.method], scene.colours[point.method]
        angle = math.degrees(math.atan2(along, across)) - 90
        where = axes.transData.inverted().transform((x, y))
        axes.plot(*where, **marks.arrow(colour, angle), zorder=6)
        ledger.mark(x, y, 7)
        text = f"{name} ({point.clean:.1f}%, {point.robust:.1f}%)"
        ledger.name(x, y, 7, text, LABEL if isinstance(point, Mean) else SMALL)
