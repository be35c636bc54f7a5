"""Claims that are not run: what is missing is named, and no verdict is made from the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claimed import AS_CLAIMED, Verdicts, made, write_history

from bench.results.paths import Paths
from bench.runtime.errors import BenchError


def test_a_method_is_named_by_what_is_trained(measured_folder):
    present = {name: of for name, of in AS_CLAIMED.items() if name != "placebo"}
    one = Verdicts(made(present, measured_folder))["memory-over-placebo"]
    assert one.verdict == "not run"
    assert one.detail.startswith(
        "no run of memloss (variant v1, beta 3, memory_beta 2, alignment clean_crop) with"
    )


def test_a_number_of_other_data_says_so_before_what_is_missing(tmp_path):
    present = {name: of for name, of in AS_CLAIMED.items() if name != "recycled"}
    one = Verdicts(made(present, tmp_path, dataset="digits"))["v1-clean"]
    assert one.verdict == "not run"
    assert one.detail.endswith("the data set here is digits")


def test_an_attack_is_named(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    of = replace(whole, outcomes={"best": {"clean": whole.outcomes["best"]["clean"]}})
    found = Verdicts(of)
    assert found["v1-clean"].verdict == "reproduced"
    for name in ("v1-autoattack", "v1-beyond-trades", "v1-over-mart-harmonic"):
        assert found[name].verdict == "not run"
        assert "has no results under 'autoattack'" in found[name].detail


def test_a_checkpoint_is_named(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    rows = [{**row, "checkpoint": "last"} for row in whole.rows]
    found = Verdicts(replace(whole, rows=rows, outcomes={"last": whole.outcomes["best"]}))
    assert {one.verdict for one in found.values()} == {"not run"}
    assert "with the checkpoint 'best'" in found["v1-clean"].detail


@pytest.mark.parametrize("attack", ["clean", "autoattack"])
def test_a_seed_that_others_have_is_named(measured_folder, attack):
    whole = made(AS_CLAIMED, measured_folder)
    rows = [
        row
        for row in whole.rows
        if (row["method"], row["seed"], row["attack"]) != ("recycled", 1, attack)
    ]
    found = Verdicts(replace(whole, rows=rows))
    one = found["v1-clean" if attack == "clean" else "v1-autoattack"]
    assert one.verdict == found["v1-over-mart-harmonic"].verdict == "not run"
    assert f"recycled has no results under '{attack}' with seed 1 " in one.detail
    assert found["v2-clean"].verdict == "reproduced"


def test_no_common_seed_is_no_verdict(measured_folder):
    one = made({"recycled": (84.5, 48.9)}, measured_folder, seeds=(0, 1))
    other = made({"memloss_v2": (83.5, 48.6)}, measured_folder, seeds=(2, 3))
    outcomes = {
        attack: replace(
            part,
            accuracy={**part.accuracy, **other.outcomes["best"][attack].accuracy},
            correct={**part.correct, **other.outcomes["best"][attack].correct},
        )
        for attack, part in one.outcomes["best"].items()
    }
    of = replace(one, rows=[*one.rows, *other.rows], outcomes={"best": outcomes})
    found = Verdicts(of)["v1-v2-clean"]
    assert found.verdict == "not run"
    assert "recycled has no results under 'clean' with seed 2, 3 " in found.detail


def test_two_labels_of_one_method_need_the_claims_to_choose(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    rows = [{**row, "flags": ""} for row in whole.rows]
    found = Verdicts(replace(whole, rows=rows))["v1-over-mart-harmonic"]
    assert found.verdict == "not run"
    assert found.detail.startswith("mart, mart_authors are all mart (beta 5): say which by")


def test_per_example_results_are_asked_for_by_orders_alone(measured_folder):
    whole = made(AS_CLAIMED, measured_folder)
    counts = {
        attack: replace(part, index=part.index[:0], correct={})
        for attack, part in whole.outcomes["best"].items()
    }
    found = Verdicts(replace(whole, outcomes={"best": counts}))
    assert found["v1-clean"].verdict == found["v1-cost"].verdict == "reproduced"
    assert found["v1-v2-clean"].verdict == "not run"
    assert "no per-example results" in found["v1-v2-clean"].detail


def test_costs_and_files_of_epochs_are_named(tmp_path):
    found = Verdicts(made(AS_CLAIMED, tmp_path))
    assert found["v1-cost"].detail.startswith("costs.csv is missing")
    assert found["v1-forgets-less"].detail.startswith("models/recycled/seed0/history.csv is miss")
    assert found["v1-cost"].verdict == found["v1-forgets-less"].verdict == "not run"


def test_times_on_different_devices_are_not_compared(measured_folder):
    path = measured_folder / "costs.csv"
    path.write_text(path.read_text().replace("H100", "A100", 1))
    found = Verdicts(made(AS_CLAIMED, measured_folder))["v1-cost"]
    assert (found.verdict, found.detail) == (
        "not run",
        "the trainings ran on different devices (A100, H100): time both on one",
    )


@pytest.mark.parametrize("renamed", [True, False])
def test_a_column_of_epochs_that_is_absent_or_empty_is_named(measured_folder, renamed):
    write_history(measured_folder, "recycled", 0, [None, None])
    path = Paths(measured_folder).run("recycled", 0).history
    if renamed:
        path.write_text(path.read_text().replace("forgetting_rate", "fooling"))
    found = Verdicts(made(AS_CLAIMED, measured_folder))["v1-forgets-less"]
    assert found.verdict == "not run"
    assert "models/recycled/seed0/history.csv has no column 'forgetting_rate'" in found.detail


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0.51", "many", "row 2: forgetting_rate: "),
        ("\n3,", "\n3\n3,", "row 3 has not as many cells"),
    ],
)
def test_a_damaged_history_is_a_mistake(measured_folder, old, new, message):
    path = Paths(measured_folder).run("recycled", 1).history
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BenchError, match=rf"history\.csv: {message}"):
        Verdicts(made(AS_CLAIMED, measured_folder))["v1-forgets-less"]
