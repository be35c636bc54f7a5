"""Diagnostics that are missing or no longer fit, as plan, verify and a sitting see them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from planned import change, tiny, write_data, write_run
from settings import settings

from bench.__main__ import main
from bench.config.experiment import Experiment, spec_json
from bench.planning import local_runner as sitting
from bench.planning.costs import LINEARITY, QUERIES, RADII
from bench.planning.plan import as_text, make_plan
from bench.planning.verify import verify
from bench.results.staleness import examining_differs, recorded, transfer_differs
from bench.runtime.files import read_json, write_json
from bench.runtime.provenance import diagnose_digest, transfer_digest

ASKED = {"diagnostics": {"images": 10}, "methods.standard": {}}
LABELS = ("trades", "standard")


@pytest.fixture
def of() -> Experiment:
    return tiny(ASKED)


@pytest.fixture
def results(tmp_path: Path, of: Experiment) -> Path:
    """Runs of seed 0 with diagnostics and transfer as their jobs would leave them."""
    write_data(tmp_path, of)
    spec = spec_json(of.diagnostics_spec())
    for label in LABELS:
        folder = write_run(tmp_path, of, label)
        best = read_json(folder / "train.json")["checkpoints"]["best"]
        record = {
            "spec": spec,
            "code_digest": diagnose_digest(of.model.name),
            "checkpoints": {"best": best},
        }
        write_json(folder / "diagnostics" / "record.json", record)
    path = tmp_path / "tiny" / "transfer" / "seed0.json"
    code = transfer_digest(of.model.name)
    write_json(path, {"spec": spec, "code_digest": code, "methods": list(LABELS)})
    path.with_suffix(".csv").touch()
    return tmp_path


def why(results: Path, of: Experiment) -> list[str]:
    (run,) = (run for run in recorded(of, results) if (run.label, run.seed) == ("trades", 0))
    return examining_differs(run, of)


def record_of(results: Path) -> Path:
    return results / "tiny" / "models" / "trades" / "seed0" / "diagnostics" / "record.json"


def test_what_was_just_examined_agrees(results, of):
    assert why(results, of) == []
    assert transfer_differs(results / "tiny", 0, of) == []


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"code_digest": "older"}, "the code that examines it has changed"),
        ({"spec": {}}, "the config has another"),
        ({"checkpoints": {"best": {"weights_sha256": "0"}}}, "it was examined with other weights"),
    ],
)
def test_a_record_that_no_longer_fits_says_why(results, of, keys, reason):
    change(record_of(results), **keys)
    (said,) = why(results, of)
    assert said.startswith(reason)
    (finding,) = [f for f in verify(of, Path("tiny.yaml"), results) if "diagnostics" in f.where]
    assert finding.what == said
    assert finding.remedy.endswith("examines it again")


def test_verdicts_made_since_count(results, of):
    judged = record_of(results).parents[1] / "evaluation.json"
    later = record_of(results).stat().st_mtime + 10
    os.utime(judged, (later, later))
    assert why(results, of) == ["it was judged since"]
    later += (results / "tiny" / "transfer" / "seed0.json").stat().st_mtime
    os.utime(judged, (later, later))
    assert transfer_differs(results / "tiny", 0, of) == ["a run was judged since"]


def test_a_missing_record_says_so(results, of):
    record_of(results).unlink()
    assert why(results, of) == ["it is not examined"]
    (results / "tiny" / "transfer" / "seed0.csv").unlink()
    assert transfer_differs(results / "tiny", 0, of) == ["it has not been tried"]


def test_transfer_between_other_methods_does_not_count(results):
    more = tiny({**ASKED, "methods.mart": {}})
    assert transfer_differs(results / "tiny", 0, more) == ["the config has other methods"]


def test_verify_names_what_has_not_been_tried_once_all_runs_are_judged(results, of):
    (results / "tiny" / "transfer" / "seed0.json").unlink()
    (found,) = [f for f in verify(of, Path("tiny.yaml"), results) if "transfer" in f.where]
    assert (found.what, found.remedy[-14:]) == ("it has not been tried", "tries it again")
    (record_of(results).parents[1] / "evaluation.json").unlink()
    found = verify(of, Path("tiny.yaml"), results)
    assert not [finding for finding in found if "transfer" in finding.where]


def test_without_diagnostics_in_the_config_none_are_looked_for(results):
    record_of(results).unlink()
    plain = tiny({"methods.standard": {}})
    found = verify(plain, Path("tiny.yaml"), results)
    assert not [finding for finding in found if "diagnostics" in finding.where]
    assert "diagnostics" not in as_text(make_plan(plain, results))


def test_a_plan_counts_what_is_to_be_examined(results, of):
    def examined() -> list[tuple[int, int]]:
        return [(row.examined, row.examine) for row in make_plan(of, results).rows]

    assert examined() == [(1, 0), (1, 0)]
    record_of(results).unlink()
    assert examined() == [(1, 1), (1, 0)]
    text = as_text(make_plan(of, results))
    assert "h/examining" in text
    assert "1 diagnostics" in text


def test_a_plan_takes_the_hours_of_diagnostics_from_pgd_and_then_from_diagnostics(results, of):
    only = tiny({**ASKED, "diagnostics.transfer": False})
    asked = only.diagnostics
    assert asked is not None
    gradients = (
        (RADII + asked.restarts) * asked.steps
        + asked.most_steps
        + LINEARITY
        + asked.square_queries / QUERIES
    )
    # 30 seconds of 20 steps on 300 images, and what diagnostics took of 10 images.
    by_pgd = make_plan(only, results).rows[0].examine_seconds
    assert by_pgd == pytest.approx(10 * gradients * 30 / (20 * 300))
    change(record_of(results), seconds=50.0)
    assert make_plan(only, results).rows[0].examine_seconds == pytest.approx(50)
    twice = tiny({**ASKED, "diagnostics.transfer": False, "diagnostics.images": 20})
    assert make_plan(twice, results).rows[0].examine_seconds == pytest.approx(100)


def test_trying_images_on_other_networks_adds_to_the_hours(results, of):
    alone = tiny({**ASKED, "diagnostics.transfer": False})
    apart, tried = (make_plan(config, results).rows[0] for config in (alone, of))
    assert apart.examine_seconds is not None
    assert of.diagnostics is not None
    # For ten images PGD once more, and one query to each of the two networks.
    more = 10 * (of.diagnostics.steps + 2 / QUERIES) * 30 / (20 * 300)
    assert tried.examine_seconds - apart.examine_seconds == pytest.approx(more)


# A sitting

CHANGES: dict[str, Any] = {
    "seeds": [0],
    "data.train_images": 60,
    "data.test_images": 10,
    "model.width": 4,
    "threat.eps": "0.2",
    "training.epochs": 1,
    "training.attack.steps": 4,
    "training.validation_attack.steps": 4,
    "training.crop": 1,
    "evaluation.pgd.pgd20.steps": 4,
    "methods.standard": {},
    "diagnostics": {
        "images": 10,
        "steps": 4,
        "most_steps": 5,
        "restarts": 2,
        "square_queries": 5,
    },
}


def test_a_sitting_examines_too_and_nothing_twice(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(settings(CHANGES)))
    assert main(["run", "--config", "tiny.yaml"]) == 0
    said = capsys.readouterr().out
    for label in LABELS:
        assert f"{label} seed 0: diagnose (it is not examined)" in said
        folder = Path("results/tiny/models") / label / "seed0" / "diagnostics"
        assert json.loads((folder / "record.json").read_text())["method"] == label
    assert "seed 0: transfer (it has not been tried)" in said
    assert Path("results/tiny/transfer/seed0.json").is_file()
    done: list[str] = []
    for name in ("_train", "_evaluate", "_diagnose"):
        original = getattr(sitting, name)

        def spy(of, run, data, name=name, original=original):
            done.append(name)
            original(of, run, data)

        monkeypatch.setattr(sitting, name, spy)
    assert main(["run", "--config", "tiny.yaml"]) == 0
    assert done == []
    assert "transfer" not in capsys.readouterr().out
    Path("results/tiny/models/trades/seed0/diagnostics/curves.csv").unlink()
    assert main(["run", "--config", "tiny.yaml", "--methods", "trades"]) == 0
    assert done == ["_diagnose"]


def test_nothing_is_tried_on_others_before_all_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(settings(CHANGES)))
    assert main(["run", "--config", "tiny.yaml", "--methods", "standard"]) == 0
    assert "transfer" not in capsys.readouterr().out
    assert not Path("results/tiny/transfer").exists()
