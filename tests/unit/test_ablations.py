"""Open choices against their base: what is compared, and what is said of it."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from factory import ResultsFactory
from settings import settings

from bench.analysis import ablations
from bench.analysis.ablations import (
    MATTERS,
    NONE,
    UNDECIDED,
    Line,
    ablation_lines,
    make_ablations,
    verdict,
)
from bench.analysis.statistics.evidence import read_evidence
from bench.analysis.summary import summarize
from bench.config.experiment import Ablation, experiment
from bench.runtime.errors import BenchError, ConfigError

REPORTED = Path(__file__).parents[2] / "config" / "reported.csv"
CARDS = REPORTED.with_name("robustbench.csv")
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
    summarize(
        results_factory.folder, expected=None, reported=REPORTED, references=None, cards=CARDS
    )
    return results_factory.folder


def lines(results: Path, *variants: str, base: str = "trades") -> list[Line]:
    found = Ablation(choice="which", base=base, variants=variants)
    return ablation_lines(read_evidence(results), [found])


def test_a_variant_is_held_against_its_base_in_both_accuracies_and_their_mean(results):
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
    summarize(results, expected=None, reported=REPORTED, references=None, cards=CARDS)
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
    summarize(folder, expected=None, reported=REPORTED, references=None, cards=CARDS)
    with pytest.raises(
        BenchError, match="trades/last: no seed or no image in common under autoattack"
    ):
        lines(folder, "trades/last")


@pytest.mark.parametrize("with_verdicts", [True, False])
def test_checkpoints_judged_on_other_images_are_not_compared(results_factory, with_verdicts):
    last = {attack: BASE[attack] for attack in ("clean", "pgd20")}
    half = {("last", "autoattack"): {index: int(index < 5) for index in range(10)}}
    results_factory.run("trades", 0, correct={"best": BASE, "last": last}, robust=half)
    results = results_factory.folder
    summarize(results, expected=None, reported=REPORTED, references=None, cards=CARDS)
    if not with_verdicts:
        shutil.rmtree(results / "models")
    with pytest.raises(BenchError, match="judged on other images under autoattack"):
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


def test_table_figure_and_csv_are_written_and_the_same_again(results):
    chosen = [Ablation(choice="The method", base="trades", variants=("mart", "trades/last"))]

    def made() -> dict[str, bytes]:
        make_ablations(results, chosen)
        names = ["ablations.csv", "tables/ablations.md"]
        names += [f"figures/ablations.{form}" for form in ("svg", "pdf", "png")]
        return {name: (results / name).read_bytes() for name in names}

    first = made()
    assert made() == first
    table = first["tables/ablations.md"].decode()
    assert "| The method | MART [f1] | TRADES (β=6) | " in table
    assert "| The method | TRADES (β=6), last epoch | TRADES (β=6) |" in table
    with (results / "ablations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["difference"] for row in rows[:2]] == ["10.00", "20.00"]


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
    summarize(results, expected=None, reported=REPORTED, references=None, cards=CARDS)
    make_ablations(results, [Ablation(choice="c", base="trades", variants=("mart", "trades/last"))])
    with (results / "ablations.csv").open(newline="") as file:
        found = {(row["variant"], row["flags"]) for row in csv.DictReader(file)}
    assert found == {("mart/best", "selected_on_test"), ("trades/last", "")}
    table = (results / "tables" / "ablations.md").read_text()
    assert "| c | MART [f1] | TRADES (β=6) |" in table
    assert "| c | TRADES (β=6), last epoch | TRADES (β=6) |" in table
    assert "[f1] selected_on_test, of the variant or its base: the epoch was chosen on" in table
    assert "of the 3 in ablations.csv" in table


def test_what_rounds_to_zero_has_no_sign(results, monkeypatch):
    chosen = [Ablation(choice="The method", base="trades", variants=("mart",))]
    found = lines(results, "mart")
    small = [replace(line, difference=-0.001, low=-0.004, high=0.004) for line in found]
    monkeypatch.setattr(ablations, "ablation_lines", lambda *_: small)
    make_ablations(results, chosen)
    for name in ("ablations.csv", "tables/ablations.md"):
        assert "-0.00" not in (results / name).read_text()
    assert "+0.00 [+0.00, +0.00]" in (results / "tables" / "ablations.md").read_text()


def test_one_seed_decides_nothing(results_factory):
    for method, counts in (("trades", BASE), ("mart", BETTER)):
        results_factory.run(method, 0, correct={"best": counts})
    folder = results_factory.folder
    summarize(folder, expected=None, reported=REPORTED, references=None, cards=CARDS)
    clean, *_ = lines(folder, "mart")
    assert (clean.low, clean.high, clean.verdict) == (None, None, UNDECIDED)
    make_ablations(folder, [Ablation(choice="c", base="trades", variants=("mart",))])


METHODS = {"trades": {"beta": 6}, "mart": {}}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"c": ["trades"]}, "ablations.c: expected a list of two methods or more"),
        ({"c": "trades"}, "ablations.c: expected a list of two methods or more"),
        ({"c": ["trades", "marts"]}, "ablations.c: 'marts' is no method here; did you mean 'mart'"),
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
        make_ablations(tmp_path, [])
