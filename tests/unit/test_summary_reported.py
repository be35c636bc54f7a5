from __future__ import annotations

import json
import re

import pytest
from factory import edit_json
from summed import CONFIG, reported_file, rows_of, table, written

from bench.results.published import read_cards, read_reported
from bench.runtime.errors import BenchError


@pytest.fixture
def reported(tmp_path):
    def write(*lines):
        return read_reported(reported_file(tmp_path, *lines))

    return write


@pytest.fixture
def cifar(results_factory):
    results_factory.dataset = "cifar10"
    return results_factory


def values(factory, known):
    rows = rows_of(factory.folder, known)
    return {place: row.reported for place, row in rows.items() if row.reported == row.reported}


def test_a_difference_is_ours_minus_reported(cifar, tmp_path):
    cifar.run("trades")
    cell = "cifar10,resnet18,trades,trades,,autoattack"
    path = reported_file(tmp_path, f"{cell},49.25,8/255,,not stated,A paper table 2,paper")
    row = rows_of(cifar.folder, read_reported(path))["best", "autoattack"]
    assert (row.reported, row.difference) == (49.25, pytest.approx(0.75))
    assert row.reported_source.startswith("A paper table 2")
    assert "not stated" in row.reported_source
    [line] = [line for line in written(cifar.folder, path) if line["attack"] == "autoattack"]
    assert (line["reported"], line["difference"]) == ("49.25", "0.75")
    assert line["reported_source"] == row.reported_source


def test_clean_accuracy_is_compared_by_the_radius_of_training(cifar, reported):
    cifar.run("trades")
    known = reported(
        "cifar10,resnet18,trades,trades,,clean,80,0.031,,not stated,smaller,paper",
        "cifar10,resnet18,trades,trades,,clean,70,8/255,,not stated,equal,secondary",
    )
    assert values(cifar, known) == {("best", "clean"): 70.0}


@pytest.mark.parametrize(
    "line",
    [
        "cifar10-jpeg,resnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper",
        "cifar10,preactresnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper",
        "cifar10,resnet18,trades_beta1,trades,beta=1,pgd20,50,8/255,,not stated,s,paper",
        "cifar10,resnet18,trades,trades,,pgd20,50,0.031,,not stated,s,paper",
        "cifar10,resnet18,trades,trades,,pgd20,50,,,not stated,s,paper",
    ],
)
def test_only_the_same_data_model_method_and_radius_are_compared(cifar, reported, line):
    cifar.run("trades")
    assert values(cifar, reported(line)) == {}


@pytest.mark.parametrize("dataset", ["cifar10-jpeg", "digits"])
def test_other_data_are_not_compared_with_cifar10(results_factory, reported, dataset):
    results_factory.dataset = dataset
    results_factory.run("trades")
    known = reported("cifar10,resnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper")
    assert values(results_factory, known) == {}


def test_an_attack_at_another_radius_is_not_compared(cifar, reported):
    cifar.run("trades", attack={"eps": 4 / 255})
    known = reported("cifar10,resnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper")
    assert values(cifar, known) == {}


@pytest.mark.parametrize("change", [{"steps": 5}, {"restarts": 3}, {"loss": "margin"}])
def test_an_attack_that_is_called_pgd20_and_is_another_is_not_compared(cifar, reported, change):
    run = cifar.run("trades", correct={"best": {"pgd20": 10}})
    known = reported("cifar10,resnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper")
    record = json.loads((run / "evaluation.json").read_text())
    record["checkpoints"]["best"]["attacks"]["pgd20"]["details"] |= change
    (run / "evaluation.json").write_text(json.dumps(record))
    assert values(cifar, known) == {}


def test_a_radius_that_a_quoted_table_does_not_state_is_from_a_place_that_is_named():
    for row in read_reported(CONFIG / "reported.csv"):
        if "states neither eps" in row.source and row.eps is not None:
            assert "CURE's test script attacks with 8/255" in row.source
            assert row.eps == pytest.approx(8 / 255)


PLACE = r"commit [0-9a-f]{7}|Tables? \d|ablation, |card|table unknown: .*was not read"


@pytest.mark.parametrize("read", [read_reported, read_cards])
def test_every_source_names_a_place_that_can_be_opened_or_says_that_it_is_unknown(read):
    path = CONFIG / {read_reported: "reported.csv", read_cards: "robustbench.csv"}[read]
    assert [row.source for row in read(path) if not re.search(PLACE, row.source)] == []


def test_numbers_that_their_author_withdrew_are_gone():
    found = [r for r in read_reported(CONFIG / "reported.csv") if "PyTorch-Robust" in r.source]
    withdrawn = {81.11, 47.07, 81.72, 47.76, 54.95, 21.70}
    assert not withdrawn & {row.value for row in found}
    assert all("commit 1ba0a96" in row.source for row in found)


@pytest.mark.parametrize("source", [{"test": 21}, {"train": 101}])
def test_a_part_of_the_source_is_not_compared(cifar, reported, source):
    known = reported("cifar10,resnet18,trades,trades,,pgd20,50,8/255,,not stated,s,paper")
    cifar.run("trades", correct={"best": {"pgd20": 10}})
    assert values(cifar, known) == {("best", "pgd20"): 50.0}
    cifar.source_sizes = source
    cifar.run("trades", correct={"best": {"pgd20": 10}})
    assert values(cifar, known) == {}


@pytest.mark.parametrize(("n", "found"), [("", 50.0), ("20", 50.0), ("10", None)])
def test_a_number_of_another_count_of_images_is_not_compared(cifar, reported, n, found):
    cifar.run("trades", correct={"best": {"pgd20": 10}})
    known = reported(f"cifar10,resnet18,trades,trades,,pgd20,50,8/255,{n},not stated,s,paper")
    assert values(cifar, known).get(("best", "pgd20")) == found


def test_the_authors_come_before_others_and_then_the_order_of_the_file(cifar, reported):
    cifar.run("trades", correct={"best": {"pgd20": 10}})
    cell = "cifar10,resnet18,trades,trades,,pgd20"
    known = reported(
        f"{cell},51,8/255,,not stated,third,secondary",
        f"{cell},52,8/255,,not stated,first,paper",
        f"{cell},53,8/255,,not stated,second,paper",
    )
    assert values(cifar, known) == {("best", "pgd20"): 52.0}
    assert values(cifar, known[:1]) == {("best", "pgd20"): 51.0}


def test_a_number_stands_beside_the_checkpoint_that_its_source_names(cifar, reported):
    cifar.run("trades", correct={"best": {"pgd20": 10}, "last": {"pgd20": 9}})
    cell = "cifar10,resnet18,trades,trades,,pgd20"
    known = reported(f"{cell},51,8/255,20,last,a,paper", f"{cell},52,8/255,,best on test,b,paper")
    assert values(cifar, known) == {("last", "pgd20"): 51.0, ("best", "pgd20"): 52.0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cifar10,r,trades,,,pgd-20,50,8/255,,,s,paper", r"row 1\.metric: 'pgd-20'.*'pgd20'"),
        ("cifar10,r,trades,,,pgd20,0.5x,8/255,,,s,paper", "row 1.value: expected an accuracy"),
        ("cifar10,r,trades,,,pgd20,150,8/255,,,s,paper", "row 1.value: expected an accuracy"),
        ("cifar10,r,trades,,,pgd20,50,eight,,,s,paper", "row 1.eps: expected a distance"),
        ("cifar10,r,trades,,,pgd20,50,8,,,s,paper", r"row 1.eps: .*\(divide by 255\?\), got '8'"),
        ("cifar10,r,trades,,,pgd20,50,8/255,-1,,s,paper", "row 1.n: expected a whole number"),
        ("cifar10,r,trades,,beta=6,pgd20,50,8/255,,,s,paper", "row 1: options belong to a spec_m"),
        ("cifar10,r,trades,,,pgd20,50,8/255,,,s", "row 1 has not as many cells"),
        ('cifar10,r,trades,,,pgd20,"50,5",8/255,,,s,paper', r"row 1.value: "),
        ("cifar10,r,trades,,,pgd20,50,8/255,,,s,blog", "row 1.kind: 'blog'"),
    ],
)
def test_a_wrong_line_is_named(reported, line, message):
    with pytest.raises(BenchError, match=rf"reported\.csv: {message}"):
        reported(line)


def test_a_missing_file_or_column_is_named(tmp_path):
    path = tmp_path / "reported.csv"
    with pytest.raises(BenchError, match=r"reported\.csv is missing"):
        read_reported(path)
    path.write_text("dataset,model\n")
    with pytest.raises(BenchError, match=r"reported\.csv: the column 'method' is missing"):
        read_reported(path)


def test_our_own_file_answers_the_claim_about_memloss(cifar):
    known = read_reported(CONFIG / "reported.csv")
    claimed = {"memloss_v1": (84.52, 48.87), "memloss_v2": (83.54, 48.60)}
    claimed["memloss_v3"] = (82.19, 48.58)
    for method, (clean, autoattack) in claimed.items():
        cifar.run(method, correct={"best": {"clean": 16, "autoattack": 10}})
        rows = table(cifar.folder, known, runs=[(method, 0)])
        found = dict(zip(rows["attack"], rows["reported"], strict=True))
        assert found == {"clean": clean, "autoattack": autoattack}


def test_the_baselines_have_an_anchor_in_our_own_file(cifar):
    known = read_reported(CONFIG / "reported.csv")
    for method in ("pgd_at", "trades", "mart"):
        cifar.run(method)
    rows = table(cifar.folder, known).dropna(subset="reported")
    assert set(zip(rows["method"], rows["attack"], strict=True)) == {
        (method, attack)
        for method in ("pgd_at", "trades", "mart")
        for attack in ("clean", "pgd20", "autoattack")
    }


def test_one_source_gives_one_number_a_cell():
    known = read_reported(CONFIG / "reported.csv")
    keys = ("dataset", "model", "method", "metric", "checkpoint_rule", "source")
    cells = [tuple(getattr(row, key) for key in keys) for row in known]
    assert len(set(cells)) == len(cells)


def test_a_label_that_stands_for_other_options_gets_no_number(cifar):
    run = cifar.run("trades")
    edit_json(run / "train.json", spec__options={"beta": 1.0})
    assert values(cifar, read_reported(CONFIG / "reported.csv")) == {}


def test_options_that_a_source_leaves_open_are_at_their_defaults(cifar):
    run = cifar.run("memloss_v1")
    spec = {"variant": "v1", "beta": 3.0, "memory_beta": 2.0, "alignment": "clean_crop"}
    edit_json(run / "train.json", spec__options=spec)
    assert values(cifar, read_reported(CONFIG / "reported.csv")) == {}
