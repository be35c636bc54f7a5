from __future__ import annotations

import json

import pandas as pd
import pytest
from factory import EPS, edit_json
from summed import rows_of, table, written

from bench.__main__ import main
from bench.config.method_options import declared_options
from bench.results.columns import SUMMARY
from bench.results.options import options_text
from bench.results.tables import Column
from bench.results.wilson import wilson

COLUMNS = (
    "experiment,dataset,model,method,seed,checkpoint,selected_on,attack,attack_source,attack_seed,"
    "eps,n,correct,accuracy,ci_low,ci_high,reported,reported_source,difference,precision,engine,"
    "tf32,flags,code_digest,weights_sha256,base_method,options,selected_by,warnings,attack_engine,"
    "origin,attack_seeds,attack_spread"
)


def robust(*standing, images=20):
    return {index: int(index in standing) for index in range(images)}


def test_a_metric_is_one_column_of_the_table(results_factory, monkeypatch):
    def of(result):
        return 100 * result.examples.groupby("label")["robust"].mean().min()

    worst = Column("number", "lowest accuracy of a class, percent", of=of)
    monkeypatch.setitem(SUMMARY.columns, "worst_class", worst)
    # Labels are 0 to 9 in turn: all images of class 3 fall under AutoAttack and none unattacked.
    fallen = {index: int(index % 10 != 3) for index in range(20)}
    results_factory.run("trades", 0, robust={("best", "autoattack"): fallen})
    rows = {(row["checkpoint"], row["attack"]): row for row in written(results_factory.folder)}
    assert rows["best", "autoattack"]["worst_class"] == "0.00"
    assert rows["best", "worst_case"]["worst_class"] == "0.00"
    assert rows["last", "clean"]["worst_class"] != ""


def test_the_file_has_the_agreed_columns_and_numbers(results_factory):
    run = results_factory.run("trades", 0)
    rows = {(row["checkpoint"], row["attack"]): row for row in written(results_factory.folder)}
    assert (results_factory.folder / "summary.csv").read_text().splitlines()[0] == COLUMNS
    row = rows["best", "autoattack"]
    weights = json.loads((run / "train.json").read_text())["checkpoints"]["best"]["weights_sha256"]
    evaluation = json.loads((run / "evaluation.json").read_text())
    low, high = wilson(10, 20)
    assert row == {
        "experiment": "digits",
        "dataset": "digits",
        "model": "resnet18",
        "method": "trades",
        "seed": "0",
        "checkpoint": "best",
        "selected_on": "validation",
        "attack": "autoattack",
        "attack_source": "pyautoattack 0.2.0",
        "attack_seed": "0",
        "eps": "8/255",
        "n": "20",
        "correct": "10",
        "accuracy": "50.00",
        "ci_low": f"{low:.2f}",
        "ci_high": f"{high:.2f}",
        "reported": "",
        "reported_source": "",
        "difference": "",
        "precision": "float32",
        "engine": "folded",
        "tf32": "false",
        "flags": "",
        "code_digest": evaluation["code_digest"],
        "weights_sha256": weights,
        "base_method": "trades",
        "options": "beta=6",
        "selected_by": "PGD accuracy",
        "warnings": "",
        "attack_engine": "eager",
        "origin": "trained",
        "attack_seeds": "",
        "attack_spread": "",
    }
    assert rows["best", "clean"]["eps"] == "0"
    assert rows["best", "clean"]["attack_seed"] == ""


def test_rows_are_sorted_by_method_seed_checkpoint_and_attack(results_factory):
    results_factory.all(methods=("trades", "mart"), seeds=(10, 9))
    rows = list(table(results_factory.folder).itertuples())
    assert [(row.method, row.seed) for row in rows[::6]] == [
        *(("mart", 9), ("mart", 10), ("trades", 9), ("trades", 10))
    ]
    assert [(row.checkpoint, row.attack) for row in rows[:6]] == [
        *(("best", "clean"), ("best", "pgd20"), ("best", "autoattack"), ("best", "worst_case")),
        *(("last", "clean"), ("last", "pgd20")),
    ]


def test_the_same_records_give_the_same_bytes(results_factory):
    folder = results_factory.all()
    written(folder)
    before = (folder / "summary.csv").read_bytes()
    for path in folder.glob("models/*/*/*.json"):
        path.write_text(path.read_text().replace('"seconds": 1', '"seconds": 9'))
    written(folder)
    assert (folder / "summary.csv").read_bytes() == before
    runs = [("trades", 0), ("memloss_v1", 1), ("trades", 1), ("memloss_v1", 0)]
    pd.testing.assert_frame_equal(table(folder, runs=runs), table(folder, runs=runs[::-1]))


def test_a_refused_record_leaves_no_summary(results_factory, capsys):
    (results_factory.run() / "examples" / "last" / "clean.csv").unlink()
    assert main(["summarize", "--folder", str(results_factory.folder)]) == 1
    assert "last/clean.csv" in capsys.readouterr().err
    assert not (results_factory.folder / "summary.csv").exists()


def test_the_worst_case_is_counted_image_by_image(results_factory):
    results_factory.run(
        correct={"best": {"clean": 20}},
        robust={("best", "pgd20"): robust(0, 1, 2, 3), ("best", "autoattack"): robust(2, 3, 4)},
    )
    row = rows_of(results_factory.folder)["best", "worst_case"]
    assert (row.correct, row.n, row.accuracy) == (2, 20, 10.0)
    assert row.attack_source == "all attacks"
    assert pd.isna(row.attack_seed)
    assert row.eps == pytest.approx(8 / 255)
    assert pd.isna(row.reported)


def test_one_attack_beside_clean_makes_no_worst_case(results_factory):
    results_factory.run(correct={"best": {"clean": 20, "pgd20": 4}})
    assert ("best", "worst_case") not in rows_of(results_factory.folder)


def test_the_worst_case_is_over_the_images_that_all_attacks_share(results_factory):
    results_factory.run(
        correct={"best": {"clean": 20, "pgd20": 12}},
        robust={("best", "autoattack"): robust(0, 1, images=10)},
    )
    row = rows_of(results_factory.folder)["best", "worst_case"]
    assert (row.correct, row.n, row.flags) == (2, 10, "subset")


def test_autoattack_is_held_against_every_attack_on_what_both_evaluated(results_factory):
    results_factory.run(correct={"best": {"clean": 20, "pgd20": 12, "pgd50": 9, "autoattack": 10}})
    assert rows_of(results_factory.folder)["best", "autoattack"].flags == "autoattack_above_pgd"


def test_warnings_of_autoattack_are_flagged_and_kept(results_factory):
    results_factory.run(attack={"details": {"warnings": ["zero\n gradients", "other"]}})
    row = rows_of(results_factory.folder)["best", "autoattack"]
    assert (row.flags, row.warnings) == ("autoattack_warned", "zero gradients | other")


def test_the_spread_over_the_seeds_of_an_attack_is_told(results_factory):
    run = results_factory.run()
    counts = {"0": 12, "1": 9, "2": 11}
    key = "checkpoints__best__attacks__pgd20__details__correct_by_seed"
    edit_json(run / "evaluation.json", **{key: counts})
    row = rows_of(results_factory.folder)["best", "pgd20"]
    assert (row.correct, row.attack_seeds, row.attack_spread) == (12, 3, 15.0)


def test_attacks_of_different_radius_make_no_worst_case(results_factory):
    run = results_factory.run()
    edit_json(run / "evaluation.json", checkpoints__best__attacks__pgd20__eps=4 / 255)
    assert ("best", "worst_case") not in rows_of(results_factory.folder)


def test_autoattack_above_pgd_is_flagged(results_factory):
    results_factory.run(correct={"best": {"clean": 20, "pgd20": 10, "autoattack": 11}})
    rows = rows_of(results_factory.folder)
    assert rows["best", "autoattack"].flags == "autoattack_above_pgd"
    assert rows["best", "pgd20"].flags == ""


def test_autoattack_is_held_against_pgd_on_the_images_both_evaluated(results_factory):
    # AutoAttack saw the first ten only: 80 % there, against PGD's 40 % of all and 80 % of those.
    results_factory.run(
        correct={"best": {"clean": 20, "pgd20": 8}},
        robust={("best", "autoattack"): robust(*range(8), images=10)},
    )
    row = rows_of(results_factory.folder)["best", "autoattack"]
    assert row.accuracy == 80.0
    assert row.flags == "subset"


def test_a_part_of_the_test_set_is_flagged(results_factory):
    results_factory.test_images = 21
    results_factory.run()
    assert {row.flags for row in rows_of(results_factory.folder).values()} == {"subset"}


@pytest.mark.parametrize(
    ("source", "flags"),
    [
        ({"train": 100, "test": 20}, ""),
        ({"train": 100, "test": 21}, "subset"),
        ({"train": 101, "test": 20}, "train_subset"),
        ({"train": 101, "test": 21}, "subset;train_subset"),
    ],
)
def test_data_that_are_a_part_of_the_source_are_flagged(results_factory, source, flags):
    results_factory.source_sizes = source
    results_factory.run()
    assert {row.flags for row in rows_of(results_factory.folder).values()} == {flags}


# Wilson's lower bound of 4, 5, 10 and 11 of 20 is 8.1, 11.2, 29.9 and 34.2 %.
@pytest.mark.parametrize(
    ("clean", "classes", "flagged"),
    [(4, 10, True), (5, 10, False), (5, 5, True), (10, 4, False), (11, 3, True), (0, 10, True)],
)
def test_a_network_at_chance_level_is_flagged_in_all_its_rows(
    results_factory, clean, classes, flagged
):
    results_factory.classes = [str(number) for number in range(classes)]
    guessing = {"clean": clean, "pgd20": min(clean, 2), "autoattack": min(clean, 2)}
    results_factory.run(correct={"best": guessing, "last": {"clean": 20, "pgd20": 2}})
    rows = rows_of(results_factory.folder)
    found = {place for place, row in rows.items() if "chance_level" in row.flags}
    attacks = ("clean", "pgd20", "autoattack", "worst_case")
    assert found == ({("best", attack) for attack in attacks} if flagged else set())


def test_chance_level_is_told_by_most_images_and_clean_results(results_factory):
    # PGD broke all that it saw, and AutoAttack saw too few images to tell.
    results_factory.run(
        correct={"best": {"clean": 16, "pgd20": 0}},
        robust={("best", "autoattack"): robust(images=2)},
    )
    assert all("chance_level" not in row.flags for row in rows_of(results_factory.folder).values())


def test_selection_on_the_test_set_marks_every_row(results_factory):
    results_factory.run(train={"selected_on": "test"})
    rows = rows_of(results_factory.folder).values()
    assert {row.flags for row in rows} == {"selected_on_test"}
    assert {row.selected_on for row in rows} == {"test"}


def test_flags_of_an_attack_reach_its_row_and_the_worst_case(results_factory):
    results_factory.run(attack={"flags": ["zero_gradients"]})
    rows = rows_of(results_factory.folder)
    assert rows["best", "pgd20"].flags == "zero_gradients"
    assert rows["best", "worst_case"].flags == "zero_gradients"


def test_costs_name_stage_checkpoint_and_attack(results_factory):
    measured = {"peak_memory_mb": 512.0, "device": "NVIDIA H200"}
    results_factory.run("mart", 3, train=measured | {"passes": {"forward": 12, "backward": 12}})
    written(results_factory.folder)
    lines = (results_factory.folder / "costs.csv").read_text().splitlines()
    assert lines == [
        "experiment,method,seed,stage,checkpoint,attack,seconds,peak_memory_mb,device,"
        "images_per_second,forward_passes,backward_passes",
        # 90 images in 3 epochs, and 20 evaluated.
        "digits,mart,3,train,,,12.50,512.00,NVIDIA H200,21.60,12,12",
        *(
            f"digits,mart,3,evaluate,{place},1.25,,NVIDIA H200,16.00,,"
            for place in ("best,clean", "best,pgd20", "best,autoattack", "last,clean", "last,pgd20")
        ),
    ]


def test_a_share_of_eps_is_told_as_claims_and_sources_leave_it(results_factory):
    left = declared_options("sat", {"variant": "r3", "tau": 0.5}, where="sat")
    filled = {**left, "noise": EPS / 4, "eps_lo": EPS / 8, "eps_hi": EPS}
    run = results_factory.run("trades")
    edit_json(run / "train.json", spec__method="sat", spec__options=filled)
    told = set(table(results_factory.folder)["options"])
    assert told == {options_text("sat", {**left, "eps_lo": EPS / 8})}
