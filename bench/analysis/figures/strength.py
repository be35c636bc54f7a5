"""Accuracy against stronger and stronger attacks: one panel a method, radius left, steps right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from bench.analysis.figures import style
from bench.analysis.figures.examined import Strength

LEFT, RIGHT, ACROSS, UPWARD, COLUMNS = 0.6, 0.12, 0.22, 0.42, 3
RADIUS_SHARE, GAP = 0.58, 0.14  # of a panel, to the left part; between both parts, in inches
PGD, FGSM, SQUARE = style.VERMILLION, style.SKY, style.BLACK
LOOKS: dict[str, dict[str, Any]] = {
    "pgd": {"color": PGD, "lw": 1.5},
    "fgsm": {"color": FGSM, "lw": 1.2, "ls": (0, (3, 1.5))},
    "seed": {"color": style.SOFT, "lw": 0.6},
    "restarts": {"marker": "v", "ms": 4, "mfc": "white", "mec": PGD, "mew": 1.0, "ls": "none"},
    # Open, as it may lie on the triangle.
    "square": {"marker": "D", "ms": 4, "mfc": "none", "mec": SQUARE, "mew": 0.8, "ls": "none"},
}


def draw(
    strengths: Mapping[str, Mapping[int, Strength]],
    *,
    eps: float,
    names: Mapping[str, str],
    caption: Sequence[str],
) -> Figure:
    """Return the figure; `strengths` holds each method's networks by seed, in panels' order.

    Radii are shown in units of `eps`.
    """
    methods = list(strengths)
    columns = min(COLUMNS, len(methods))
    rows = math.ceil(len(methods) / columns)
    lines = style.caption_lines(caption, LEFT)
    foot, head = 0.5 + style.caption_height(lines), 0.5
    wide = (style.WIDTH - LEFT - RIGHT - (columns - 1) * ACROSS) / columns
    tall = 1.05
    figure = style.sheet(foot + rows * tall + (rows - 1) * UPWARD + head)
    radius = _furthest(strengths, eps)
    size = min(style.fitted(names[method], 8, wide * style.POINTS) for method in methods)
    for i, method in enumerate(methods):
        row, column = divmod(i, columns)
        left, bottom = (
            LEFT + column * (wide + ACROSS),
            foot + (rows - 1 - row) * (tall + UPWARD),
        )
        split = RADIUS_SHARE * (wide - GAP)
        by_radius = style.axes_at(figure, left, bottom, split, tall)
        by_steps = style.axes_at(figure, left + split + GAP, bottom, wide - GAP - split, tall)
        networks = list(strengths[method].values())
        _radius_panel(by_radius, networks, eps, radius)
        _steps_panel(by_steps, networks)
        by_radius.set_title(names[method], loc="left", weight="bold", size=size, pad=3)
        _failed(by_radius, networks)
        last = i + columns >= len(methods)
        for axes in (by_radius, by_steps):
            axes.set_ylim(-2, 102)
            axes.yaxis.set_major_locator(FixedLocator([0, 25, 50, 75, 100]))
            axes.grid(True)
            axes.tick_params(labelbottom=last)
        by_radius.yaxis.set_major_formatter("{x:g}%")
        by_radius.tick_params(labelleft=column == 0)
        by_steps.tick_params(labelleft=False, left=False)
        by_steps.spines["left"].set_visible(False)
        if column == 0:
            by_radius.set_ylabel("Accuracy")
        if last:
            by_radius.set_xlabel("Radius / ε")
            by_steps.set_xlabel("Steps, at ε")
    _legend(figure, several=any(len(networks) > 1 for networks in strengths.values()))
    style.write_caption(figure, lines, LEFT)
    return figure


def _furthest(strengths: Mapping[str, Mapping[int, Strength]], eps: float) -> float:
    """Return the largest radius that PGD was tried at, in units of eps."""
    return max(
        x / eps
        for networks in strengths.values()
        for network in networks.values()
        for x, _ in network.points["eps"]
    )


def _lines(
    axes: Axes, curves: Sequence[Sequence[tuple[float, float]]], look: dict[str, Any]
) -> None:
    """Draw each seed thinly and the mean over the points that all seeds have."""
    by_seed = [dict(curve) for curve in curves]
    if len(by_seed) > 1:
        for seed in by_seed:
            axes.plot(list(seed), list(seed.values()), color=look["color"], lw=0.6, alpha=0.55)
    shared = [x for x in by_seed[0] if all(x in seed for seed in by_seed)]
    mean = [fmean(seed[x] for seed in by_seed) for x in shared]
    axes.plot(shared, mean, solid_capstyle="round", **look)


def _radius_panel(axes: Axes, networks: Sequence[Strength], eps: float, furthest: float) -> None:
    for check, look in (("fgsm", "fgsm"), ("eps", "pgd")):
        curves = [
            # PGD's curve ends where nothing stands, and nothing stands beyond.
            [(x / eps, accuracy) for x, accuracy in network.points[check] if x / eps <= furthest]
            for network in networks
        ]
        _lines(axes, curves, LOOKS[look])
    axes.axvline(1, color=style.SOFT, lw=0.6, ls=(0, (1, 1.5)), zorder=0.5)
    if furthest > 4:
        # Evenly to twice the radius, then by doublings, as the points lie.
        axes.set_xscale("function", functions=(_compressed, _expanded))
        ticks = [0, 1, *[t for t in (2, 4, 8, 16, 32, 64, 128, 256) if t <= furthest]]
    else:
        ticks = list(range(int(furthest) + 1))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(0, furthest)


def _compressed(x: Any) -> Any:
    return np.where(x <= 2, x, 1 + np.log2(np.maximum(x, 2)))


def _expanded(y: Any) -> Any:
    return np.where(y <= 2, y, 2.0 ** (np.maximum(y, 2) - 1))


def _steps_panel(axes: Axes, networks: Sequence[Strength]) -> None:
    _lines(axes, [network.points["steps"] for network in networks], LOOKS["pgd"])
    most = networks[0].points["steps"][-1][0]
    axes.set_xscale("log")
    for check in ("restarts", "square"):
        mean = fmean(network.points[check][-1][1] for network in networks)
        axes.plot(most, mean, clip_on=False, zorder=5, **LOOKS[check])
    ticks = [x for x in (1, 10, 100, 1000) if x <= most]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(0.9, 1.25 * most)


def _failed(axes: Axes, networks: Sequence[Strength]) -> None:
    failed = sorted({check for network in networks for check in network.failed})
    if failed:
        said = "\n".join(failed)
        axes.text(0.05, 0.06, said, size=5.5, color=PGD, transform=axes.transAxes)


def _legend(figure: Figure, *, several: bool) -> None:
    entries = [
        ("PGD", Line2D([], [], **LOOKS["pgd"])),
        ("FGSM, one step", Line2D([], [], **LOOKS["fgsm"])),
        ("PGD, all restarts", Line2D([], [], **LOOKS["restarts"])),
        ("Square alone", Line2D([], [], **LOOKS["square"])),
    ]
    if several:
        entries.append(("one seed", Line2D([], [], **LOOKS["seed"])))
    style.legend(figure, entries, left=LEFT, columns=len(entries))
