"""What trainings cost: passes as a step makes them, and a table that says what it rests on."""

from __future__ import annotations

import csv
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from factory import ResultsFactory
from framed import results, summary
from summed import written
from synthetic import MEMLOSS, some_spec

from bench.__main__ import main
from bench.analysis.tables import costs
from bench.config.experiment import Model
from bench.config.schema import WeightPerturbation
from bench.methods.step import Step
from bench.methods.trades import Trades
from bench.results.columns import COSTS
from bench.results.experiment import ExperimentResults
from bench.results.tables import from_rows
from bench.runtime.errors import BenchError
from bench.training.passes import count_passes

# Forward and backward passes of an image in a step with an attack of two steps, in batches of 16.
# A KL attack has one forward pass for its target; where a network of constants passes, and where
# nobody reads the logits, there is no backward pass.
PASSES: dict[str, tuple[str, dict[str, Any], float, float]] = {
    "standard": ("standard", {}, 1, 1),
    "pgd_at": ("pgd_at", {}, 2 + 1, 2 + 1),
    "trades": ("trades", {}, 3 + 2, 2 + 2),
    "mart": ("mart", {}, 2 + 2, 2 + 2),
    "memloss": ("memloss", MEMLOSS, 3 + 3, 2 + 3),
    "memloss_hat": ("memloss_hat", MEMLOSS, 3 + 4 + 1, 2 + 4),
    "hat": ("hat", {}, 3 + 3 + 1, 2 + 3),
    "memory_mart": ("memory_mart", {}, 2 + 3, 2 + 2),
    "dynat": ("dynat", {}, 2 + 2 + 1, 2 + 1 + 1),
    "dynat without the clean pass": ("dynat", {"clean_pass": False}, 2 + 1 + 1, 2 + 1 + 1),
    # Its two criteria are gradients of their own.
    "cure": ("cure", {}, 3 + 2 + 2, 2 + 2 + 2),
    "cure rgp": ("cure", {"criterion": "rgp"}, 3 + 2 + 2, 2 + 2),
    "sat r1": ("sat", {"variant": "r1"}, 1 + 3 / 16 + 1 + 1 / 16, 1 + 3 / 16 + 1 + 1 / 16),
    "sat r2": ("sat", {"variant": "r2"}, 2 + 2, 2 + 2),
    "sat r3": ("sat", {"variant": "r3"}, 1 + 2, 1 + 2),
    "fgsm_at": ("fgsm_at", {}, 1 + 1, 1 + 1),
    "fgsm_rs": ("fgsm_rs", {}, 1 + 1, 1 + 1),
}


@pytest.mark.parametrize("case", PASSES)
def test_passes_are_those_that_the_equations_ask_for(case):
    method, options, forward, backward = PASSES[case]
    found = count_passes(some_spec(method, options=options)).record()
    assert (found.forward, found.backward) == (forward, backward)


# Perturbed are the weights of the trained network alone, so DYNAT's guide has no gradient there.
@pytest.mark.parametrize(
    ("method", "options", "forward", "backward"),
    [("trades", {}, 2, 2), ("sat", {"variant": "r2"}, 2, 2), ("dynat", {}, 3, 1)],
)
def test_a_perturbation_of_weights_costs_its_passes_again_and_no_second_attack(
    method, options, forward, backward
):
    awp = WeightPerturbation(gamma=0.005, first_epoch=1)
    plain, perturbed = (
        count_passes(some_spec(method, options=options, awp=chosen)).record()
        for chosen in (None, awp)
    )
    more = (perturbed.forward - plain.forward, perturbed.backward - plain.backward)
    assert more == (forward, backward)


def test_passes_are_counted_on_layers_of_the_runs_own_architecture(monkeypatch):
    layers: list[set[str]] = []

    def after_step(_: Trades, step: Step) -> None:
        layers.append({name.partition(".")[0] for name in step.weights})

    monkeypatch.setattr(Trades, "after_step", after_step)
    count_passes(replace(some_spec(), model=Model(name="resnet18", width=64)))
    assert "layer4" in layers[-1]


def tables(factory: ResultsFactory) -> list[dict[str, str]]:
    written(factory.folder)
    assert main(["tables", "--folder", str(factory.folder)]) == 0
    with (factory.folder / "tables" / "costs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_means_over_seeds_and_accuracy_per_hour(results_factory):
    passes = {"forward": 13, "backward": 12}
    for seed, seconds in ((0, 1800.0), (1, 5400.0)):
        results_factory.run("trades", seed, train={"seconds": seconds, "passes": passes})
    (row,) = tables(results_factory)
    assert (row["name"], row["seeds"]) == ("TRADES (β=6)", "2")
    assert (row["seconds_mean"], row["seconds_std"]) == ("3600.00", "2545.58")
    # 10 of 20 images stand under AutoAttack, and a training takes an hour.
    assert (row["attack"], row["accuracy"], row["accuracy_per_hour"]) == (
        "autoattack",
        "50.00",
        "50.00",
    )
    # Five attacks of 1.25 s each.
    assert (row["forward_passes"], row["evaluation_seconds"]) == ("13.00", "6.25")
    text = " ".join((results_factory.folder / "tables" / "costs.md").read_text().split())
    assert "| TRADES (β=6) | 2 | 3600.0 ± 2545.6 | 0 | 13 + 12 |" in text


def cost(seed: int, stage: str, **cells: object) -> dict[str, object]:
    return {"method": "trades", "seed": seed, "stage": stage, "device": "cpu"} | cells


def test_a_row_is_what_a_hand_computes():
    rows = [
        cost(0, "train", seconds=900, images_per_second=100, peak_memory_mb=80, forward_passes=12),
        cost(1, "train", seconds=2700, images_per_second=300, peak_memory_mb=60, device="H200"),
        cost(0, "evaluate", seconds=10, peak_memory_mb=999, images_per_second=7),
        cost(1, "evaluate", seconds=20),
        cost(0, "evaluate", seconds=3),
        cost(1, "diagnose", seconds=5000),
        cost(0, "train", seconds=1) | {"method": "mart"},
    ]
    accuracies = pd.concat(
        [
            summary({"trades": [(90, 60), (90, 40)]}, attack="pgd20"),
            summary({"trades": [(90, 98)]}, attack="pgd20", checkpoint="last"),
            summary({"rice": [(98, 98)]}, attack="pgd20", model="robustbench"),
            summary({"trades": [(90, 56), (90, 48)]}, attack="pgd50"),
        ]
    )
    (row,) = costs(results(accuracies, costs=from_rows(COSTS, rows))).to_dict("records")
    assert (row["method"], row["seeds"], row["seconds_mean"]) == ("trades", 2, 1800)
    assert row["seconds_std"] == pytest.approx(900 * 2**0.5)
    assert (row["images_per_second"], row["peak_memory_mb"]) == (200, 80)
    assert row["forward_passes"] == 12
    assert pd.isna(row["backward_passes"])
    assert row["evaluation_seconds"] == 33 / 2
    # 60 % and 40 % under pgd20, which is less than 56 % and 48 %; half an hour for each.
    assert (row["attack"], row["accuracy"], row["accuracy_per_hour"]) == ("pgd20", 50, 100)
    assert row["device"] == "cpu, H200"


def test_of_a_network_trained_elsewhere_the_evaluation_is_known():
    rows = [cost(seed, "evaluate", seconds=10) for seed in (0, 1)]
    ours = summary({"trades": [(90, 60), (90, 40)]}, attack="pgd20").assign(origin="external")
    (row,) = costs(results(ours, costs=from_rows(COSTS, rows))).to_dict("records")
    assert (row["seeds"], row["evaluation_seconds"], row["device"]) == (2, 10, "cpu")
    assert pd.isna(row["seconds_mean"])
    assert pd.isna(row["accuracy_per_hour"])
    with pytest.raises(BenchError, match="no training of trades"):
        costs(results(ours.assign(origin="trained"), costs=from_rows(COSTS, rows)))


def test_what_a_record_does_not_tell_is_empty(results_factory):
    results_factory.run("trades", 0)
    (row,) = tables(results_factory)
    assert (row["seconds_std"], row["peak_memory_mb"]) == ("", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("images_per_second", "speed", r"costs\.csv: the column 'images_per_second' is missing"),
        (",12.50,", ",-,", r"costs\.csv: row 1: seconds: .*'-'"),
        (",12,12\n", ",many,12\n", r"costs\.csv: row 1: forward_passes: .*'many'"),
    ],
)
def test_a_damaged_file_of_costs_is_named(results_factory, old, new, said):
    results_factory.run("trades", 0)
    written(results_factory.folder)
    path = results_factory.folder / "costs.csv"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BenchError, match=said):
        _ = ExperimentResults(results_factory.folder).costs
