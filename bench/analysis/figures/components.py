"""What each component of AutoAttack broke, as shares of the test images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.figures import style
from bench.analysis.labels import attack_name

MARGIN, RIGHT, BAR, PITCH, SIZE, PAD = 0.12, 0.15, 0.2, 0.29, 6.6, 3.0
COLUMN = 0.6
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


def draw(
    shares: Mapping[str, Mapping[str, float]], *, names: Mapping[str, str], caption: Sequence[str]
) -> Figure:
    """Return the figure; `shares` holds each method's percentages by what broke the images.

    The most robust method is on top. What some bar is too thin to number is numbered in a column on
    the right.
    """
    methods = sorted(shares, key=lambda method: (-shares[method].get("", 0.0), method))
    seen = {name for parts in shares.values() for name in parts}
    others = sorted(seen - set(ORDER) - {"clean"})
    parts = ORDER if seen & set(ORDER[1:]) else ORDER[:1]
    kinds = [*parts, *others, "clean"]
    left = 0.2 + max(style.text_width(names[m], 7.5) for m in methods) / style.POINTS
    lines = style.caption_lines(caption, MARGIN)
    foot, head = 0.5 + style.caption_height(lines), 0.55
    tall = PITCH * len(methods)
    room = style.WIDTH - left - RIGHT
    thin = _thin(shares, kinds, room - COLUMN * len(kinds))
    wide = room - COLUMN * len(thin)
    figure = style.sheet(foot + tall + head)
    axes = style.axes_at(figure, left, foot, wide, tall)
    _bars(axes, [shares[method] for method in methods], kinds, thin, wide)
    axes.set_yticks(range(len(methods)), [names[method] for method in methods])
    for i, kind in enumerate(thin):
        _column(axes, 1 + (i + 1) * COLUMN / wide, kind, [shares[m] for m in methods])
    entries = [(_name(kind), Patch(fc=COLOURS.get(kind, style.GREEN))) for kind in kinds]
    style.legend(figure, entries, left=MARGIN, columns=len(entries))
    style.write_caption(figure, lines, MARGIN)
    return figure


def _name(kind: str) -> str:
    return NAMES.get(kind, attack_name(kind))


def _fits(share: float, wide: float) -> bool:
    return style.text_width(f"{share:.1f}", SIZE) + PAD <= share / 100 * wide * style.POINTS


def _thin(
    shares: Mapping[str, Mapping[str, float]], kinds: Sequence[str], wide: float
) -> list[str]:
    """Return the kinds that no bar shows at all, or too thin for a bar of `wide` inches."""
    found = []
    for kind in kinds:
        values = [parts.get(kind, 0.0) for parts in shares.values()]
        if not any(values) or any(value and not _fits(value, wide) for value in values):
            found.append(kind)
    return found


def _bars(
    axes: Axes,
    rows: Sequence[Mapping[str, float]],
    kinds: Sequence[str],
    thin: Sequence[str],
    wide: float,
) -> None:
    for y, parts in enumerate(rows):
        start = 0.0
        for kind in kinds:
            share, colour = parts.get(kind, 0.0), COLOURS.get(kind, style.GREEN)
            axes.barh(y, share, BAR / PITCH, start, color=colour, lw=0)
            look: dict[str, Any] = {"size": SIZE, "va": "center_baseline"}
            if share and kind not in thin and _fits(share, wide):
                middle = start + share / 2
                axes.text(middle, y, f"{share:.1f}", ha="center", color=_readable(colour), **look)
            start += share
    axes.set_xlim(0, 100)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.xaxis.set_major_formatter("{x:g}%")
    axes.set_xlabel("Share of the test images (numbers in %)")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _column(axes: Axes, x: float, kind: str, rows: Sequence[Mapping[str, float]]) -> None:
    across = axes.get_yaxis_transform()
    heading = f"{_name(kind)}, %".replace("Clean ", "Clean\n")
    axes.text(x, -0.62, heading, size=SIZE, ha="right", va="bottom", transform=across)
    for y, parts in enumerate(rows):
        text = f"{parts.get(kind, 0.0):.2f}"
        axes.text(x, y, text, size=SIZE, ha="right", va="center_baseline", transform=across)


def _readable(colour: str) -> str:
    red, green, blue = to_rgb(colour)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else style.INK
