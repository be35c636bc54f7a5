"""How far each variant of an open choice is from its base: a forest of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.figures import style
from bench.analysis.image_counts import Counts, span
from bench.analysis.labels import attack_name

if TYPE_CHECKING:
    from bench.analysis.ablations import Line

MARGIN, RIGHT, BETWEEN, PITCH, GAP = 0.12, 0.15, 0.2, 0.21, 0.3
COLOURS = {"clean": style.SKY, "robust": style.VERMILLION}
SEED: dict[str, Any] = {"marker": "|", "ms": 5, "mew": 0.7, "ls": "none", "mec": style.SOFT}
SMALL_BAND = "#f1f1f1"


def draw(
    lines: Sequence[Line],
    *,
    names: Mapping[str, str],
    marked: Mapping[tuple[str, str], str],
    small: float,
    caption: Sequence[str],
) -> Figure:
    """Return the figure; `lines` are in the order of the choices, from the top.

    `names` says how a reader is told of each base, `marked` of each choice's variant, and `small`
    how many points count as no difference.
    """
    attack = next(line.attack for line in lines if line.attack != "clean")
    accuracy = [line for line in lines if line.quantity == "accuracy"]
    counts = Counts(
        {
            which: [span(line.n_images for line in accuracy if line.attack == which)]
            for which in ("clean", attack)
        }
    )
    rows = list(dict.fromkeys((line.choice, line.base, line.variant) for line in accuracy))
    heads = list(dict.fromkeys((choice, base) for choice, base, _ in rows))
    written = [marked[choice, variant] for choice, _, variant in rows]
    left = 0.25 + max(style.text_width(name, 7.5) for name in written) / style.POINTS
    told = style.caption_lines(caption, MARGIN)
    foot, top = 0.5 + style.caption_height(told), 0.35
    tall = PITCH * len(rows) + GAP * len(heads)
    wide = (style.WIDTH - left - RIGHT - BETWEEN) / 2
    figure = style.sheet(foot + tall + top)
    places = _places(rows)
    for i, (kind, which) in enumerate((("clean", "clean"), ("robust", attack))):
        axes = style.axes_at(figure, left + i * (wide + BETWEEN), foot, wide, tall)
        axes.set_ylim(tall, 0)
        axes.axvspan(-small, small, color=SMALL_BAND, zorder=0)
        axes.axvline(0, color=style.SOFT, lw=0.6, zorder=1)
        found = {(one.choice, one.variant): one for one in accuracy if one.attack == which}
        _panel(axes, found, places, COLOURS[kind])
        title = "clean" if kind == "clean" else attack_name(attack)
        axes.set_xlabel(f"Difference in {title} accuracy (points){counts.heading(which)}")
        axes.set_yticks(list(places.values()), written if i == 0 else [""] * len(written))
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(True, axis="x")
        if i == 0:
            _headings(axes, heads, rows, places, names)
    mean = Line2D([], [], color=style.INK, marker="o", ms=4, lw=1.2)
    entries = [
        ("mean and 95 % interval over seeds and images", mean),
        ("one seed", Line2D([], [], **SEED)),
        (f"within {small:g} point", Line2D([], [], color=SMALL_BAND, lw=6)),
    ]
    style.legend(figure, entries, left=MARGIN, columns=len(entries))
    style.write_caption(figure, told, MARGIN)
    return figure


def _places(rows: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str], float]:
    """Return how far from the top each variant stands, in inches; a heading begins each choice."""
    places: dict[tuple[str, str], float] = {}
    at, before = 0.0, None
    for choice, _, variant in rows:
        if choice != before:
            at, before = at + GAP, choice
        places[choice, variant] = at + PITCH / 2
        at += PITCH
    return places


def _panel(
    axes: Axes,
    found: Mapping[tuple[str, str], Line],
    places: Mapping[tuple[str, str], float],
    colour: str,
) -> None:
    for key, line in found.items():
        y = places[key]
        seeds = [float(value) for value in line.by_seed.split(";")]
        if len(seeds) > 1:
            axes.plot(seeds, [y] * len(seeds), zorder=3, **SEED)
        if line.low is not None and line.high is not None:
            axes.plot([line.low, line.high], [y, y], color=colour, lw=1.2, zorder=2)
        axes.plot(line.difference, y, "o", color=colour, ms=4, mec="white", mew=0.5, zorder=4)


def _headings(
    axes: Axes,
    heads: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, str, str]],
    places: Mapping[tuple[str, str], float],
    names: Mapping[str, str],
) -> None:
    for choice, base in heads:
        first = next(variant for own, _, variant in rows if own == choice)
        y = places[choice, first] - PITCH / 2 - 0.07
        axes.annotate(
            f"{choice}, against {names[base]}",
            (MARGIN / style.WIDTH, y),
            xycoords=("figure fraction", "data"),
            size=7.5,
            weight="bold",
            va="bottom",
            bbox={"fc": "white", "ec": "none", "pad": 1},
            annotation_clip=False,
        )
