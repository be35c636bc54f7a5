from __future__ import annotations

import csv

import pytest
from factory import digest, edit_json, write_json
from summed import CONFIG, table, written

from bench.results.columns import SUMMARY
from bench.results.experiment import ExperimentResults
from bench.results.published import read_cards
from bench.results.wilson import wilson
from bench.runtime.errors import BenchError

CARDS = """\
dataset,name,clean,autoattack,source,eps
cifar10,Rice2020Overfitting,85.34,53.42,the card of Rice,8/255
cifar10,Zhang2019Theoretically,84.92,53.08,the card of Zhang,0.031
cifar100,Rice2020Overfitting,53.83,18.95,another card of Rice,8/255
"""
RICE, ZHANG = "Rice2020Overfitting", "Zhang2019Theoretically"


@pytest.fixture
def cifar(results_factory):
    results_factory.dataset = "cifar10"
    return results_factory


@pytest.fixture
def cards(tmp_path):
    path = tmp_path / "robustbench.csv"
    path.write_text(CARDS)
    return path


@pytest.fixture
def summed(results_factory, cards):
    """Return the rows of summary.csv beside `CARDS`, of chosen models."""

    def summed(references=None):
        frame = table(results_factory.folder, references=references, cards=read_cards(cards))
        return list(csv.DictReader(SUMMARY.text(frame).splitlines()))

    return summed


def listed(rows):
    return {row["attack"]: row for row in rows if row["model"] == "robustbench"}


def test_a_listed_model_has_the_rows_of_a_best_checkpoint(cifar, summed):
    cifar.run("trades")
    cifar.reference(RICE)
    rows = listed(summed())
    assert list(rows) == ["clean", "pgd20", "autoattack", "worst_case"]
    low, high = wilson(10, 20)
    assert rows["autoattack"] == {
        "experiment": "digits",
        "dataset": "cifar10",
        "model": "robustbench",
        "method": RICE,
        "seed": "",
        "checkpoint": "best",
        "selected_on": "",
        "attack": "autoattack",
        "attack_source": "pyautoattack 0.2.0",
        "attack_seed": "0",
        "eps": "8/255",
        "n": "20",
        "correct": "10",
        "accuracy": "50.00",
        "ci_low": f"{low:.2f}",
        "ci_high": f"{high:.2f}",
        "reported": "53.42",
        "reported_source": "the card of Rice; reported by others, checkpoint: the same weights",
        "difference": "-3.42",
        "precision": "",
        "engine": "robustbench",
        "tf32": "",
        "flags": "",
        "code_digest": digest("evaluation code"),
        "weights_sha256": digest(RICE),
        "base_method": "",
        "options": "",
        "selected_by": "",
        "warnings": "",
        "attack_engine": "eager",
        "origin": "robustbench",
        "attack_seeds": "",
        "attack_spread": "",
    }


def test_listed_models_come_last_and_by_name(cifar, summed):
    cifar.run("trades")
    cifar.reference(ZHANG)
    cifar.reference(RICE)
    methods = list(dict.fromkeys(row["method"] for row in summed()))
    assert methods == ["trades", RICE, ZHANG]


def test_flags_and_the_subset_are_told_as_of_ours(cifar, summed):
    cifar.test_images = 21
    cifar.run("trades")
    cifar.reference(RICE, correct={"clean": 20, "pgd20": 10, "autoattack": 11})
    rows = listed(summed())
    assert rows["autoattack"]["flags"] == "autoattack_above_pgd;subset"
    assert rows["worst_case"]["correct"] == "10"


def numbers(rows):
    return {attack: row["reported"] for attack, row in listed(rows).items() if row["reported"]}


def test_a_card_is_compared_on_all_test_images_whatever_ours_trained_on(cifar, summed):
    cifar.source_sizes = {"train": 101, "test": 20}
    cifar.run("trades")
    cifar.reference(RICE)
    assert numbers(summed()) == {"clean": "85.34", "autoattack": "53.42"}
    cifar.source_sizes = {"test": 21}
    cifar.run("trades")
    rows = summed()
    assert numbers(rows) == {}
    assert {row["flags"] for row in listed(rows).values()} == {"subset"}


def test_a_card_of_another_radius_tells_the_clean_accuracy_alone(cifar, summed):
    cifar.run("trades")
    cifar.reference(ZHANG)
    assert numbers(summed()) == {"clean": "84.92"}


def test_a_card_stands_beside_its_own_radius(cifar, summed):
    cifar.run("trades")
    cifar.reference(RICE, attack={"eps": 4 / 255})
    assert numbers(summed()) == {"clean": "85.34"}
    cifar.reference(ZHANG, attack={"eps": 0.031})
    assert numbers(summed([ZHANG])) == {"clean": "84.92", "autoattack": "53.08"}


@pytest.mark.parametrize(
    ("dataset", "name"), [("cifar10-jpeg", RICE), ("cifar100", ZHANG), ("cifar10", "Wong2020Fast")]
)
def test_a_card_of_other_images_or_another_model_does_not(results_factory, summed, dataset, name):
    results_factory.dataset = dataset
    results_factory.run("trades")
    results_factory.reference(name)
    assert numbers(summed()) == {}


def test_the_configuration_says_which_models_are_read(cifar, summed):
    cifar.run("trades")
    cifar.reference(RICE)
    (cifar.reference(ZHANG) / "examples/best/clean.csv").unlink()  # a leftover of another config
    assert {row["method"] for row in summed([RICE])} == {"trades", RICE}
    assert {row["method"] for row in summed([])} == {"trades"}


def test_an_unavailable_model_has_a_printed_line_and_no_row(cifar, cards, capsys):
    cifar.run("trades")
    cifar.reference(ZHANG)
    record = {"method": RICE, "unavailable": "it could not be fetched; put it there"}
    write_json(cifar.folder / "reference" / RICE / "evaluation.json", record)
    assert {row["method"] for row in written(cifar.folder, cards=cards)} == {"trades", ZHANG}
    said = f"{RICE} has no rows: it could not be fetched; put it there\n"
    assert capsys.readouterr().out == said
    assert RICE not in (cifar.folder / "costs.csv").read_text()


def test_its_attacks_are_among_the_costs(cifar, cards):
    cifar.run("trades")
    cifar.reference(RICE)
    written(cifar.folder, cards=cards)
    lines = (cifar.folder / "costs.csv").read_text().splitlines()
    assert lines[-3:] == [
        f"digits,{RICE},,evaluate,best,{attack},1.25,,cpu,16.00,,"
        for attack in ("clean", "pgd20", "autoattack")
    ]


def test_an_edited_example_is_refused(cifar, summed):
    cifar.run("trades")
    path = cifar.reference(RICE) / "examples" / "best" / "pgd20.csv"
    text = path.read_text().replace("\n0,0,1,1,\n", "\n0,0,1,0,pgd20\n")
    path.write_text(text.replace("\n15,5,1,0,pgd20\n", "\n15,5,1,1,\n"))
    with pytest.raises(BenchError, match=r"best/pgd20\.csv: changed.*--forcerun .*evaluation.json"):
        summed()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"checkpoints__best__attacks__clean__correct": 19}, r"clean\.csv: it holds 16 robust"),
        ({"data__fingerprint": "0" * 64}, r"evaluation\.json: its data fingerprint is 0000"),
        ({"method": "Wong2020Fast"}, r"evaluation\.json: it is the record of Wong2020Fast"),
        (
            {"checkpoints": {"best": {}}},
            r"evaluation\.json: damaged or of another version.*is missing",
        ),
    ],
)
def test_a_record_at_odds_with_the_rest_is_refused(cifar, summed, change, said):
    cifar.run("trades")
    edit_json(cifar.reference(RICE) / "evaluation.json", **change)
    with pytest.raises(BenchError, match=rf"(?s){said}.*--forcerun .*evaluation.json"):
        summed()


def test_a_model_that_was_never_evaluated_is_named(cifar, summed):
    cifar.run("trades")
    with pytest.raises(BenchError, match=rf"{RICE}/evaluation\.json: missing.*reference"):
        summed([RICE])


def test_the_command_line_names_the_cards_and_its_rows_are_not_ours(cifar, cards):
    cifar.run("trades")
    cifar.reference(RICE)
    assert (
        "the card of Rice" in listed(written(cifar.folder, cards=cards))["clean"]["reported_source"]
    )
    results = ExperimentResults(cifar.folder)
    assert set(results.ours["method"]) == {"trades"}
    assert set(results.references["method"]) == {RICE}


def test_our_own_cards_are_two_numbers_a_model_at_the_radius_of_their_source():
    cards = read_cards(CONFIG / "robustbench.csv")
    cells = {(card.dataset, card.method, card.metric) for card in cards}
    assert len(cells) == len(cards)
    assert {metric for _, _, metric in cells} == {"clean", "autoattack"}
    with (CONFIG / "robustbench.csv").open(newline="") as file:
        assert all(f"Linf {row['eps']};" in row["source"] for row in csv.DictReader(file))


def test_a_card_that_is_no_accuracy_is_named(tmp_path):
    path = tmp_path / "cards.csv"
    path.write_text(CARDS.replace("53.08", "many"))
    with pytest.raises(BenchError, match=r"cards\.csv: row 2\.value: expected an accuracy"):
        read_cards(path)


def test_the_same_records_give_the_same_rows_whatever_the_order(cifar, summed):
    cifar.run("trades")
    cifar.reference(RICE)
    cifar.reference(ZHANG)
    assert summed([RICE, ZHANG]) == summed([ZHANG, RICE, ZHANG])
