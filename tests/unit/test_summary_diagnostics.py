"""What the diagnostics found is in the flags of summary.csv, or the summary is not written."""

from __future__ import annotations

from pathlib import Path

import pytest
from diagnosed import write_diagnostics, write_transfer
from factory import ResultsFactory, edit_json
from summed import table, written

from bench.__main__ import main
from bench.results.columns import SUMMARY
from bench.results.flags import flags_of
from bench.runtime.errors import BenchError


@pytest.fixture
def folder(results_factory: ResultsFactory) -> Path:
    return results_factory.all()


def flags(
    folder: Path, diagnosed: list[tuple[str, int]] | None = None
) -> dict[tuple[str, int, str, str], set[str]]:
    """Return the flags of diagnostics of each row."""
    return {
        (row.method, row.seed, row.checkpoint, row.attack): {
            flag for flag in flags_of([row.flags]) if flag.startswith("diagnostics")
        }
        for row in table(folder, diagnosed=diagnosed).itertuples()
    }


def test_a_failed_check_flags_every_attacked_row_of_that_network(results_factory, folder):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero", "linearity"])
    write_diagnostics(results_factory, "memloss_v1", 0)
    for (method, seed, checkpoint, attack), found in flags(folder).items():
        has_record = (method, seed, checkpoint) == ("trades", 0, "best")
        expected = {"diagnostics_eps_zero", "diagnostics_linearity"} if has_record else set()
        assert found == (expected if attack != "clean" else set())


def test_what_transfers_flags_the_network_that_it_breaks(results_factory, folder):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero"])
    write_transfer(results_factory, weak="trades")
    found = flags(folder)
    both = {"diagnostics_eps_zero", "diagnostics_transfer_stronger"}
    assert found["trades", 0, "best", "pgd20"] == both
    assert found["memloss_v1", 0, "best", "pgd20"] == set()


def test_results_without_diagnostics_are_summarized_as_ever(results_factory, folder):
    assert not any(flags(folder).values())
    before = SUMMARY.text(table(folder))
    write_diagnostics(results_factory, "trades", 0)
    assert SUMMARY.text(table(folder)) == before


def test_only_the_diagnostics_that_are_asked_for_count(results_factory, folder):
    write_diagnostics(results_factory, "trades", 0, failed=["eps_zero"])
    write_transfer(results_factory, weak="trades")
    assert not any(flags(folder, diagnosed=[]).values())
    with pytest.raises(BenchError, match=r"seed1/diagnostics/record\.json: missing; make it again"):
        flags(folder, diagnosed=[("trades", 0), ("trades", 1)])
    assert any("diagnostics_eps_zero" in row["flags"] for row in written(folder))


def test_a_diagnosis_has_its_cost(results_factory, folder):
    write_diagnostics(results_factory, "trades", 1)
    written(folder)
    lines = (folder / "costs.csv").read_text().splitlines()
    assert "digits,trades,1,diagnose,,,4.50,,cpu,,," in lines
    assert len([line for line in lines if ",diagnose," in line]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data__fingerprint": "0" * 64}, "its data fingerprint is 000"),
        ({"experiment": "other"}, "its experiment is other, in train.json it is digits"),
        ({"seed": 1}, "it is the record of trades seed 1"),
        ({"checkpoints__best__weights_sha256": "0"}, "it is about other weights than the checkpo"),
        ({"sha256__curves": "0"}, r"curves\.csv: changed since its record was written"),
        ({"checkpoints__best__checks": 3}, "damaged or of another version"),
    ],
)
def test_a_record_that_does_not_agree_stops_the_summary(results_factory, folder, change, message):
    place = write_diagnostics(results_factory, "trades", 0)
    edit_json(place / "record.json", **change)
    with pytest.raises(BenchError, match=message) as said:
        flags(folder)
    assert f"--forcerun {place / 'record.json'}` and the --configfile" in str(said.value)
    assert main(["summarize", "--folder", str(folder)]) == 1
    assert not (folder / "summary.csv").exists()


@pytest.mark.parametrize("lost", ["curves", "surfaces"])
def test_a_lost_table_is_named(results_factory, folder, lost):
    (write_diagnostics(results_factory, "trades", 0) / f"{lost}.csv").unlink()
    with pytest.raises(BenchError, match=rf"{lost}\.csv: missing; make it again"):
        flags(folder)


def test_transfer_of_other_weights_stops_the_summary(results_factory, folder):
    write_diagnostics(results_factory, "trades", 0)
    path = write_transfer(results_factory)
    edit_json(path, checkpoints__best__trades__weights_sha256="0")
    message = r"seed0\.json: it is about other weights .*--forcerun .*seed0\.json` and the --conf"
    with pytest.raises(BenchError, match=message):
        flags(folder)
