"""The figures of the diagnostics show what their CSV files hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from examinations import write_diagnostics, write_transfer
from factory import EPS, ResultsFactory

from bench.analysis.figures import caption, examined, strength, style, surfaces, transfer
from bench.analysis.figures.draw import draw
from bench.analysis.figures.points import read_summary
from bench.analysis.summary import summarize
from bench.runtime.errors import BenchError

REPORTED = Path(__file__).parents[2] / "config" / "reported.csv"
RUNS = [("trades", 0), ("trades", 1), ("memloss_v1", 0)]
NAMES = {"trades": "TRADES", "memloss_v1": "MemLoss V1"}


@pytest.fixture
def folder(results_factory: ResultsFactory) -> Path:
    folder = results_factory.all()
    for run in RUNS:
        write_diagnostics(results_factory, *run, failed=["eps_zero"] if run == RUNS[0] else [])
    write_transfer(results_factory, weak="trades")
    return folder


def test_curves_are_read_by_method_and_seed(folder):
    found = examined.read_strengths(folder, RUNS)
    assert {method: list(seeds) for method, seeds in found.items()} == {
        "trades": [0, 1],
        "memloss_v1": [0],
    }
    assert found["trades"][1].points["eps"][1] == pytest.approx((EPS / 2, 69.0))
    assert (found["trades"][0].failed, found["trades"][1].failed) == (("eps_zero",), ())
    assert found["trades"][0].n == 10


def test_pictures_are_of_the_first_seed_with_along_in_rows(folder):
    found = examined.read_planes(folder, RUNS)
    assert [len(planes) for planes in found.values()] == [2, 2]
    plane = found["trades"][0]
    assert plane.losses[0].tolist() == pytest.approx([0.4, 0.5, 0.6])
    assert plane.losses[:, 1].tolist() == [0.5, 1.0, 1.5]
    assert plane.right.all(axis=1).tolist() == [True, True, False]


def test_the_matrix_is_the_mean_over_seeds_that_were_tried(results_factory, folder):
    matrix = examined.read_matrix(folder, [0, 1], ["trades", "memloss_v1"])
    assert (matrix.seeds, matrix.n, matrix.weak) == ((0,), 10, {"trades"})
    assert matrix.accuracy["trades", "trades"] == 50.0
    assert matrix.accuracy["memloss_v1", "trades"] == 70.0
    write_transfer(results_factory, seed=1)
    assert examined.read_matrix(folder, [0, 1], ["trades", "memloss_v1"]).seeds == (0, 1)
    assert examined.read_matrix(folder, [2], ["trades"]) is None


def test_a_panel_shows_the_mean_the_seeds_and_what_failed(folder):
    found = examined.read_strengths(folder, RUNS)
    with style.styled():
        figure = strength.draw(found, eps=EPS, names=NAMES, caption=["Caption."])
    by_radius, by_steps = figure.axes[:2]
    assert by_radius.get_title(loc="left") == "TRADES"
    lines = [line.get_xydata().tolist() for line in by_radius.lines]
    # Mean of seeds 0 and 1, at radii in units of eps.
    assert [[0.0, 89.5], [0.5, 69.5], [1.0, 49.5], [2.0, 0.0]] in [
        [[round(x, 6), y] for x, y in line] for line in lines
    ]
    assert "eps_zero" in {text.get_text() for text in by_radius.texts}
    marks = [line.get_ydata() for line in by_steps.lines if line.get_marker() in ("v", "D")]
    assert [float(y[0]) for y in marks] == [47.5, 59.5]


def test_a_curve_that_goes_far_has_doublings_for_ticks(results_factory, folder):
    place = write_diagnostics(results_factory, "trades", 0)
    path = place / "curves.csv"
    path.write_text(path.read_text() + "eps,best,1.0,40.00,10,1.5\n")
    found = examined.read_strengths(folder, RUNS[:1])
    with style.styled():
        figure = strength.draw(found, eps=EPS, names=NAMES, caption=["Caption."])
        style.encoded(figure, "png")
    assert [round(tick) for tick in figure.axes[0].get_xticks()] == [0, 1, 2, 4, 8, 16]


def test_the_caption_says_that_chance_fails_no_check(folder):
    summarize(folder, expected=None, reported=REPORTED)
    said = " ".join(caption.strength(read_summary(folder / "summary.csv"), [0], 80))
    assert "beyond chance for 80 images (p < 0.001)" in said


def test_every_picture_has_the_same_colours(folder):
    found = examined.read_planes(folder, RUNS)
    with style.styled():
        figure = surfaces.draw(found, names=NAMES, caption=["Caption."])
    shown = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(shown) == 4
    assert len({image.get_clim() for image in shown}) == 1
    titles = {text.get_text() for text in figure.texts}
    assert titles >= {"TRADES", "MemLoss V1"}


def test_the_matrix_has_sources_in_rows_and_marks_what_failed(folder):
    matrix = examined.read_matrix(folder, [0], ["trades", "memloss_v1"])
    with style.styled():
        figure = transfer.draw(matrix, ["trades", "memloss_v1"], names=NAMES, caption=["Caption."])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["50.0", "70.0", "70.0", "50.0"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["TRADES ✗", "MemLoss V1"]
    assert len(axes.patches) == 2


def drawn(folder: Path, diagnosed: list[tuple[str, int]] | None, out: Path) -> set[str]:
    reported = out.with_suffix(".csv")
    reported.write_text(
        "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"
    )
    summarize(folder, expected=None, reported=reported, diagnosed=diagnosed)
    paths = draw(folder, reported=None, reference=None, out=out, diagnosed=diagnosed)
    assert all(path.stat().st_size > 1000 for path in paths)
    return {path.stem for path in paths}


def test_what_was_examined_is_drawn_and_the_same_files_give_the_same_bytes(folder, tmp_path):
    usual = {"frontier", "curves", "components", "remembered"}
    examined_too = usual | {"diagnostics", "surfaces", "transfer"}
    assert drawn(folder, None, tmp_path / "one") == examined_too
    assert drawn(folder, RUNS, tmp_path / "two") == examined_too
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert drawn(folder, [], tmp_path / "none") == usual


def test_where_only_last_was_examined_it_is_shown(folder):
    place = folder / "models" / "trades" / "seed0" / "diagnostics"
    for name in ("curves.csv", "surfaces.csv", "record.json"):
        path = place / name
        path.write_text(path.read_text().replace("best", "last"))
    found = examined.read_strengths(folder, RUNS[:1])["trades"][0]
    assert found.failed == ("eps_zero",)
    assert len(examined.read_planes(folder, RUNS[:1])["trades"]) == 2


def test_a_lost_table_is_named(folder):
    path = folder / "models" / "trades" / "seed0" / "diagnostics" / "curves.csv"
    path.unlink()
    with pytest.raises(BenchError, match=r"curves\.csv is missing; run `python -m bench diagnose`"):
        examined.read_strengths(folder, RUNS)
