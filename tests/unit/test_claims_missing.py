"""Claims that are not run: what is missing is named, and no verdict is made from the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest
from claimed import AS_CLAIMED, evidence, verdicts

from bench.runtime.errors import BenchError


def test_a_method_is_named_by_what_is_trained(measured_folder):
    present = {name: of for name, of in AS_CLAIMED.items() if name != "placebo"}
    one = verdicts(evidence(present, measured_folder))["memory-over-placebo"]
    assert one.verdict == "not run"
    assert one.detail.startswith(
        "no run of memloss (variant v1, beta 3, memory_beta 2, alignment clean_crop) with"
    )


def test_an_attack_is_named(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    of = replace(whole, judged={"best": {"clean": whole.judged["best"]["clean"]}})
    found = verdicts(of)
    assert found["v1-clean"].verdict == "reproduced"
    for name in ("v1-autoattack", "v1-beyond-trades", "v1-over-mart-harmonic"):
        assert found[name].verdict == "not run"
        assert "has no verdicts of 'autoattack'" in found[name].detail


def test_a_checkpoint_is_named(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    rows = [{**row, "checkpoint": "last"} for row in whole.rows]
    found = verdicts(replace(whole, rows=rows, judged={"last": whole.judged["best"]}))
    assert {one.verdict for one in found.values()} == {"not run"}
    assert "with the checkpoint 'best'" in found["v1-clean"].detail


@pytest.mark.parametrize("attack", ["clean", "autoattack"])
def test_a_seed_that_others_have_is_named(measured_folder, attack):
    whole = evidence(AS_CLAIMED, measured_folder)
    rows = [
        row
        for row in whole.rows
        if (row["method"], row["seed"], row["attack"]) != ("recycled", "1", attack)
    ]
    found = verdicts(replace(whole, rows=rows))
    one = found["v1-clean" if attack == "clean" else "v1-autoattack"]
    assert one.verdict == found["v1-over-mart-harmonic"].verdict == "not run"
    assert f"recycled has no verdicts of '{attack}' with seed 1 " in one.detail
    assert found["v2-clean"].verdict == "reproduced"


def test_no_common_seed_is_no_verdict(measured_folder):
    one = evidence({"recycled": (84.5, 48.9)}, measured_folder, seeds=(0, 1))
    other = evidence({"memloss_v2": (83.5, 48.6)}, measured_folder, seeds=(2, 3))
    judged = {
        attack: replace(
            part,
            accuracy={**part.accuracy, **other.judged["best"][attack].accuracy},
            correct={**part.correct, **other.judged["best"][attack].correct},
        )
        for attack, part in one.judged["best"].items()
    }
    of = replace(one, rows=[*one.rows, *other.rows], judged={"best": judged})
    found = verdicts(of)["v1-v2-clean"]
    assert found.verdict == "not run"
    assert "recycled has no verdicts of 'clean' with seed 2, 3 " in found.detail


def test_two_labels_of_one_method_need_the_claims_to_choose(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    rows = [{**row, "flags": ""} for row in whole.rows]
    found = verdicts(replace(whole, rows=rows))["v1-over-mart-harmonic"]
    assert found.verdict == "not run"
    assert found.detail.startswith("mart, mart_authors are all mart (beta 5): say which by")


def test_verdicts_of_images_are_asked_for_by_orders_alone(measured_folder):
    whole = evidence(AS_CLAIMED, measured_folder)
    counts = {
        attack: replace(part, index=part.index[:0], correct={})
        for attack, part in whole.judged["best"].items()
    }
    found = verdicts(replace(whole, judged={"best": counts}))
    assert found["v1-clean"].verdict == found["v1-cost"].verdict == "reproduced"
    assert found["v1-v2-clean"].verdict == "not run"
    assert "no verdicts of single images" in found["v1-v2-clean"].detail


def test_costs_and_files_of_epochs_are_named(tmp_path):
    found = verdicts(evidence(AS_CLAIMED, tmp_path))
    assert found["v1-cost"].detail.startswith("costs.csv is missing")
    assert found["v1-forgets-less"].detail.startswith("models/recycled/seed0/history.csv is miss")
    assert found["v1-cost"].verdict == found["v1-forgets-less"].verdict == "not run"


def test_times_on_different_devices_are_not_compared(measured_folder):
    path = measured_folder / "costs.csv"
    path.write_text(path.read_text().replace("H100", "A100", 1))
    found = verdicts(evidence(AS_CLAIMED, measured_folder))["v1-cost"]
    assert (found.verdict, found.detail) == (
        "not run",
        "the trainings ran on different devices (A100, H100): time both on one",
    )


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "remembered_forgotten",
            "fooling",
            "history.csv has no column 'remembered_forgotten': it was",
        ),
        (
            "2,0.5",
            "2,",
            "models/recycled/seed0/history.csv: the column 'remembered_forgotten' is empty",
        ),
    ],
)
def test_a_column_of_epochs_is_named(measured_folder, old, new, sentence):
    path = measured_folder / "models/recycled/seed0/history.csv"
    text = path.read_text().replace(old, new)
    path.write_text("\n".join(text.splitlines()[:3]) + "\n")
    found = verdicts(evidence(AS_CLAIMED, measured_folder))["v1-forgets-less"]
    assert found.verdict == "not run"
    assert sentence in found.detail


def test_text_in_a_column_of_numbers_is_a_mistake(measured_folder):
    path = measured_folder / "models/recycled/seed1/history.csv"
    path.write_text("epoch,remembered_forgotten\n1,many\n")
    with pytest.raises(BenchError, match=r"history\.csv: remembered_forgotten holds 'many'"):
        verdicts(evidence(AS_CLAIMED, measured_folder))


def test_a_file_that_was_cut_is_a_mistake(measured_folder):
    path = measured_folder / "models/recycled/seed1/history.csv"
    path.write_text("epoch,remembered_forgotten\n1,12.5\n2")
    with pytest.raises(BenchError, match=r"history\.csv: row 2 has not as many cells"):
        verdicts(evidence(AS_CLAIMED, measured_folder))
