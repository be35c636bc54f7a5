"""Every figure shows what the frames hold, and becomes the same files wherever it is drawn."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import framed
import numpy as np
import pandas as pd
import pytest

from bench.analysis.plots import (
    ablations,
    components,
    curves,
    diagnostics,
    replay,
    style,
    surfaces,
    transfer,
)
from bench.analysis.plots.context import shown_checkpoint
from bench.analysis.plots.draw import draw_figures
from bench.results.columns import ABLATIONS
from bench.results.published import Published
from bench.results.tables import from_rows
from bench.runtime.errors import BenchError

TWO = {"trades": [(82, 49), (82, 49)], "memloss_v1": [(84, 48), (84, 48)]}


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def drawn(data):
    with style.styled():
        return data.draw()


def replayed(method, seed, values, **columns):
    count = len(values)
    own = {"forgetting_rate": values, "replay_loss_age0": 1.0 + seed}
    return framed.history(method, seed, [80.0] * count, [40.0] * count, **own, **columns)


def test_learning_curves_are_means_over_seeds_to_the_last_common_epoch():
    rows = [
        framed.history("trades", 0, [10.0, 30.0, 50.0], [5.0, 20.0, 25.0]),
        framed.history("trades", 1, [20.0, 50.0], [7.0, 22.0]),
    ]
    trainings = {("trades", 0): framed.training(3), ("trades", 1): framed.training(2)}
    context = framed.context(TWO, history=pd.concat(rows), trainings=trainings)
    data = curves.collect(context)
    figure = drawn(data)
    assert titles(figure) == ["TRADES (β=6)"]
    assert [15.0, 40.0] in [list(line.get_ydata()) for line in figure.axes[0].lines]
    (chart,) = framed.charts(data).values()
    found = {trace.name: (list(trace.x), list(trace.y)) for trace in chart.data}
    assert found["clean, mean over seeds"] == ([1, 2], [15.0, 40.0])
    assert found["seed 0, PGD"] == ([1, 2, 3], [5.0, 20.0, 25.0])
    assert found["epoch kept as best"] == ([3, 2], [25.0, 22.0])


def test_a_much_longer_training_squeezes_no_other():
    long, short = [float(k) for k in range(80)], [1.0, 2.0, 3.0, 4.0]
    rows = [framed.history("trades", 0, long, long), framed.history("memloss_v1", 0, short, short)]
    figure = drawn(curves.collect(framed.context(TWO, history=pd.concat(rows))))
    assert figure.axes[0].get_xlim()[1] > 79
    assert figure.axes[1].get_xlim()[1] < 5
    rows = [replayed("trades", 0, long), replayed("memloss_v1", 0, short)]
    data = replay.collect(framed.context(TWO, history=pd.concat(rows)))
    ends = {curve.label: curve.points["x"].iloc[-1] for curve in data.panels[0].curves}
    assert ends == {"trades": 100, "memloss_v1": 100}
    assert "Share of training" in data.panels[0].x
    assert any("80; MemLoss V1: 4" in said for said in data.caption)


def test_components_are_shares_of_all_images_mean_over_seeds():
    parts = {0: ["", "", "apgd-ce", "clean"], 1: ["", "square", "apgd-ce", "clean"]}
    rows = [
        {"method": "trades", "seed": seed, "checkpoint": "best", "attack": "autoattack"}
        | {"broken_by": part}
        for seed, broken in parts.items()
        for part in broken
    ]
    data = components.collect(framed.context(TWO, examples=pd.DataFrame(rows)))
    assert data.shares.loc["TRADES (β=6)"].to_dict() == {
        **{"Robust": 37.5, "Square": 12.5, "FAB-T": 0.0, "APGD-T": 0.0, "APGD-CE": 25.0},
        "Clean error": 25.0,
    }
    figure = drawn(data)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"37.5", "12.5", "25.0", "0.00"} <= set(texts)
    (chart,) = framed.charts(data).values()
    assert {trace.name: trace.x[0] for trace in chart.data}["Robust"] == 37.5


def test_replay_has_means_over_seeds_and_the_band_of_v1_alone():
    weights = {f"replay_weight_p{p}": p / 100 for p in (10, 50, 90)}
    rows = [
        replayed(method, seed, [None, 10.0 + seed, 20.0 + seed], **weights)
        for method in ("trades", "memloss_v1", "memloss_v1_placebo")
        for seed in (0, 1)
    ]
    context = framed.context(
        TWO | {"memloss_v1_placebo": [(84, 45)] * 2}, history=pd.concat(rows).astype({"seed": int})
    )
    data = replay.collect(context)
    forgotten, by_age, weight = data.panels
    own = next(curve for curve in forgotten.curves if curve.label == "memloss_v1")
    assert (own.points["x"].tolist(), own.points["y"].tolist()) == ([2, 3], [10.5, 20.5])
    assert [curve.points["y"].tolist() for curve in by_age.curves] == [[1.5]] * 3
    (band,) = weight.bands
    assert band.method.label == "memloss_v1"
    assert band.points[["low", "high"]].iloc[0].tolist() == [0.1, 0.9]
    dashes = {shown.dash for shown in data.displays.values() if shown.family == "memloss"}
    assert len(dashes) == 2
    charts = framed.charts(data)
    assert list(charts["0"].data[0].y) == [10.5, 20.5]
    assert {"memloss_v1", "trades"} <= {trace.legendgroup for trace in charts["2"].data}
    drawn(data)


def test_without_adversarial_examples_the_figure_says_so():
    figure = drawn(replay.collect(framed.context(TWO)))
    assert "no method" in figure.axes[0].texts[0].get_text()


def strengths(last=0.0, failed=(), eps=framed.EPS):
    points = [("eps", 0, 80), ("eps", eps, 50), ("eps", 2 * eps, last), ("eps", 1.0, last)]
    points += [("fgsm", eps, 60), ("steps", 1, 70), ("steps", 100, 50)]
    points += [("restarts", 5, 48.0), ("square", 1000, 52.0)]
    rows = [
        {"method": method, "seed": 0, "check": check, "checkpoint": "best"}
        | {"x": x, "accuracy": float(accuracy), "n": 80, "loss": 1.0}
        for method in TWO
        for check, x, accuracy in points
    ]
    record = SimpleNamespace(checkpoints={"best": SimpleNamespace(failed=list(failed))})
    parts = {"curves": pd.DataFrame(rows), "diagnostics": {("trades", 0): record}}
    return diagnostics.collect(framed.context(framed.summary(TWO, eps=eps), **parts))


@pytest.mark.parametrize(("last", "end"), [(0.0, 16), (3.0, 255)])
def test_the_radius_ends_where_all_curves_are_at_zero(last, end):
    data = strengths(last)
    axes = drawn(data).axes[0]
    assert axes.get_xlim()[1] == pytest.approx(end)
    chart = framed.charts(data)["0"]
    by_name = {trace.name: list(trace.y) for trace in chart.data}
    assert by_name == {"FGSM, one step": [60], "PGD": [80, 50, last, last]}
    pgd = chart.data[-1]
    assert list(pgd.customdata) == pytest.approx([0, 8, 16, 255])
    # The radius of the threat is marked, and the axis is alike on paper and on the page.
    assert [shape.x0 for shape in chart.layout.shapes] == pytest.approx([8])
    on_page = [(x / chart.layout.xaxis.range[1]) for x in pgd.x]
    ends = axes.transAxes.inverted()
    on_paper = [ends.transform(axes.transData.transform((x, 0)))[0] for x in pgd.customdata]
    assert on_page == pytest.approx(on_paper)
    assert on_page[2] > 0.25


def test_a_radius_that_is_no_whole_255th_is_shown_as_it_is():
    data = strengths(eps=0.3)
    assert data.panels[0].guide[0] == 0.3
    assert "255" not in data.panels[0].x


def test_restarts_and_square_are_marked_at_the_end_of_the_steps():
    chart = framed.charts(strengths())["1"]
    found = {trace.name: (list(trace.x), list(trace.y)) for trace in chart.data}
    assert found["PGD"] == ([1, 100], [70, 50])
    assert found["PGD, all restarts"] == ([100], [48])
    assert found["Square alone"] == ([100], [52])


def test_a_failed_check_is_named_above_its_panel_and_covers_no_curve():
    figure = drawn(strengths(failed=["eps_zero", "square_stronger"]))
    assert titles(figure)[0].split() == ["TRADES", "(β=6)", "✗", "eps_zero", "✗", "square_stronger"]
    assert [text.get_text().strip() for text in figure.axes[0].texts] == ["ε"]
    assert titles(figure)[2] == "MemLoss V1"


def test_surfaces_have_the_gradient_upwards_and_one_scale():
    ticks = (-1.0, 0.0, 1.0)
    rows = [
        {"method": "trades", "seed": seed, "checkpoint": "best", "index": 4, "label": 3}
        | {"along": x, "aside": y, "loss": 10 * x + y + 20, "right": int(x < 1)}
        for seed in (1, 0)
        for x in ticks
        for y in ticks
    ]
    data = surfaces.collect(framed.context(TWO, surfaces=pd.DataFrame(rows)))
    assert " · seed 0." in data.caption[0]
    ((losses, right),) = data.pictures["TRADES (β=6)"]
    assert losses[-1.0].tolist() == [9.0, 19.0, 29.0]
    assert right.loc[1.0].tolist() == [False] * 3
    (chart,) = framed.charts(data).values()
    assert list(chart.data[0].z[0]) == [9.0, 10.0, 11.0]
    drawn(data)


def test_transfer_has_sources_in_rows_and_marks_weak_targets():
    rows = [
        {"seed": seed, "checkpoint": "best", "source": a, "target": b, "n": 80}
        | {"accuracy": 10.0 * i + k + seed}
        for seed in (0, 1)
        for i, a in enumerate(TWO)
        for k, b in enumerate(TWO)
    ]
    weak = SimpleNamespace(failed=["transfer_stronger"])
    fine = SimpleNamespace(failed=[])
    record = SimpleNamespace(checkpoints={"best": {"trades": fine, "memloss_v1": weak}})
    context = framed.context(TWO, transfer=pd.DataFrame(rows), transfers={0: record})
    data = transfer.collect(context)
    assert data.accuracy.to_numpy().tolist() == [[0.5, 1.5], [10.5, 11.5]]
    axes = drawn(data).axes[0]
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names == ["TRADES (β=6)", "MemLoss V1 ✗"]
    assert [t.get_text() for t in axes.texts] == ["0.5", "1.5", "10.5", "11.5"]
    chart = framed.charts(data)["matrix"]
    assert np.array(chart.data[0].z).tolist() == [[0.5, 1.5], [10.5, 11.5]]
    framed_fields = [(shape.x0, shape.y0) for shape in chart.layout.shapes]
    assert framed_fields == [(-0.5, -0.5), (0.5, 0.5)]


def differences():
    empty = {name: "" for name, column in ABLATIONS.columns.items() if column.kind == "text"}
    rows = [
        empty
        | {"choice": "V1's weight $ & <b>", "base": "memloss_v1/best", "variant": variant}
        | {"quantity": "accuracy", "attack": attack, "n_seeds": 2, "n_images": 1000}
        | {"difference": difference, "low": difference - 1, "high": difference + 1}
        | {"by_seed": "0.5;1.5", "verdict": "matters"}
        for variant, difference in (("memloss_v1/last", 2.0), ("trades/best", -3.0))
        for attack in ("clean", "autoattack")
    ]
    return from_rows(ABLATIONS, rows)


def test_ablations_show_each_difference_with_its_interval():
    data = ablations.collect(framed.context(TWO, ablations=differences()))
    chart = framed.charts(data)["robust"]
    assert list(chart.data[0].x) == [2.0, -3.0]
    assert list(chart.data[0].error_x.arrayminus) == [1.0, 1.0]
    assert "V1's weight $ &amp; &lt;b&gt;" in chart.data[0].text[0].replace("&#x27;", "'")
    figure = drawn(data)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["MemLoss V1, last epoch", "TRADES (β=6)"]
    assert "V1's weight $ & <b>, against MemLoss V1" in [t.get_text() for t in figure.axes[0].texts]


def results():
    rows = [framed.history(m, s, [50.0, 60.0], [30.0, 35.0]) for m in TWO for s in (0, 1)]
    return framed.results(framed.summary(TWO), history=pd.concat(rows), ablations=differences())


@pytest.mark.slow
def test_the_same_results_give_the_same_bytes_and_no_file_has_a_date(tmp_path):
    written = draw_figures(results(), Published(), tmp_path / "one")
    names = {f"{n}.{f}" for n in ("frontier", "curves", "replay", "ablations") for f in FORMATS}
    assert {path.name for path in written} == names
    again = draw_figures(results(), Published(), tmp_path / "other")
    assert [path.read_bytes() for path in written] == [path.read_bytes() for path in again]
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    for path in written:
        assert path.read_bytes().startswith(starts[path.suffix])
        assert b"dc:date" not in path.read_bytes()
        assert b"CreationDate" not in path.read_bytes()


FORMATS = ("svg", "pdf", "png")


@pytest.mark.slow
def test_nothing_is_written_where_a_figure_cannot_be_drawn(tmp_path, monkeypatch):
    (tmp_path / "frontier.png").write_bytes(b"older")

    def broken(context):
        raise BenchError("curves.csv: damaged")

    monkeypatch.setattr("bench.analysis.plots.diagnostics.collect", broken)
    with pytest.raises(BenchError, match="damaged"):
        draw_figures(results(), Published(), tmp_path)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("frontier.png", b"older")]


def test_an_experiment_without_an_attack_is_named():
    frame = framed.summary(TWO)
    with pytest.raises(BenchError, match=r"summary\.csv: no attack .*evaluation\.autoattack"):
        framed.context(frame[frame["attack"] == "clean"]).attack  # noqa: B018


def test_the_environment_s_backend_is_of_no_effect():
    environment = {**os.environ, "MPLBACKEND": "module://not.installed"}
    code = "import bench.analysis.plots.draw, matplotlib; print(matplotlib.get_backend())"
    where = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=where, capture_output=True, text=True
    )
    assert ran.stdout.strip().lower() == "agg", ran.stderr


def test_the_shown_checkpoint_is_found_among_categories():
    frame = pd.DataFrame({"method": ["a", "a", "b"], "checkpoint": ["best", "last", "last"]})
    shown = shown_checkpoint(frame.astype("category"))
    assert list(shown["checkpoint"]) == ["best", "last"]
