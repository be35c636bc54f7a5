"""The frontier, as drawn: every point is there, and no text covers another."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from bench.analysis.figures import frontier, marks, style
from bench.analysis.figures.points import Kind, Mean, Other, Point

METHODS = ["pgd_at", "trades_beta1", "trades_beta3", "trades", "mart", "memloss_v1", "memloss_v2"]
BETAS = {"trades": 6.0, "trades_beta1": 1.0, "trades_beta3": 3.0}


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with style.styled():
        yield


def mean(method: str, *seeds: tuple[float, float]) -> Mean:
    points = tuple(Point(method, k, *seed) for k, seed in enumerate(seeds))
    clean, robust = (sum(axis) / len(seeds) for axis in zip(*seeds, strict=True))
    return Mean(method, clean, robust, points)


def scene(means: list[Mean], reference: list[Other] | None = None) -> frontier.Scene:
    methods = [one.method for one in means]
    return frontier.Scene(
        means=means,
        reported=[Other(methods[0], means[0].clean, means[0].robust + 0.2, "paper", 8 / 255)],
        reference=reference or [],
        attack="AutoAttack",
        names={method: f"The method {method}" for method in methods},
        colours=style.colours(methods),
        betas={method: beta for method, beta in BETAS.items() if method in methods},
        caption=["A dataset.", "A model."],
    )


def cluster() -> list[Mean]:
    generator = random.Random(3)

    def near(middle: float) -> float:
        return middle + generator.gauss(0, 1)

    return [mean(method, *((near(83), near(48)) for _ in range(3))) for method in METHODS]


def models() -> list[Other]:
    kinds: list[Kind] = ["plain", "extra", "generated"]
    return [Other(f"Author{k}", 80 + 2 * k, 55 + k, kind) for k, kind in enumerate(kinds)]


def texts(figure: Figure) -> list[Text]:
    """Return what is written; matplotlib also keeps labels of ticks that it does not draw."""
    unseen = set()
    for axes in figure.axes:
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            for tick in axis.get_major_ticks():
                if not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    found = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    seen = [text for text in found if text not in unseen and text.get_visible()]
    return [text for text in seen if text.get_text().strip()]


def drawn(axes: Axes, marker: str, size: float) -> list[tuple[float, float]]:
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and line.get_markersize() == size
    ]


@pytest.mark.parametrize("reference", [[], models()], ids=["alone", "beside RobustBench"])
def test_no_text_covers_another_or_leaves_the_page(reference: list[Other]) -> None:
    figure = frontier.draw(scene(cluster(), reference))
    figure.draw_without_rendering()
    page = figure.bbox.extents
    boxes = [(text.get_text(), text.get_window_extent().extents) for text in texts(figure)]
    for text, (left, bottom, right, top) in boxes:
        assert left >= page[0], text
        assert bottom >= page[1], text
        assert right <= page[2], text
        assert top <= page[3], text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
        assert apart, (one, other)


def test_every_seed_is_a_point_and_every_mean_is_marked() -> None:
    means = [mean("trades", (82, 48), (83, 49)), mean("mart", (78, 47), (79, 46))]
    (axes,) = frontier.draw(scene(means)).axes
    seeds = [(seed.clean, seed.robust) for one in means for seed in one.seeds]
    assert np.array(drawn(axes, "o", marks.SEED)) == pytest.approx(np.array(seeds))
    assert set(drawn(axes, "o", marks.MEAN)) == {(82.5, 48.5), (78.5, 46.5)}


def test_equal_seeds_stand_side_by_side() -> None:
    (axes,) = frontier.draw(scene([mean("trades", (82, 48), (82, 48), (82, 48), (82, 48))])).axes
    where = [tuple(axes.transData.transform(spot)) for spot in drawn(axes, "o", marks.SEED)]
    for (x0, y0), (x1, y1) in itertools.combinations(where, 2):
        assert (x0 - x1) ** 2 + (y0 - y1) ** 2 >= marks.SEED**2


def test_trades_is_joined_in_the_order_of_beta() -> None:
    means = [
        mean("trades", (81, 49)),
        mean("trades_beta1", (86, 44)),
        mean("trades_beta3", (84, 47)),
    ]
    (axes,) = frontier.draw(scene(means)).axes
    (line,) = (line for line in axes.lines if line.get_linewidth() == marks.BETAS["lw"])
    assert list(line.get_xdata()) == [86, 84, 81]


def test_a_standard_network_does_not_squeeze_the_rest_but_is_named() -> None:
    means = [*cluster(), mean("standard", (95, 0))]
    figure = frontier.draw(scene(means))
    (axes,) = figure.axes
    assert axes.get_ylim()[0] > 30
    (line,) = (one for one in axes.lines if one.get_linewidth() == marks.FRONT["lw"])
    assert (line.get_xdata()[-1], line.get_ydata()[-1]) == (95, 0)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "outside the axes: (clean, attacked)" in legend
    assert "The method standard (95.0%, 0.0%)" in [text.get_text() for text in texts(figure)]


@pytest.mark.parametrize("clean", [0.0, 100.0])
def test_one_method_at_the_end_of_the_scale(clean: float) -> None:
    (axes,) = frontier.draw(scene([mean("trades", (clean, clean))])).axes
    left, right = axes.get_xlim()
    assert left < clean < right


def test_families_share_a_colour_and_strangers_get_their_own() -> None:
    colours = style.colours(["trades", "trades_beta3", "memloss_v1", "hat", "awp"])
    assert colours["trades"] == colours["trades_beta3"]
    assert len(set(colours.values())) == 4
