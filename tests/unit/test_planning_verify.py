from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from factory import edit_json
from planned import tiny, write_data, write_diagnostics, write_reference, write_run
from settings import settings

from bench.__main__ import main
from bench.planning.verify import configs_of, verify
from bench.results.paths import DEFAULT, STEPS, Paths
from bench.results.records import AnalysisRecord
from bench.results.staleness import Staleness
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.provenance import packages

CONFIG = Path("config/tiny.yaml")
COMMAND = f"snakemake --cores all --configfile {CONFIG} --forcerun"
ONLY = {"seeds": [0]}


@pytest.fixture
def run(tmp_path):
    write_data(tmp_path, tiny(ONLY))
    return write_run(tmp_path, tiny(ONLY))


def findings(run, changes=None):
    return verify(tiny({**ONLY, **(changes or {})}), CONFIG, run.parents[3])


def test_what_was_just_made_agrees(run):
    assert findings(run) == []


def test_files_from_the_future_are_named_and_the_command_that_is_printed_mends_them(run):
    os.utime(run / "train.json", (time.time() + 86_400,) * 2)
    (finding,) = findings(run)
    assert "train.json" in finding.what
    subprocess.run(shlex.split(re.search("`(.*)`", finding.fix)[1]), check=True)
    assert findings(run) == []


def test_every_file_of_the_analysis_is_held_against_the_record_of_its_step(run):
    folder = run.parents[2]
    for step in ("summarize", "statistics", "claims", "tables", "figures", "report"):
        assert main([step, "--folder", str(folder)]) == 0
    assert findings(run) == []
    made = [path for path in folder.rglob("*") if path.is_file() and run not in path.parents]
    made.remove(folder / "data.json")
    assert {path.stem for path in made if path.parent.name == "analysis"} < {*STEPS}
    for path in made:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        (finding,) = findings(run)
        path.write_bytes(content)
        assert finding.where == str(path)
        assert finding.fix.startswith(f"`{COMMAND} {folder / 'analysis'}/")


def test_a_damaged_record_of_the_images_is_made_again_and_not_called_missing(run):
    about = run.parents[2] / "data.json"
    about.write_bytes(about.read_bytes()[:20])
    finding = findings(run)[0]
    assert finding.where == str(about)
    assert finding.fix.startswith(f"`{COMMAND} {about}` ")


def test_the_copied_summary_of_the_default_experiment_is_held_too(run):
    changes = {**ONLY, "experiment": DEFAULT}
    paths = Paths.of(DEFAULT, run.parents[3])
    paths.folder.mkdir()
    for path in (paths.summary, paths.default_summary):
        path.write_text("method,seed")
    AnalysisRecord.of(paths.folder, [paths.summary]).write(paths.analysis_record("summary"))
    before = verify(tiny(changes), CONFIG, run.parents[3])
    paths.default_summary.write_text("method")
    added = set(verify(tiny(changes), CONFIG, run.parents[3])) - set(before)
    assert [finding.where for finding in added] == [str(paths.default_summary)]


@pytest.mark.parametrize("record", ["train.json", "evaluation.json"])
@pytest.mark.parametrize(
    ("keys", "what"), [({"code_digest": "older"}, "code"), ({"data__fingerprint": "o"}, "images")]
)
def test_a_record_that_is_older_is_named(run, record, keys, what):
    edit_json(run / record, **keys)
    (finding,) = findings(run)
    assert finding.where == str(run / record)
    assert what in finding.what
    assert finding.fix.startswith(f"`{COMMAND} {run / record}` ")


@pytest.mark.parametrize(
    ("changes", "record", "key"),
    [
        ({"training.epochs": 3}, "train.json", "training.epochs"),
        ({"methods": {"trades": {"beta": 1}}}, "train.json", "options.beta"),
        ({"evaluation.batch_size": 30}, "evaluation.json", "evaluation.batch_size"),
    ],
)
def test_another_config_names_the_key(run, changes, record, key):
    (finding,) = findings(run, changes)
    assert finding.where == str(run / record)
    assert finding.what.endswith(key)


def test_only_a_package_reruns_nothing_by_itself(run):
    edit_json(run / "train.json", packages={**packages(), "torch": "0.1"})
    (finding,) = findings(run)
    assert f"torch 0.1 then, {packages()['torch']} here" in finding.what
    assert f"`{COMMAND} {run / 'train.json'}`" in finding.fix
    assert finding.stale is None


def test_a_package_of_the_evaluation_alone_has_no_part_in_weights(run):
    for record in ("train.json", "evaluation.json"):
        edit_json(run / record, packages={**packages(), "robustbench": "0.1"})
    (finding,) = findings(run)
    assert finding.where == str(run / "evaluation.json")
    assert f"`{COMMAND} {run / 'evaluation.json'}`" in finding.fix


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("last.safetensors", "train.json"),
        ("examples/best/pgd20.csv", "evaluation.json"),
    ],
)
@pytest.mark.parametrize("edited", [True, False])
def test_a_file_that_changed_or_is_gone_is_named(run, name, record, edited):
    path = run / name
    path.write_text("edited") if edited else path.unlink()
    (finding,) = findings(run)
    assert path.name in f"{finding.where} {finding.what}"
    assert finding.fix.startswith(f"`{COMMAND} {run / record}` ")


def test_every_file_that_a_record_has_the_digest_of_is_held_against_it(tmp_path):
    of = tiny({**ONLY, "diagnostics": {"images": 10}})
    write_data(tmp_path, of)
    run = write_run(tmp_path, of)
    witnesses = run / "witnesses" / "last.safetensors"
    witnesses.parent.mkdir()
    witnesses.write_bytes(b"images")
    edit_json(run / "evaluation.json", checkpoints__last__witnesses_sha256=sha256(witnesses))
    edit_json(run / "train.json", history_sha256=sha256(run / "history.csv"))
    write_diagnostics(tmp_path, of, "trades")
    assert verify(of, CONFIG, tmp_path) == []
    changed = {
        run / "history.csv": run / "train.json",
        witnesses: run / "evaluation.json",
        run / "diagnostics" / "curves.csv": run / "diagnostics" / "record.json",
    }
    for path in changed:
        path.write_bytes(path.read_bytes() + b"1")
    assert {Path(one.where): one.stale for one in verify(of, CONFIG, tmp_path)} == changed


def test_an_evaluation_of_earlier_weights_is_named(run):
    edit_json(run / "evaluation.json", checkpoints={})
    (finding,) = findings(run)
    assert finding.where == str(run / "evaluation.json")


def test_a_run_whose_start_has_other_weights_now_is_named(tmp_path):
    methods = {"trades": {"training": {"start": "standard"}}, "standard": {}}
    of = tiny({**ONLY, "methods": methods})
    first, second = write_run(tmp_path, of, "standard"), write_run(tmp_path, of)
    write_data(tmp_path, of)
    edit_json(second / "train.json", needed_sha256={"start": sha256(first / "best.safetensors")})
    assert verify(of, CONFIG, tmp_path) == []
    edit_json(second / "train.json", needed_sha256={"start": "f" * 64})
    (finding,) = verify(of, CONFIG, tmp_path)
    assert finding.where == str(second / "train.json")
    assert "standard" in finding.what


def test_a_run_is_as_stale_as_the_one_that_it_starts_from(tmp_path):
    methods = {"trades": {"training": {"start": "standard"}}, "standard": {}}
    of = tiny({**ONLY, "methods": methods})
    first, second = write_run(tmp_path, of, "standard"), write_run(tmp_path, of)
    write_data(tmp_path, of)
    edit_json(second / "train.json", needed_sha256={"start": sha256(first / "best.safetensors")})
    edit_json(first / "train.json", spec__training__batch_size=7)
    stale = Staleness(of, tmp_path)
    assert stale.training("standard", 0) == ["the config has another training.batch_size"]
    assert stale.training("trades", 0) == ["its start, standard, must be trained again"]


def test_runs_that_are_not_made_share_a_line(run):
    (finding,) = findings(run, {"seeds": [0, 1, 2]})
    assert "2 of 3 runs" in finding.what
    assert "(trades seed 1 and 1 more)" in finding.what


def test_a_reference_without_a_network_has_nothing_to_be_old(run):
    changes = {"reference": {"models": ["Some2020Model"]}}
    (finding,) = findings(run, changes)
    path = Path(finding.where)
    path.parent.mkdir(parents=True)
    path.write_text('{"method": "Some2020Model", "unavailable": "no network"}')
    assert findings(run, changes) == []
    write_reference(run.parents[3], tiny({**ONLY, **changes}), "Some2020Model")
    assert findings(run, changes) == []
    edit_json(path, code_digest="older")
    assert findings(run, changes)[0].where == str(path)


def test_configs_are_found_by_their_experiment(run, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    assert configs_of(run.parents[3], [folder]) == {"tiny": None}
    (folder / "a.yaml").write_text(yaml.safe_dump(settings({"experiment": "other"})))
    (folder / "b.yaml").write_text(yaml.safe_dump(settings()))
    (folder / "claims.yaml").write_text("claims: []")  # of no experiment
    assert configs_of(run.parents[3], [folder]) == {"tiny": folder / "b.yaml"}
    with pytest.raises(BenchError, match="--results"):
        configs_of(tmp_path / "nowhere", [folder])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """One experiment with a config and results where the workflow has them; its run."""
    monkeypatch.chdir(tmp_path)
    write_data(Path("results"), tiny(ONLY))
    CONFIG.parent.mkdir()
    CONFIG.write_text(yaml.safe_dump(settings(ONLY)))
    return write_run(Path("results"), tiny(ONLY))


@pytest.mark.parametrize("results", ["results", "{}/results"])
def test_the_exit_code_says_whether_all_agrees(here, tmp_path, capsys, results):
    arguments = ["verify", "--config", str(CONFIG), "--results", results.format(tmp_path)]
    assert main(arguments) == 0
    assert capsys.readouterr().out == "tiny: all agrees\n"
    for record in ("train.json", "evaluation.json"):
        edit_json(here / record, code_digest="older")
    assert main(arguments) == 1
    trained, evaluated, every = capsys.readouterr().out.splitlines()
    assert trained.startswith(f"{here / 'train.json'}: ")
    assert evaluated.startswith(f"{here / 'evaluation.json'}: ")
    assert every.endswith(f"`{COMMAND} {here / 'train.json'} {here / 'evaluation.json'}`")


def test_no_command_names_files_that_the_workflow_does_not_make(here, capsys):
    Path("results").rename("published")
    path = Path("published").joinpath(*here.parts[1:], "train.json")
    edit_json(path, code_digest="older")
    assert main(["verify", "--config", str(CONFIG), "--results", "published"]) == 1
    found, fix = capsys.readouterr().out.splitlines()
    assert found.startswith(f"{path}: ")
    assert f"`snakemake --cores all --configfile {CONFIG}`" in fix
    assert "--forcerun" not in fix


@pytest.mark.parametrize("name", ["another", "zoo"])
def test_results_without_a_config_do_not_hide_the_others(here, capsys, name):
    Path("results", name, "models").mkdir(parents=True)
    assert main(["verify"]) == 1
    said = capsys.readouterr().out.splitlines()
    strange = f"results/{name}: no file in config names this experiment; give its config with "
    assert sorted(said) == [f"{strange}--config", "tiny: all agrees"]
