"""What trainings cost: passes as a step makes them, and a table that says what it rests on."""

from __future__ import annotations

import csv
from pathlib import Path

import paged
import pytest
import torch
from factory import ResultsFactory
from synthetic import METHODS, some_data, some_spec
from torch import Tensor, nn

from bench.analysis.cost_table import spent
from bench.analysis.summary import summarize
from bench.analysis.tables import make_tables
from bench.methods.base import create
from bench.runtime.errors import BenchError
from bench.training.job import passes_of
from bench.training.run import Run

REPORTED = Path(__file__).parents[2] / "config" / "reported.csv"


@pytest.mark.parametrize("method", METHODS)
def test_passes_are_those_that_a_step_makes(method, monkeypatch):
    spec = some_spec(method, engine="plain")
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
    assert {kind: count / len(index_B) for kind, count in counted.items()} == found


def tables(factory: ResultsFactory) -> list[dict[str, str]]:
    summarize(factory.folder, expected=None, reported=REPORTED)
    make_tables(factory.folder)
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
    text = (results_factory.folder / "tables" / "costs.md").read_text()
    assert "| TRADES (β=6) | 2 | 3600.0 ± 2545.6 | 0 | 13 + 12 |" in text


def cost(seed: int, stage: str, **cells: object) -> dict[str, str]:
    names = ("images_per_second", "forward_passes", "backward_passes", "peak_memory_mb")
    empty = {"method": "trades", "attack": "", "device": "cpu", **dict.fromkeys(names, "")}
    return empty | {"seed": str(seed), "stage": stage} | {k: str(v) for k, v in cells.items()}


def judged(attack: str, seed: int, correct: int, **cells: str) -> dict[str, str]:
    own = {"method": "trades", "base_method": "trades", "options": "beta=6", "model": "resnet18"}
    own["flags"] = ""
    counts = {"attack": attack, "seed": str(seed), "correct": str(correct), "n": "50"}
    return {"checkpoint": "best", **own, **counts, **cells}


def test_a_line_is_what_a_hand_computes_from_the_rows():
    costs = [
        cost(0, "train", seconds=900, images_per_second=100, peak_memory_mb=80, forward_passes=12),
        cost(1, "train", seconds=2700, images_per_second=300, peak_memory_mb=60, device="H200"),
        cost(0, "evaluate", seconds=10, peak_memory_mb=999, images_per_second=7),
        cost(1, "evaluate", seconds=20),
        cost(0, "evaluate", seconds=3),
        cost(1, "diagnose", seconds=5000),
        {**cost(0, "train", seconds=1), "method": "mart"},
    ]
    rows = [
        *(judged("clean", seed, 45) for seed in (0, 1)),
        *(judged("pgd20", seed, count) for seed, count in ((0, 30), (1, 20))),
        judged("pgd20", 0, 49, checkpoint="last"),
        judged("pgd20", 0, 49, method="rice", model="robustbench"),
        judged("pgd50", 0, 28),
        judged("pgd50", 1, 24),
    ]
    (line,) = spent(costs, rows)
    assert (line.label, line.seeds, line.seconds) == ("trades", 2, 1800)
    assert line.spread == pytest.approx(900 * 2**0.5)
    assert (line.images_per_second, line.peak_memory_mb) == (200, 80)
    assert (line.forward, line.backward) == (12, None)
    assert line.evaluation == 33 / 2
    # 60 % and 40 % under pgd20, which is less than 56 % and 48 %; half an hour for each.
    assert (line.attack, line.accuracy, line.per_hour) == ("pgd20", 50, 100)
    assert line.device == "cpu, H200"


def test_what_a_record_does_not_tell_is_empty(results_factory):
    results_factory.run("trades", 0)
    (row,) = tables(results_factory)
    assert (row["seconds_std"], row["forward_passes"], row["peak_memory_mb"]) == ("", "", "")


def test_costs_of_before_their_columns_are_named(results_factory):
    results_factory.run("trades", 0)
    tables(results_factory)
    path = results_factory.folder / "costs.csv"
    path.write_text(path.read_text().replace("images_per_second", "speed"))
    with pytest.raises(BenchError, match=r"costs\.csv: the column 'images_per_second' is missing"):
        make_tables(results_factory.folder)


@pytest.mark.parametrize(("column", "text"), [("seconds", "-"), ("forward_passes", "many")])
def test_a_cost_that_is_no_number_is_named_with_its_row(results_factory, column, text):
    results_factory.run("trades", 0)
    tables(results_factory)
    path = results_factory.folder / "costs.csv"
    paged.rewrite(path, lambda row: row.update({column: text}))
    said = (
        rf"costs\.csv: {column} holds '{text}' where a number was expected, in row 1; restore the"
    )
    with pytest.raises(BenchError, match=said):
        make_tables(results_factory.folder)
