"""What the figures show, read from CSV files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.analysis.figures.points import (
    Mean,
    Other,
    Point,
    Row,
    front,
    means,
    read_breakage,
    read_summary,
    strays,
    strongest,
)
from bench.analysis.statistics.front import distance
from bench.runtime.errors import BenchError

HEADER = (
    "experiment,dataset,model,method,seed,checkpoint,selected_on,attack,eps,n,correct,accuracy,"
    "reported"
)
ROW = Row(
    "cifar10", "resnet18", "trades", 0, "best", "validation", "autoattack", 8 / 255, 100, 48.0
)


def mean(method: str, clean: float, robust: float) -> Mean:
    return Mean(method, clean, robust, (Point(method, 0, clean, robust),))


def summary(folder: Path, *rows: str) -> Path:
    path = folder / "summary.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_row_of_the_summary(tmp_path: Path) -> None:
    line = "paper,cifar10,resnet18,trades,2,best,validation,autoattack,8/255,10000,4837,48.37,"
    (row,) = read_summary(summary(tmp_path, line))
    assert row == replace(ROW, seed=2, n=10000, accuracy=48.37)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no rows"),
        (["paper,cifar10,resnet18,trades,0,best,validation,clean,0,100,80,high,"], "'high'"),
        (["paper,cifar10,resnet18,trades,0,best,validation,clean,8/0,100,80,80.00,"], "'8/0'"),
    ],
)
def test_a_summary_that_cannot_be_drawn(tmp_path: Path, lines: list[str], said: str) -> None:
    path = summary(tmp_path, *lines)
    with pytest.raises(BenchError, match=said) as raised:
        read_summary(path)
    assert str(path) in str(raised.value)


def test_a_summary_without_a_column(tmp_path: Path) -> None:
    path = tmp_path / "summary.csv"
    path.write_text(HEADER.replace(",accuracy", "", 1) + "\n", encoding="utf-8")
    with pytest.raises(BenchError, match="'accuracy' is missing"):
        read_summary(path)


def test_a_missing_summary_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"summary\.csv is missing; make it with"):
        read_summary(tmp_path / "summary.csv")


def test_the_strongest_attack_on_best_stands_for_robustness() -> None:
    rows = [
        replace(ROW, attack="fgsm", accuracy=60.0),
        replace(ROW, attack="pgd50", accuracy=40.0),
        replace(ROW, attack="pgd9", accuracy=1.0, checkpoint="last"),
    ]
    assert strongest(rows) == "pgd50"


def test_no_attack_at_all() -> None:
    with pytest.raises(BenchError, match="no attack"):
        strongest([replace(ROW, attack="clean"), replace(ROW, checkpoint="last")])


def test_a_mean_takes_the_best_checkpoints_of_the_seeds_judged_twice() -> None:
    rows = [
        replace(ROW, seed=0, attack="clean", accuracy=80.0),
        replace(ROW, seed=0, accuracy=40.0),
        replace(ROW, seed=1, attack="clean", accuracy=84.0),
        replace(ROW, seed=1, accuracy=50.0),
        replace(ROW, seed=1, accuracy=10.0, checkpoint="last"),
        replace(ROW, seed=2, attack="clean", accuracy=10.0),
        replace(ROW, method="mart", attack="clean"),
    ]
    (trades,) = means(rows, "autoattack")
    assert (trades.method, trades.clean, trades.robust) == ("trades", 82.0, 45.0)
    assert [seed.seed for seed in trades.seeds] == [0, 1]


def test_the_front_runs_from_robust_to_clean_through_what_no_mixture_reaches() -> None:
    points = [mean("a", 80, 50), mean("b", 85, 45), mean("c", 82, 47), mean("d", 90, 0)]
    assert [point.method for point in front(points)] == ["a", "b", "d"]


def test_a_method_below_the_line_between_two_others_is_not_on_the_front() -> None:
    points = [mean("a", 80, 50), mean("b", 85, 30), mean("d", 90, 20)]
    assert [point.method for point in front(points)] == ["a", "d"]


def test_a_point_beaten_on_one_axis_and_equal_on_the_other_is_not_on_the_front() -> None:
    points = [mean("a", 80, 50), mean("b", 80, 49), mean("c", 79, 50)]
    assert [point.method for point in front(points)] == ["a"]


def test_the_front_is_the_one_that_claims_are_judged_against() -> None:
    generator = np.random.default_rng(5)
    points = [mean(str(k), *of) for k, of in enumerate(generator.uniform(0, 100, (12, 2)))]
    every = np.array([[one.clean, one.robust] for one in points])
    corners = np.array([[one.clean, one.robust] for one in front(points)])
    assert distance(every, every) == pytest.approx(distance(every, corners))
    for place in range(len(corners)):
        others = np.delete(corners, place, axis=0)
        assert distance(corners[place], others) < 0


def test_a_standard_network_is_far_from_the_robust_ones() -> None:
    robust = [mean("a", 82, 48), mean("b", 84, 47), mean("c", 80, 49)]
    assert strays([*robust, mean("standard", 95, 0)]) == [mean("standard", 95, 0)]
    assert strays(robust) == []


def test_a_network_that_learned_nothing_is_far_on_both_axes_and_named_once() -> None:
    robust = [mean("a", 82, 48), mean("b", 84, 47), mean("c", 80, 49)]
    assert strays([*robust, mean("failed", 10, 10)]) == [mean("failed", 10, 10)]


def test_of_two_points_none_is_far_from_the_rest() -> None:
    assert strays([mean("a", 82, 48), mean("standard", 95, 0)]) == []


def test_points_that_spread_evenly_are_all_shown() -> None:
    assert strays([Other("", 80, 10.0 * k, "plain") for k in range(8)]) == []


def test_shares_are_averaged_over_seeds(tmp_path: Path) -> None:
    for seed, verdicts in enumerate((["", "", "clean", "square"], ["", "clean", "clean", ""])):
        folder = tmp_path / "models" / "trades" / f"seed{seed}" / "verdicts" / "best"
        folder.mkdir(parents=True)
        lines = "\n".join(f"{i},0,1,0,{name}" for i, name in enumerate(verdicts))
        (folder / "autoattack.csv").write_text(f"index,label,clean,robust,broken_by\n{lines}\n")
    shares = read_breakage(tmp_path, [("trades", 0), ("trades", 1)], "autoattack")
    assert shares == {"trades": {"": 50.0, "clean": 37.5, "square": 12.5}}


def test_missing_verdicts_name_the_file_and_the_run(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"autoattack\.csv is missing; evaluate mart with seed 3"):
        read_breakage(tmp_path, [("mart", 3)], "autoattack")
