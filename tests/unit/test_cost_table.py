"""What trainings cost: passes as a step makes them, and a table that says what it rests on."""

from __future__ import annotations

import csv
from dataclasses import asdict

import pandas as pd
import pytest
import torch
from factory import ResultsFactory
from framed import results, summary
from summed import written
from synthetic import METHODS, some_data, some_spec
from torch import Tensor, nn

from bench.__main__ import main
from bench.analysis.tables import costs
from bench.methods.base import create
from bench.results.columns import COSTS
from bench.results.experiment import ExperimentResults
from bench.results.tables import from_rows
from bench.runtime.errors import BenchError
from bench.training.job import passes_of
from bench.training.run import Run


@pytest.mark.parametrize("method", METHODS)
def test_passes_are_those_that_a_step_makes(method, monkeypatch):
    spec = some_spec(method, engine="eager")
    counted = {"forward": 0, "backward": 0}

    def count(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        counted["forward"] += len(given[0])
        if made.requires_grad:
            made.register_hook(lambda _: counted.update(backward=counted["backward"] + len(made)))

    run = Run(spec, some_data(), torch.device("cpu"))
    run.epoch(1, lambda *_: None)
    index_B = run.batches(2)[0]
    run.model.register_forward_hook(count)
    images = run.images(2, 0, index_B)
    logits = {name: run.model(images[name]) for name in run.method.passes}
    run.method.objective(logits, run.labels_N[index_B]).backward()
    found = passes_of(spec, create(spec.method, spec.options))
    assert {kind: count / len(index_B) for kind, count in counted.items()} == asdict(found)


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


def test_what_a_record_does_not_tell_is_empty(results_factory):
    results_factory.run("trades", 0)
    (row,) = tables(results_factory)
    assert (row["seconds_std"], row["peak_memory_mb"]) == ("", "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("images_per_second", "speed", r"costs\.csv: the column 'images_per_second' is missing"),
        (
            ",12.50,",
            ",-,",
            r"costs\.csv: seconds holds '-' .*number was expected, in row 1; restore",
        ),
        (",12,12\n", ",many,12\n", r"costs\.csv: forward_passes holds 'many' .*number .*in row 1"),
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
