"""Open choices against their base: what is compared, and what is said of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from factory import ResultsFactory
from paged import command, rows
from piped import tables
from settings import settings

from bench.analysis.ablations import (
    MATTERS,
    NONE,
    UNDECIDED,
    ablations_sheet,
    ablations_table,
    verdict,
)
from bench.analysis.sheets import markdown
from bench.config.experiment import Ablation, experiment
from bench.results.columns import ABLATIONS
from bench.results.experiment import ExperimentResults
from bench.runtime.errors import BenchError, ConfigError

BASE = {"clean": 16, "pgd20": 12, "autoattack": 10}
BETTER = {"clean": 18, "pgd20": 13, "autoattack": 14}


@pytest.fixture
def results(results_factory: ResultsFactory) -> Path:
    """Two methods and two seeds; the second seed has one image fewer, at `last` two more."""
    for method, counts in (("trades", BASE), ("mart", BETTER)):
        for seed in (0, 1):
            best = {attack: count - seed for attack, count in counts.items()}
            last = {attack: count + 2 - seed for attack, count in counts.items()}
            results_factory.run(method, seed, correct={"best": best, "last": last})
    command("summarize", results_factory.folder)
    return results_factory.folder


def lines(folder: Path, *variants: str) -> list[Any]:
    chosen = Ablation(choice="which", base="trades", variants=variants)
    return list(ablations_table(ExperimentResults(folder), [chosen]).itertuples())


def make(folder: Path, choice: str, *variants: str) -> str:
    """Make the files by the command, and return the table for readers."""
    methods = {"trades": {"beta": 6}, "mart": {}}
    section = {choice: ["trades", *variants]}
    config = folder.parent / "config.yaml"
    config.write_text(yaml.safe_dump(settings({"methods": methods, "ablations": section})))
    command("ablations", folder, "--config", str(config))
    return (folder / "tables" / "ablations.md").read_text("utf-8")


def test_a_variant_is_compared_with_its_base_in_both_accuracies_and_their_mean(results):
    clean, robust, mean = lines(results, "mart")
    assert (clean.attack, robust.attack) == ("clean", "autoattack")
    assert (mean.quantity, mean.attack) == ("harmonic_mean", "autoattack")
    # Of 20 images, 2 and 4 more with either seed.
    assert (clean.base_value, clean.variant_value) == (77.5, 87.5)
    assert (clean.difference, robust.difference) == (10, 20)
    assert clean.by_seed == "10.00;10.00"
    assert (clean.n_seeds, clean.n_images) == (2, 20)
    assert clean.base == "trades/best"
    assert clean.low < 10 < clean.high


def test_base_and_variant_are_over_the_seeds_that_both_have(results_factory):
    for seed, more in ((0, 0), (1, 2), (2, 0)):
        better = {attack: count + more for attack, count in BETTER.items()}
        results_factory.run("mart", seed, correct={"best": better})
    for seed in (0, 1):
        results_factory.run("trades", seed, correct={"best": BASE})
    results = results_factory.folder
    command("summarize", results)
    clean, _, mean = lines(results, "mart")
    # Of 20 images MART has 18 and 20 right with seeds 0 and 1; its seed 2 has no partner.
    assert (clean.n_seeds, clean.base_value, clean.variant_value) == (2, 80, 95)
    for line in (clean, mean):
        assert line.variant_value - line.base_value == pytest.approx(line.difference)


def test_another_checkpoint_is_a_variant_too(results):
    clean, robust, _ = lines(results, "trades/last")
    assert (clean.base, clean.variant) == ("trades/best", "trades/last")
    assert (clean.difference, robust.difference) == (10, 10)


def test_a_checkpoint_that_was_not_attacked_is_named(results_factory):
    results_factory.all(("trades",))
    folder = results_factory.folder
    command("summarize", folder)
    with pytest.raises(
        BenchError, match="trades/last: no seed or no image in common under autoattack"
    ):
        lines(folder, "trades/last")


@pytest.mark.parametrize("with_examples", [True, False])
def test_checkpoints_evaluated_on_other_images_are_not_compared(results_factory, with_examples):
    last = {attack: BASE[attack] for attack in ("clean", "pgd20")}
    half = {("last", "autoattack"): {index: int(index < 5) for index in range(10)}}
    results_factory.run("trades", 0, correct={"best": BASE, "last": last}, robust=half)
    results = results_factory.folder
    command("summarize", results)
    if not with_examples:
        shutil.rmtree(results / "models")
    with pytest.raises(BenchError, match="autoattack, was evaluated on other images than"):
        lines(results, "trades/last")


@pytest.mark.parametrize(
    ("interval", "said"),
    [
        ((0.1, 3.0), MATTERS),
        ((-3.0, -0.1), MATTERS),
        ((0.1, 0.9), MATTERS),
        ((-0.9, 0.9), NONE),
        ((-1.0, 0.5), UNDECIDED),
        ((-0.5, 1.0), UNDECIDED),
        ((0.0, 3.0), UNDECIDED),
        ((-3.0, 0.0), UNDECIDED),
        ((-2.0, 0.5), UNDECIDED),
        ((None, None), UNDECIDED),
    ],
)
def test_a_choice_matters_does_not_or_is_undecided(interval, said):
    assert verdict(*interval) == said


def test_table_and_csv_are_written_and_the_same_again(results):
    first = make(results, "The method", "mart", "trades/last")
    files = [results / "ablations.csv", results / "tables" / "ablations.md"]
    before = [file.read_bytes() for file in files]
    make(results, "The method", "mart", "trades/last")
    assert [file.read_bytes() for file in files] == before
    [[_, *shown]] = tables(first)
    assert [row[:3] for row in shown] == [
        ["The method", "MART [f1]", "TRADES (β=6)"],
        ["The method", "TRADES (β=6), last epoch", "TRADES (β=6)"],
    ]
    assert [row["difference"] for row in rows(files[0])[:2]] == ["10.00", "20.00"]


def test_what_was_chosen_on_the_test_images_says_so(results_factory):
    for method, selected_on in (("trades", "validation"), ("mart", "test")):
        for seed in (0, 1):
            counts = {attack: count - seed for attack, count in BASE.items()}
            results_factory.run(
                method,
                seed,
                correct={"best": counts, "last": BASE},
                train={"selected_on": selected_on},
            )
    results = results_factory.folder
    command("summarize", results)
    text = make(results, "c", "mart", "trades/last")
    found = {(row["variant"], row["flags"]) for row in rows(results / "ablations.csv")}
    assert found == {("mart/best", "selected_on_test"), ("trades/last", "")}
    [[_, *shown]] = tables(text)
    assert [row[1] for row in shown] == ["MART [f1]", "TRADES (β=6), last epoch"]
    assert "[f1] selected_on_test, of the variant or its base: the epoch was chosen on" in text
    assert "of the 3 in ablations.csv" in text


def test_what_rounds_to_zero_has_no_sign(results):
    chosen = Ablation(choice="The method", base="trades", variants=("mart",))
    found = ExperimentResults(results)
    small = ablations_table(found, [chosen]).assign(difference=-0.001, low=-0.004, high=0.004)
    shown = markdown(ablations_sheet(found, small))
    assert "-0.00" not in ABLATIONS.text(small) + shown
    assert "+0.00 [+0.00, +0.00]" in shown


def test_one_seed_decides_nothing(results_factory):
    for method, counts in (("trades", BASE), ("mart", BETTER)):
        results_factory.run(method, 0, correct={"best": counts})
    folder = results_factory.folder
    command("summarize", folder)
    clean, *_ = lines(folder, "mart")
    assert (clean.low != clean.low, clean.high != clean.high) == (True, True)
    assert clean.verdict == UNDECIDED
    [[_, row]] = tables(make(folder, "c", "mart"))
    assert row[3] == "+10.00"


METHODS = {"trades": {"beta": 6}, "mart": {}}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"c": ["trades"]}, "ablations.c: expected a list of two methods or more"),
        ({"c": "trades"}, "ablations.c: expected a list of two methods or more"),
        ({"c": ["trades", "marts"]}, "ablations.c: unknown method 'marts'; did you mean 'mart'"),
        ({"c": ["trades", "mart/lats"]}, "ablations.c: 'mart/lats' names no checkpoint"),
        ({"c": ["trades", "mart", "mart"]}, "names a method twice"),
        (["trades", "mart"], "ablations: expected a choice and its methods"),
    ],
)
def test_what_is_no_ablation_is_refused(section, said):
    with pytest.raises(ConfigError) as refused:
        experiment(settings({"methods": METHODS, "ablations": section}))
    assert said in str(refused.value)


def test_an_ablation_names_its_base_first():
    raw = settings({"methods": METHODS, "ablations": {"The method": ["trades", "mart/last"]}})
    (found,) = experiment(raw).ablations
    assert found == Ablation(choice="The method", base="trades", variants=("mart/last",))
    assert found.labels == ["trades", "mart"]


def test_without_a_section_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(BenchError, match="the config has no such section"):
        ablations_table(ExperimentResults(tmp_path), [])
