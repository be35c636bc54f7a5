"""The frontier shows the numbers of the frames, on paper and on the page."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import framed
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.colors import to_hex

from bench.analysis.plots import frontier, style
from bench.results.published import Published
from bench.runtime.errors import BenchError

ACCURACIES = {
    "standard": [(95, 0), (94, 0)],
    "trades": [(82, 49), (83, 50)],
    "trades_beta1": [(88, 43), (88, 44)],
    "trades_beta3": [(85, 47), (84, 47)],
    "memloss_v1": [(86, 48), (86, 50)],
    "memloss_v1_placebo": [(84, 45), (84, 45)],
}
NAMES = Published(
    reported=(
        *framed.reported("memloss_v1", 84.52, 48.87),
        *framed.reported("hat", 84.9, 49.08, kind="secondary", eps=None),
        *framed.reported("mart", 80.7, 47.5, checkpoint_rule="last epoch"),
        *framed.reported("trades", 82.4, 48.4, dataset="cifar100"),
    ),
    cards=(
        framed.card("Gowal2021Improving_R18", 87.35, 58.63, data="generated"),
        framed.card("Wong2020Fast", 83.34, 43.21),
        framed.card("Big2024_WRN-70-16", 93.0, 70.0, architecture="WideResNet-70-16"),
        framed.card("Other2020", 60.0, 30.0, dataset="cifar100"),
        framed.card("Far2020", 90.0, 60.0, eps=0.5),
    ),
)


def shown(accuracies=ACCURACIES, published=None, **parts):
    context = framed.context(accuracies, published, **parts)
    return frontier.frontier(context, context.attack), context


def traces(data, kind):
    return [t for t in go.Figure(data.chart()).data if (t.meta or {}).get("kind") == kind]


def markers(axes):
    """Return (x, y, colour, marker) of every point of matplotlib's axes."""
    lines = [line for line in axes.lines if line.get_linestyle() == "None"]
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line.get_marker())
        for line in lines
        if len(line.get_xdata()) == 1
    ]


def test_means_and_seeds_are_those_of_the_summary_on_paper_and_on_the_page():
    data, _ = shown()
    means = {label: (row["clean"], row["robust"]) for label, row in data.means.iterrows()}
    assert means["trades"] == (82.5, 49.5)
    with style.styled():
        axes = data.draw().axes[0]
    drawn = {point[:2] for point in markers(axes)}
    for label, seeds in ACCURACIES.items():
        if label != "standard":
            assert {means[label], *map(tuple, seeds)} <= drawn
    on_page = {t.legendgroup: (t.x[0], t.y[0]) for t in traces(data, "mean")}
    assert on_page == means
    by_seed = {t.legendgroup: [*zip(t.x, t.y, strict=True)] for t in traces(data, "seed")}
    assert by_seed == {label: [*map(tuple, seeds)] for label, seeds in ACCURACIES.items()}


def test_a_method_has_one_look_everywhere_and_its_placebo_another():
    data, context = shown()
    v1, placebo = (context.methods[label] for label in ("memloss_v1", "memloss_v1_placebo"))
    for look in ("colour", "marker", "dash"):
        assert getattr(v1, look) != getattr(placebo, look)
    on_page = {t.legendgroup: t.marker for t in traces(data, "mean")}
    with style.styled():
        figure = data.draw()
    legend = dict(
        zip(
            (text.get_text() for text in figure.legends[0].texts),
            figure.legends[0].legend_handles,
            strict=True,
        )
    )
    for method in (v1, placebo):
        assert on_page[method.label].symbol == method.marker.page
        handle = legend[method.name]
        assert handle.get_marker() == method.marker.paper
        assert to_hex(handle.get_markerfacecolor()) == to_hex(on_page[method.label].color)


def test_a_standard_network_does_not_squeeze_the_rest_but_is_named():
    data, _ = shown()
    assert data.outliers == ["standard"]
    with style.styled():
        axes = data.draw().axes[0]
    assert axes.get_ylim()[0] > 30
    assert "Beyond the axes: Standard (94.5%, 0.0%)." in data.caption
    assert [t.legendgroup for t in traces(data, "mean") if t.meta["far"]] == ["standard"]


@pytest.mark.parametrize(
    ("points", "corners"),
    [
        ({"a": (90, 10), "b": (80, 40), "c": (85, 20)}, ["b", "a"]),
        ({"a": (90, 10), "b": (80, 40), "c": (85, 30)}, ["b", "c", "a"]),
        ({"a": (90, 10), "b": (90, 40)}, ["b"]),
        ({"a": (90, 40), "b": (90, 40), "c": (80, 50)}, ["c", "a"]),
        ({"a": (90, 40)}, ["a"]),
        ({}, []),
    ],
)
def test_the_hull_has_what_no_mixture_of_others_reaches(points, corners):
    frame = pd.DataFrame.from_dict(points, "index", columns=["clean", "robust"], dtype=float)
    assert frontier.hull(frame) == corners


def test_trades_is_joined_in_the_order_of_beta():
    data, _ = shown()
    assert data.betas == ["trades_beta1", "trades_beta3", "trades"]
    (path,) = traces(data, "betas")
    assert list(path.x) == [88.0, 84.5, 82.5]


@pytest.mark.parametrize(
    ("column", "value", "joined"),
    [("flags", "own_recipe", ["trades_beta1", "trades_beta3"]), ("model", "wrn_34_10", [])],
)
def test_trades_of_another_recipe_or_network_is_not_joined(column, value, joined):
    frame = framed.summary({name: ACCURACIES[name] for name in ("trades_beta1", "trades_beta3")})
    other = framed.summary({"trades": ACCURACIES["trades"]}).assign(**{column: value})
    if column == "model":
        frame = frame[frame["method"] == "trades_beta1"]
    data, _ = shown(pd.concat([frame, other], ignore_index=True))
    assert data.betas == joined


def test_reported_points_are_of_the_same_data_model_and_epoch_and_marked_as_their_run():
    data, context = shown(published=NAMES)
    assert [(p.method, p.clean) for p in data.reported] == [("memloss_v1", 84.52), ("hat", 84.9)]
    symbols = [t.marker.symbol for t in traces(data, "paper")]
    assert symbols[0] == f"{context.methods['memloss_v1'].marker.page}-open"
    assert "Some reports do not state ε: HAT." in data.caption
    assert [card.name for card in data.cards] == ["Gowal2021Improving_R18", "Wong2020Fast"]
    with style.styled():
        figure = data.draw()
    assert len(figure.axes) == 2
    assert "a Gowal 2021†, b Wong 2020" in figure.get_supxlabel().replace("\n", " ")
    assert not frontier.frontier(context, "autoattack", "last").reported


@pytest.mark.parametrize(("attack", "count"), [("autoattack", 1), ("pgd20", 0)])
def test_robustbench_stands_beside_autoattack_alone(attack, count):
    frame = framed.summary({"mart": [(80, 47)]}, attack=attack)
    context = framed.context(frame, Published(cards=(framed.card("Some2020", 80.0, 50.0),)))
    data = frontier.frontier(context, attack)
    assert [(card.clean, card.autoattack) for card in data.cards] == [(80, 50)] * count
    assert data.reported == []


def test_models_of_robustbench_that_were_evaluated_here_have_markers_of_their_own():
    theirs = {"Rice2020Overfitting": [(85.5, 53.5)], "Standard": [(94.8, 0.0)]}
    rows = framed.summary(theirs, model="robustbench", origin="robustbench")
    frame = pd.concat([framed.summary(ACCURACIES), rows], ignore_index=True)
    data, _ = shown(frame)
    assert "Rice2020Overfitting" not in data.means.index
    found = {(t.x[0], t.y[0]): (t.marker.symbol, t.meta["far"]) for t in traces(data, "reference")}
    assert {point: far for point, (_, far) in found.items()} == {
        (85.5, 53.5): False,
        (94.8, 0.0): True,
    }
    symbols = {symbol for symbol, _ in found.values()}
    assert len(symbols) == 2
    assert not symbols & {marker.page for marker in style.MARKERS}
    with style.styled():
        figure = data.draw()
    assert (85.5, 53.5, "d") in markers(figure.axes[0])
    names = [text.get_text() for text in figure.legends[0].texts]
    assert [name for name in names if "RobustBench" in name] == ["Rice 2020 (RobustBench)"]
    assert any("Rice 2020" in said for said in data.caption)


@pytest.mark.parametrize("flags", ["own_recipe", "subset;own_recipe"])
def test_a_run_by_a_recipe_of_its_own_is_not_what_a_paper_reports(flags):
    frame = framed.summary({"memloss_v1": [(84, 48)]}, flags=flags)
    data, context = shown(frame, NAMES)
    assert [point.method for point in data.reported] == ["memloss_v1_reported", "hat"]
    assert context.methods["memloss_v1"].place == 0


def test_what_is_reported_of_other_methods_does_not_squeeze_this_experiment():
    far = framed.reported("hat", 75.0, 30.0)
    published = replace(NAMES, reported=(*NAMES.reported, *far))
    data, _ = shown({"memloss_v1": [(84, 48)], "trades": [(83, 49)]}, published)
    (left, right), (bottom, top) = data.window()
    assert 82 < left < 83 < 84.52 < right < 86
    assert 47 < bottom < 48 < 49 < top < 50
    ours, beside = data.draw().axes
    assert ours.get_ylim() == (bottom, top)
    assert beside.get_ylim()[0] < 30
    assert "Reported numbers beyond the axes of a are in b." in data.caption


def test_a_reported_method_changes_no_run_s_marker():
    _, bare = shown()
    _, beside = shown(published=NAMES)
    assert bare.methods == beside.methods


def test_hovering_tells_interval_images_and_flags_and_escapes_names():
    frame = framed.summary({"a<b>&$x_1$": [(80.0, 40.0), (81.0, 40.0)]}, flags="subset")
    data, _ = shown(frame)
    (seeds,) = traces(data, "seed")
    assert "80.00 % [77.00, 83.00] of 1000 images" in seeds.text[0]
    assert "flags: subset" in seeds.text[0]
    assert "<b>A&lt;b&gt;&amp;$x 1$</b>" in seeds.text[0]
    with style.styled():
        files = style.encoded(data.draw())
    assert b"A&lt;b&gt;&amp;$x 1$" in files["svg"]


def test_twenty_seeds_leave_the_means_in_sight():
    seeds = [(80 + math.sin(k), 45 + math.cos(k)) for k in range(20)]
    data, _ = shown({"trades": seeds, "mart": seeds[::-1]})
    with style.styled():
        axes = data.draw().axes[0]
    sizes = {round(line.get_markersize(), 1): line.get_zorder() for line in axes.lines}
    assert min(sizes) <= 2.0
    assert sizes[max(sizes)] > sizes[min(sizes)]
    assert not [line for line in axes.lines if len(line.get_xdata()) == 2]  # no spokes
    kinds = [
        t.meta["kind"] for t in go.Figure(data.chart()).data if t.meta["kind"] in ("seed", "mean")
    ]
    assert kinds == ["seed", "seed", "mean", "mean"]


@pytest.mark.parametrize("count", [1, 12])
def test_long_names_stay_on_the_page(count):
    data, _ = shown({f"{'x' * 40}{k} {'y' * 20}": [(80.0 + k, 40.0)] for k in range(count)})
    with style.styled():
        figure = data.draw()
        figure.draw_without_rendering()
    assert figure.legends[0].get_window_extent().x1 <= figure.bbox.x1
    assert figure.axes[0].get_window_extent().height > 0.4 * figure.bbox.height


CONFIG = Path(__file__).parents[2] / "config"
CARDS = CONFIG / "robustbench.csv"


def test_the_published_files_are_read_with_what_a_model_was_trained_on():
    found = Published.read(CONFIG / "reported.csv", CARDS)
    assert any(row.method == "memloss_v1" for row in found.reported)
    gowal = next(card for card in found.cards if card.name.startswith("Gowal2021Improving_R18"))
    assert (gowal.clean, gowal.autoattack, gowal.data) == (87.35, 58.63, "generated")
    assert Published.read(None, None) == Published()


def test_a_word_that_is_neither_true_nor_false_is_named(tmp_path):
    path = tmp_path / "robustbench.csv"
    path.write_text(CARDS.read_text(encoding="utf-8").replace("false,true", "false,maybe", 1))
    with pytest.raises(BenchError, match=r"robustbench\.csv: .*generated_data: .*'maybe'"):
        Published.read(None, path)


def test_each_network_has_a_front_and_reported_points_of_its_own():
    wide = framed.summary({"wide_trades": [(88, 52)], "wide_mart": [(86, 55)]}, model="wrn_34_10")
    wide.loc[wide["method"] == "wide_trades", ["base_method", "options"]] = "trades", "beta=6"
    frame = pd.concat([framed.summary({"trades": [(82, 49)], "mart": [(80, 50)]}), wide])
    published = (
        *framed.reported("trades", 81, 48),
        *framed.reported("trades", 84, 52, model="wrn_34_10"),
        *framed.reported("hat", 84, 49),
        *framed.reported("hat", 86, 53, model="wrn_34_10"),
    )
    data, context = shown(frame, Published(reported=published))
    assert sorted(map(sorted, data.corners)) == [["mart", "trades"], ["wide_mart", "wide_trades"]]
    assert len(traces(data, "hull")) == 2
    points = [point.method for point in data.reported]
    assert points[:2] == ["trades", "wide_trades"]
    assert len(set(points)) == 4
    for label, network in zip(points, ("ResNet-18", "WRN-34-10") * 2, strict=True):
        assert network in context.displays[label].name
    assert {shown.name for shown in context.displays.values()} >= {"HAT (WRN-34-10)"}
