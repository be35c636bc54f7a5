"""Accuracy of every method's network on the adversarial images of every other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.analysis.figures import style
from bench.analysis.figures.examined import Matrix

MARGIN, SIZE, HEAD, LARGEST = 0.12, 7.0, 0.12, 0.52
COLOURS = "cividis"


def draw(
    matrix: Matrix, methods: Sequence[str], *, names: Mapping[str, str], caption: Sequence[str]
) -> Figure:
    """Return the figure, sources from top to bottom and targets from left to right."""
    shown = [method for method in methods if (method, method) in matrix.accuracy]
    labels = [f"{names[m]} ✗" if m in matrix.weak else names[m] for m in shown]
    longest = max(style.text_width(label, 7.5) for label in labels) / style.POINTS
    lines = style.caption_lines(caption, MARGIN)
    left, foot = 0.5 + longest, style.caption_height(lines) + 0.08
    # Names over the columns are turned by 40 degrees; the last leans out to the right.
    above, beyond = 0.66 * longest + 0.5, 0.77 * longest + 0.1
    cell = min(LARGEST, (style.WIDTH - left - MARGIN - beyond) / len(shown))
    figure = style.sheet(foot + cell * len(shown) + above + HEAD)
    axes = style.axes_at(figure, left, foot, cell * len(shown), cell * len(shown))
    values = np.array([[matrix.accuracy[source, target] for target in shown] for source in shown])
    limits = Normalize(0, 100)
    axes.imshow(values, cmap=COLOURS, norm=limits, aspect="auto")
    _numbers(axes, values)
    for k in range(len(shown)):
        axes.add_patch(
            Rectangle(
                (k - 0.5, k - 0.5),
                1,
                1,
                fill=False,
                ec=style.VERMILLION,
                lw=1.3,
                clip_on=False,
                zorder=4,
            )
        )
    axes.set_yticks(range(len(shown)), [names[method] for method in shown])
    axes.set_xticks(range(len(shown)), labels, rotation=40, ha="left", rotation_mode="anchor")
    axes.tick_params(length=0, labeltop=True, labelbottom=False, top=False, bottom=False, pad=4)
    axes.spines[:].set_visible(False)
    axes.set_ylabel("Images made on", labelpad=6)
    axes.set_title("Tried on", size=8, loc="left", pad=8)
    style.write_caption(figure, lines, MARGIN)
    return figure


def _numbers(axes: Axes, values: NDArray[np.float64]) -> None:
    colours = ScalarMappable(Normalize(0, 100), COLOURS).to_rgba(values)
    for row, column in np.ndindex(*values.shape):
        red, green, blue, _ = colours[row, column]
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        axes.text(
            column,
            row,
            f"{values[row, column]:.1f}",
            size=SIZE,
            ha="center",
            va="center_baseline",
            color="white" if dark else style.INK,
        )
