"""A summary.csv that contradicts itself is refused by every command that computes from it."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from factory import write_csv

from bench.__main__ import main
from bench.results.columns import SUMMARY
from bench.results.experiment import ExperimentResults
from bench.runtime.errors import BenchError

REFERENCE = Path(__file__).parents[2] / "results/reference/digits"
COMMANDS = ("tables", "statistics", "claims")
Rows = list[dict[str, str]]


@pytest.fixture
def damaged(tmp_path: Path) -> Callable[[Callable[[Rows], object]], Path]:
    """Copy the published summary.csv, changed by a function; return its path."""

    def damage(change: Callable[[Rows], object]) -> Path:
        path = Path(shutil.copy(REFERENCE / "summary.csv", tmp_path))
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        change(rows)
        write_csv(path, list(rows[0]), [list(row.values()) for row in rows])
        return path

    return damage


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"accuracy": "abc"}, "row 2: accuracy: .*'abc'"),
        ({"accuracy": ""}, "row 2: accuracy: .*''"),
        ({"accuracy": "62.68"}, "row 2 .*accuracy 62.68, \d+ of 300 images"),
        ({"correct": "301"}, "row 2 .*301 of 300 images"),
        ({"n": "0", "correct": "0"}, "row 2 .*0 of 0 images"),
        ({"n": "300.5"}, "row 2: n: .*'300.5'"),
        ({"seed": "-1"}, "row 2: seed: .*'-1'"),
        ({"seed": ""}, "row 2 .*seed <NA>"),
        ({"eps": "8/x"}, "row 2: eps: .*'8/x'"),
        ({"reported": "high"}, "row 2: reported: .*'high'"),
    ],
)
def test_a_row_that_cannot_be_right_is_named(damaged, cells, said):
    path = damaged(lambda rows: rows[1].update(cells))
    with pytest.raises(BenchError, match=rf"^{path}: {said}.*restore the file or make it"):
        _ = ExperimentResults(path.parent).summary


def test_accuracies_are_right_to_the_rounding_of_the_file(damaged):
    assert len(ExperimentResults(damaged(lambda rows: None).parent).summary) == 132


@pytest.mark.parametrize("command", COMMANDS)
def test_a_row_that_is_there_twice_is_no_further_seed(damaged, capsys, monkeypatch, command):
    monkeypatch.chdir(REFERENCE.parents[2])
    path = damaged(lambda rows: rows.append(rows[0]))
    assert main([command, "--folder", str(path.parent)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: row 133 is of the same ")
    assert line.endswith(f"summarize --folder {path.parent}`")


@pytest.mark.parametrize("name", SUMMARY.columns)
def test_a_column_that_is_missing_is_named(damaged, name):
    path = damaged(lambda rows: [row.pop(name) for row in rows])
    with pytest.raises(BenchError, match=f"the column '{name}' is missing"):
        _ = ExperimentResults(path.parent).summary
