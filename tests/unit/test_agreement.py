"""Records made under other settings than the config's are put into no table."""

from __future__ import annotations

import json

import pytest
import yaml
from factory import edit_json
from settings import settings

from bench.__main__ import main
from bench.config.experiment import experiment, spec_json

HEADER = "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"


@pytest.fixture
def made(results_factory):
    """Two runs whose records say that they were made under the small configuration."""
    config = experiment(settings())
    runs = [results_factory.run("trades", seed) for seed in config.seeds]
    for run, seed in zip(runs, config.seeds, strict=True):
        spec = spec_json(config.train_spec("trades", seed))
        edit_json(run / "train.json", experiment="tiny", spec=spec)
        evaluated = spec_json(config.evaluation_spec())
        edit_json(run / "evaluation.json", experiment="tiny", spec=evaluated)
    return runs


@pytest.fixture
def summarize(results_factory, tmp_path, capsys):
    """Summarize by the command, and return what it says on standard error; no file if anything."""
    reported = tmp_path / "reported.csv"
    reported.write_text(HEADER)
    folder = results_factory.folder

    def run(*what: str) -> str:
        code = main(["summarize", *what, "--folder", str(folder), "--reported", str(reported)])
        said = capsys.readouterr().err
        assert code == bool(said)
        assert said.count("\n") == code
        assert (folder / "summary.csv").exists() == (not said)
        return said

    return run


@pytest.fixture
def config(tmp_path):
    def write(**changes):
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump(settings(changes)))
        return "--config", str(path)

    return write


def test_records_of_the_config_are_summarized_by_config_and_by_spec(made, summarize, config):
    assert not summarize(*config())
    assert not summarize("--spec", json.dumps(spec_json(experiment(settings()))))
    assert not summarize()


def test_the_config_says_which_runs_are_read(made, summarize, config, results_factory):
    assert not summarize(*config(seeds=[1]))
    rows = (results_factory.folder / "summary.csv").read_text().splitlines()[1:]
    assert {row.split(",")[4] for row in rows} == {"1"}


@pytest.mark.parametrize(
    ("changes", "record", "key"),
    [
        ({"training.optimizer.learning_rate": 0.2}, "train.json", "training.optimizer.learning_ra"),
        ({"methods": {"trades": {"beta": 1}}}, "train.json", "options.beta"),
        ({"evaluation.pgd.pgd20.restarts": 2}, "evaluation.json", "evaluation.pgd.pgd20.restarts"),
    ],
)
def test_a_record_of_other_settings_stops_the_summary(
    made, summarize, config, changes, record, key
):
    said = summarize(*config(**changes))
    assert said.startswith(f"error: {made[0] / record}: made with another {key}")
    assert f"--forcerun {made[0] / record}`" in said


def test_a_record_of_another_experiment_stops_the_summary(made, summarize, config):
    said = summarize(*config(experiment="other"))
    assert said.startswith(f"error: {made[0] / 'train.json'}: ")
    assert "'other'" in said


def test_runs_that_are_not_made_are_counted_and_can_be_left_out(
    made, summarize, config, results_factory
):
    flag, path = config(methods={"trades": {}, "mart": {}, "standard": {}})
    said = summarize(flag, path)
    assert said.startswith(f"error: {results_factory.folder}: 4 of the 6 runs of {path} ")
    assert "(mart seed 0 and 3 more)" in said
    assert f"`snakemake --cores all --configfile {path}`" in said
    assert not summarize()


def test_a_run_that_is_not_evaluated_cannot_be_left_out(made, summarize, config):
    (made[1] / "evaluation.json").unlink()
    said = summarize(*config())
    assert "1 of the 2 runs" in said
    assert "(trades seed 1); " in said


def test_a_folder_or_a_config_is_needed(capsys):
    assert main(["summarize"]) == 1
    assert capsys.readouterr().err == "error: --folder is needed without --config\n"
