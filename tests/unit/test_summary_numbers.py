"""Every number of a row of summary.csv is that of its own checkpoint, attack and images."""

from __future__ import annotations

import csv
import json

import pandas as pd
import pytest
from factory import edit_json
from framed import results, summary
from summed import reported_file, rows_of, table, written

from bench.__main__ import main
from bench.analysis.summary import costs_table, summary_table
from bench.analysis.tables import comparison
from bench.results.diagnosed import Diagnosis
from bench.results.evaluated import read_references, read_runs
from bench.results.paths import Paths
from bench.results.published import read_reported
from bench.results.wilson import wilson


def robust(*standing, images):
    return {index: int(index in standing) for index in images}


def compared(folder, *reported):
    """Return the rows of comparison.csv as text."""
    written(folder, *reported)
    assert main(["tables", "--folder", str(folder)]) == 0
    with (folder / "tables" / "comparison.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_weights_are_those_of_the_rows_own_checkpoint(results_factory):
    run = results_factory.run(
        correct={name: {"clean": 16, "pgd20": 12, "autoattack": 9} for name in ("best", "last")}
    )
    kept = json.loads((run / "train.json").read_text())["checkpoints"]
    rows = rows_of(results_factory.folder)
    assert len(rows) == 8
    assert kept["best"]["weights_sha256"] != kept["last"]["weights_sha256"]
    for (checkpoint, _), row in rows.items():
        assert row.weights_sha256 == kept[checkpoint]["weights_sha256"]


def test_accuracy_and_interval_are_exact_and_of_the_images_evaluated(results_factory):
    results_factory.test_images = 30
    results_factory.run(robust={("best", "pgd20"): robust(0, images=range(3))}, correct={})
    row = rows_of(results_factory.folder)["best", "pgd20"]
    assert row.accuracy == 100 / 3
    assert (row.ci_low, row.ci_high) == wilson(1, 3)


def test_a_difference_is_from_the_exact_accuracy(results_factory, tmp_path):
    results_factory.images = results_factory.test_images = 32
    results_factory.run("trades", correct={"best": {"pgd20": 1}})
    line = "digits,resnet18,trades,trades,,pgd20,3,8/255,,not stated,A table,paper"
    known = read_reported(reported_file(tmp_path, line))
    [row] = table(results_factory.folder, known).itertuples()
    assert (row.accuracy, row.difference) == (3.125, 0.125)


def test_tables_take_the_mean_of_exact_accuracies(results_factory, tmp_path):
    results_factory.images = results_factory.test_images = 32
    # 3.125 and 15.625 %: rounded first, their mean would be 9.37.
    for seed, count in enumerate((1, 5)):
        results_factory.run("trades", seed, correct={"best": {"clean": 32, "pgd20": count}})
    line = "digits,resnet18,trades,trades,,pgd20,9.4,8/255,,not stated,A table,paper"
    [line] = compared(results_factory.folder, reported_file(tmp_path, line))
    assert (line["pgd20_mean"], line["pgd20_std"]) == ("9.38", "8.84")
    # From the rounded mean it would be -0.02.
    assert (line["pgd20_reported"], line["pgd20_difference"]) == ("9.40", "-0.03")


def test_a_mean_is_compared_only_where_all_of_its_seeds_are():
    frame = summary({"trades": [(80, 50), (80, 50)]}, attack="pgd20")
    attacked = frame["attack"] == "pgd20"
    frame.loc[attacked, ["reported", "reported_source"]] = 49.0, "A table"
    [line] = comparison(results(frame)).to_dict("records")
    assert (line["pgd20_reported"], line["pgd20_difference"]) == (49, 1)
    for seed in (0, 1):
        other = frame.copy()
        other.loc[attacked & (frame["seed"] == seed), "reported"] = None
        other.loc[attacked & (frame["seed"] == seed), "reported_source"] = ""
        [line] = comparison(results(other)).to_dict("records")
        assert line["pgd20_mean"] == 50
        assert all(pd.isna(line[f"pgd20_{what}"]) for what in ("reported", "difference", "source"))


def test_costs_have_the_device_of_their_own_record(results_factory):
    run = results_factory.run(train={"device": "NVIDIA H200"})
    edit_json(run / "evaluation.json", device="cpu")
    reference = results_factory.reference("Rice2020Overfitting")
    edit_json(reference / "evaluation.json", device="NVIDIA A100")
    paths = Paths(results_factory.folder)
    runs = read_runs(paths)
    costs = costs_table(runs, read_references(paths, None, beside=runs[0].training))
    found = {(cost.method, cost.stage): cost.device for cost in costs.itertuples()}
    assert found == {
        ("trades", "train"): "NVIDIA H200",
        ("trades", "evaluate"): "cpu",
        ("Rice2020Overfitting", "evaluate"): "NVIDIA A100",
    }


@pytest.mark.parametrize("first", ["autoattack", "pgd20"])
def test_the_worst_case_is_of_common_images_whichever_attack_saw_more(results_factory, first):
    # The attacks share images 8 to 11; of these one leaves 8 and 9, the other 9 and 10.
    other = {"autoattack": "pgd20", "pgd20": "autoattack"}[first]
    stands = {
        ("best", first): robust(*range(10), images=range(12)),
        ("best", other): robust(9, 10, 12, 13, images=range(8, 16)),
    }
    results_factory.run(correct={"best": {"clean": 20}}, robust=stands)
    row = rows_of(results_factory.folder)["best", "worst_case"]
    assert (row.correct, row.n, row.flags) == (1, 4, "subset")


def test_the_worst_case_is_over_all_attacks(results_factory):
    attacks = {"autoattack": (0, 1, 2), "pgd20": (0, 1, 2), "pgd50": (1, 2), "pgd9": (2, 3)}
    results_factory.run(
        correct={"best": {"clean": 20}},
        robust={
            ("best", name): robust(*standing, images=range(20))
            for name, standing in attacks.items()
        },
    )
    assert rows_of(results_factory.folder)["best", "worst_case"].correct == 1
    # The last of them saw the first three images alone.
    last = {("best", "pgd9"): robust(1, 2, images=range(3))}
    few = {("best", name): robust(*attacks[name], images=range(20)) for name in attacks} | last
    results_factory.run(correct={"best": {"clean": 20}}, robust=few)
    row = rows_of(results_factory.folder)["best", "worst_case"]
    assert (row.correct, row.n) == (2, 3)


def test_flags_of_any_attack_reach_the_worst_case(results_factory):
    run = results_factory.run()
    edit_json(run / "evaluation.json", checkpoints__best__attacks__pgd20__flags=["batch_halved"])
    rows = rows_of(results_factory.folder)
    assert rows["best", "worst_case"].flags == "batch_halved"
    assert rows["best", "autoattack"].flags == ""


def test_autoattack_is_not_held_against_an_attack_of_another_radius(results_factory):
    run = results_factory.run(correct={"best": {"clean": 20, "pgd20": 5, "autoattack": 11}})
    assert rows_of(results_factory.folder)["best", "autoattack"].flags == "autoattack_above_pgd"
    edit_json(run / "evaluation.json", checkpoints__best__attacks__pgd20__eps=16 / 255)
    assert rows_of(results_factory.folder)["best", "autoattack"].flags == ""


def test_autoattack_is_held_against_pgd_where_pgd_saw_fewer_images(results_factory):
    stands = {
        ("best", "autoattack"): robust(*range(10, 20), images=range(20)),
        ("best", "pgd20"): robust(*range(5), images=range(10)),
    }
    results_factory.run(correct={"best": {"clean": 20}}, robust=stands)
    assert rows_of(results_factory.folder)["best", "autoattack"].flags == ""


def test_failed_diagnostics_are_those_of_the_label_seed_and_checkpoint(results_factory):
    for seed in (0, 1):
        results_factory.run("trades_beta3", seed)
    failed = {("trades_beta3", 1, "last"): ["fgsm"], ("trades", 0, "best"): ["square"]}
    runs = read_runs(Paths(results_factory.folder))
    rows = summary_table(runs, diagnosis=Diagnosis({}, failed)).itertuples()
    flagged = {(row.seed, row.checkpoint, row.attack): row.flags for row in rows if row.flags}
    assert flagged == {(1, "last", "pgd20"): "diagnostics_fgsm"}


@pytest.mark.parametrize(
    ("rule", "checkpoint"),
    [("last", "last"), ("last epoch", "last"), ("best of the last ten", "best"), ("", "best")],
)
def test_the_first_word_of_a_rule_tells_its_checkpoint(tmp_path, rule, checkpoint):
    line = f"d,m,trades,trades,,clean,80,8/255,,{rule},A table,paper"
    [row] = read_reported(reported_file(tmp_path, line))
    assert [name for name in ("best", "last") if row.allows(name)] == [checkpoint]


def test_a_table_has_as_many_cells_in_every_row_and_names_chance_level(results_factory):
    results_factory.run("trades", correct={"best": {"clean": 2, "pgd20": 2}})
    results_factory.run("mart")
    assert all(
        None not in row and None not in row.values() for row in compared(results_factory.folder)
    )
    notes = (results_factory.folder / "tables" / "comparison.md").read_text()
    assert "chance_level (trades, seed 0, best, clean and pgd20" in notes
    assert "chance_level (mart" not in notes
