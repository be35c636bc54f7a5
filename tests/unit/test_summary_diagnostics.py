"""What the diagnostics found is in the flags of summary.csv, or the summary is not written."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from examinations import write_diagnostics, write_transfer
from factory import ResultsFactory, edit_json

from bench.__main__ import main
from bench.analysis.summary import summarize
from bench.results.diagnostics import shown_checkpoint, shown_rows
from bench.runtime.errors import BenchError

Flags = dict[tuple[str, str, str, str], set[str]]


@pytest.fixture
def reported(tmp_path: Path) -> Path:
    path = tmp_path / "reported.csv"
    path.write_text(
        "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"
    )
    return path


@pytest.fixture
def folder(results_factory: ResultsFactory) -> Path:
    return results_factory.all()


def flags(folder: Path, reported: Path, diagnosed: list[tuple[str, int]] | None = None) -> Flags:
    summarize(folder, expected=None, reported=reported, diagnosed=diagnosed)
    with (folder / "summary.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["method"], row["seed"], row["checkpoint"], row["attack"]): {
                flag for flag in row["flags"].split(";") if flag.startswith("diagnostics")
            }
            for row in csv.DictReader(file)
        }


def test_a_failed_check_flags_every_attacked_row_of_that_network(results_factory, folder, reported):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero", "linearity"])
    write_diagnostics(results_factory, "memloss_v1", 0)
    for (method, seed, checkpoint, attack), found in flags(folder, reported).items():
        examined = (method, seed, checkpoint) == ("trades", "0", "best")
        expected = {"diagnostics_eps_zero", "diagnostics_linearity"} if examined else set()
        assert found == (expected if attack != "clean" else set())


def test_what_transfers_flags_the_network_that_it_breaks(results_factory, folder, reported):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero"])
    write_transfer(results_factory, weak="trades")
    found = flags(folder, reported)
    both = {"diagnostics_eps_zero", "diagnostics_transfer_stronger"}
    assert found["trades", "0", "best", "pgd20"] == both
    assert found["memloss_v1", "0", "best", "pgd20"] == set()


def test_results_without_diagnostics_are_summarized_as_ever(results_factory, folder, reported):
    assert not any(flags(folder, reported).values())
    before = (folder / "summary.csv").read_bytes()
    write_diagnostics(results_factory, "trades", 0)
    flags(folder, reported)
    assert (folder / "summary.csv").read_bytes() == before


def test_only_the_diagnostics_that_are_asked_for_count(results_factory, folder, reported):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero"])
    write_transfer(results_factory, weak="trades")
    assert not any(flags(folder, reported, diagnosed=[]).values())
    with pytest.raises(BenchError, match=r"seed1/diagnostics/record\.json: missing; remake it"):
        flags(folder, reported, diagnosed=[("trades", 0), ("trades", 1)])
    assert main(["summarize", "--folder", str(folder), "--reported", str(reported)]) == 0
    assert "diagnostics_eps_zero" in (folder / "summary.csv").read_text()


def test_an_examination_has_its_cost(results_factory, folder, reported):
    write_diagnostics(results_factory, "trades", 1)
    flags(folder, reported)
    lines = (folder / "costs.csv").read_text().splitlines()
    assert "digits,trades,1,diagnose,,,4.50,,cpu,,," in lines
    assert len([line for line in lines if ",diagnose," in line]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data__fingerprint": "0" * 64}, "its data fingerprint is 000"),
        ({"experiment": "other"}, "its experiment is other, in train.json it is digits"),
        ({"seed": 1}, "it is the record of trades seed 1"),
        ({"checkpoints__best__weights_sha256": "0"}, "it examined other weights than the checkpo"),
        ({"sha256__curves": "0"}, r"curves\.csv: changed since its record was written"),
        ({"checkpoints__best__checks": 3}, "not a complete record"),
    ],
)
def test_a_record_that_does_not_agree_stops_the_summary(
    results_factory, folder, reported, change, message
):
    place = write_diagnostics(results_factory, "trades", 0)
    edit_json(place / "record.json", **change)
    with pytest.raises(BenchError, match=message) as said:
        flags(folder, reported)
    assert f"--forcerun {place / 'record.json'}` and the --configfile" in str(said.value)
    assert not (folder / "summary.csv").exists()


@pytest.mark.parametrize("lost", ["curves", "surfaces"])
def test_a_lost_table_is_named(results_factory, folder, reported, lost):
    (write_diagnostics(results_factory, "trades", 0) / f"{lost}.csv").unlink()
    with pytest.raises(BenchError, match=rf"{lost}\.csv: missing; remake it"):
        flags(folder, reported)


def test_transfer_of_other_weights_stops_the_summary(results_factory, folder, reported):
    write_diagnostics(results_factory, "trades", 0)
    path = write_transfer(results_factory)
    edit_json(path, checkpoints__best__trades__weights_sha256="0")
    message = r"seed0\.json: it examined other weights .*--forcerun .*seed0\.json` and the --conf"
    with pytest.raises(BenchError, match=message):
        flags(folder, reported)


def test_figures_show_the_best_checkpoint_where_both_were_examined():
    rows = [{"checkpoint": name, "x": x} for name in ("last", "best") for x in "12"]
    assert shown_checkpoint(["last", "best"]) == "best"
    assert shown_rows(rows) == rows[2:]
    assert shown_rows(rows[:2]) == rows[:2]
    assert shown_rows([]) == []
