"""Diagnostics that are missing or no longer fit, as plan, verify and the local runner see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from factory import edit_json
from planned import (
    configure,
    make_newer,
    run_jobs,
    tiny,
    watch_jobs,
    write_data,
    write_diagnostics,
    write_run,
    write_transfer,
)

from bench.config.experiment import Experiment
from bench.planning.costs import FEW, FORWARDS, LINEARITY, OTHER_LOSSES, RADII
from bench.planning.plan import as_text, make_plan
from bench.planning.verify import verify
from bench.results.paths import Paths
from bench.results.staleness import Staleness

ASKED = {"diagnostics": {"images": 10}, "methods.standard": {}}
LABELS = ("trades", "standard")


@pytest.fixture
def of() -> Experiment:
    return tiny(ASKED)


@pytest.fixture
def results(tmp_path: Path, of: Experiment) -> Path:
    """Runs of seed 0 with diagnostics and transfer as their jobs would leave them."""
    write_data(tmp_path, of)
    for label in LABELS:
        write_run(tmp_path, of, label)
        write_diagnostics(tmp_path, of, label)
    write_transfer(tmp_path, of)
    return tmp_path


def why(results: Path, of: Experiment) -> list[str]:
    return Staleness(of, results).diagnostics("trades", 0)


def why_transfer(results: Path, of: Experiment) -> list[str]:
    return Staleness(of, results).transfer(0)


def forget_diagnostics(results: Path) -> None:
    for record in results.glob("tiny/models/*/seed0/diagnostics/record.json"):
        record.unlink()


def record_of(results: Path) -> Path:
    return Paths.of("tiny", results).run("trades", 0).diagnostics_record


def test_what_was_just_diagnosed_agrees(results, of):
    assert why(results, of) == []
    assert why_transfer(results, of) == []


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"code_digest": "older"}, "code"),
        ({"spec__batch_size": 7}, "batch_size"),
        ({"spec": {}}, "record.json"),
        ({"data__fingerprint": "others"}, "images"),
        ({"checkpoints__best__weights_sha256": "0"}, "weights"),
    ],
)
def test_a_record_that_no_longer_fits_says_why(results, of, keys, reason):
    edit_json(record_of(results), **keys)
    (said,) = why(results, of)
    assert reason in said
    (finding,) = [f for f in verify(of, Path("tiny.yaml"), results) if "diagnostics" in f.where]
    assert finding.what == said
    assert finding.stale == record_of(results)


def test_evaluations_made_since_count(results, of):
    evaluated = record_of(results).parents[1] / "evaluation.json"
    make_newer(evaluated, record_of(results))
    assert len(why(results, of)) == 1
    make_newer(evaluated, Paths.of("tiny", results).transfer_record(0))
    assert len(why_transfer(results, of)) == 1


@pytest.mark.parametrize("name", ["curves.csv", "surfaces.csv", "record.json"])
def test_a_lost_file_of_diagnostics_is_to_do_again(results, of, name):
    record_of(results).with_name(name).unlink()
    assert len(why(results, of)) == 1


@pytest.mark.parametrize("name", ["seed0.csv", "seed0.json"])
def test_a_lost_file_of_transfer_is_to_do_again(results, of, name):
    (results / "tiny" / "transfer" / name).unlink()
    assert len(why_transfer(results, of)) == 1


def test_transfer_between_other_methods_does_not_count(results):
    more = tiny({**ASKED, "methods.mart": {}})
    assert len(why_transfer(results, more)) == 1


def test_verify_names_a_missing_transfer_once_all_runs_are_evaluated(results, of):
    (results / "tiny" / "transfer" / "seed0.json").unlink()
    (found,) = [f for f in verify(of, Path("tiny.yaml"), results) if "transfer" in f.where]
    assert found.stale == Paths.of("tiny", results).transfer_record(0)
    (record_of(results).parents[1] / "evaluation.json").unlink()
    found = verify(of, Path("tiny.yaml"), results)
    assert not [finding for finding in found if "transfer" in finding.where]


def test_without_diagnostics_in_the_config_none_are_looked_for(results):
    record_of(results).unlink()
    plain = tiny({"methods.standard": {}})
    found = verify(plain, Path("tiny.yaml"), results)
    assert not [finding for finding in found if "diagnostics" in finding.where]
    assert "diagnostics" not in as_text(make_plan(plain, results))


def test_a_plan_counts_what_is_to_be_diagnosed(results, of):
    def diagnosed() -> list[tuple[int, int]]:
        planned = [row.jobs["diagnose"] for row in make_plan(of, results).rows]
        return [(jobs.total, jobs.to_do) for jobs in planned]

    assert diagnosed() == [(1, 0), (1, 0)]
    record_of(results).unlink()
    assert diagnosed() == [(1, 1), (1, 0)]
    text = as_text(make_plan(of, results))
    assert "h/diagnose" in text
    assert "1 diagnostics" in text


def test_a_plan_takes_the_hours_of_diagnostics_from_pgd_and_then_from_diagnostics(results, of):
    only = tiny({**ASKED, "diagnostics.transfer": False})
    asked = only.diagnostics
    assert asked is not None
    gradients = (
        (RADII + asked.restarts + OTHER_LOSSES) * asked.steps
        + asked.max_steps
        + LINEARITY
        + FEW
        + asked.square_queries / FORWARDS
    )
    forget_diagnostics(results)
    # 30 seconds of 20 steps on 300 images, and what diagnostics took of 10 images.
    by_pgd = make_plan(only, results).rows[0].jobs["diagnose"].seconds
    assert by_pgd == pytest.approx(10 * gradients * 30 / (20 * 300))
    write_diagnostics(results, only, "trades")
    assert make_plan(only, results).rows[0].jobs["diagnose"].seconds == pytest.approx(50)
    twice = tiny({**ASKED, "diagnostics.transfer": False, "diagnostics.images": 20})
    assert make_plan(twice, results).rows[0].jobs["diagnose"].seconds == pytest.approx(100)


def test_trying_images_on_other_networks_adds_to_the_hours(results, of):
    forget_diagnostics(results)
    alone = tiny({**ASKED, "diagnostics.transfer": False})
    apart, tried = (make_plan(config, results).rows[0] for config in (alone, of))
    assert apart.jobs["diagnose"].seconds is not None
    assert of.diagnostics is not None
    # For ten images PGD once more, and one query to each of the two networks.
    more = 10 * (of.diagnostics.steps + 2 / FORWARDS) * 30 / (20 * 300)
    assert tried.jobs["diagnose"].seconds - apart.jobs["diagnose"].seconds == pytest.approx(more)


# The local runner

QUICKEST: dict[str, Any] = {
    "seeds": [0],
    "training.epochs": 1,
    "diagnostics": {
        "images": 10,
        "steps": 4,
        "max_steps": 5,
        "restarts": 2,
        "square_queries": 5,
    },
}


@pytest.mark.slow
def test_the_runner_diagnoses_too_and_nothing_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    configure(QUICKEST)
    assert run_jobs() == 0
    said = capsys.readouterr().out
    for label in LABELS:
        assert f"{label} seed 0: diagnose (record.json is missing)" in said
        folder = Path("results/tiny/models") / label / "seed0" / "diagnostics"
        assert json.loads((folder / "record.json").read_text())["method"] == label
    assert "seed 0: transfer (seed0.json is missing)" in said
    assert Path("results/tiny/transfer/seed0.json").is_file()
    done = watch_jobs(monkeypatch)
    assert run_jobs() == 0
    assert done == []
    assert "transfer" not in capsys.readouterr().out
    Path("results/tiny/models/trades/seed0/diagnostics/curves.csv").unlink()
    assert run_jobs("--methods", "trades") == 0
    assert done == ["diagnose trades/0"]


def test_nothing_is_tried_on_others_before_all_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    configure(QUICKEST)
    assert run_jobs("--methods", "standard") == 0
    assert "transfer" not in capsys.readouterr().out
    assert not Path("results/tiny/transfer").exists()
