from __future__ import annotations

import builtins
import json

import pytest
import yaml
from factory import edit_json
from planned import FINGERPRINT, TRAINED, tiny, write_data, write_run
from settings import settings

from bench.__main__ import main
from bench.config.experiment import experiment
from bench.planning.costs import Rates
from bench.planning.plan import ASSUMED, KEPT, UNKNOWN, UNREAD, as_text, make_plan
from bench.planning.sizes import Size
from bench.runtime.errors import ConfigError


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


MODEL = tiny().model.label
COSTS = {"autoattack": 0.5, "clean": 1.0, "pgd": 1.0}


def row_of(plan, label="trades"):
    return next(row for row in plan.rows if row.label == label)


def to_do(row):
    return row.jobs["train"].to_do, row.jobs["evaluate"].to_do


def test_of_nothing_everything_is_to_do(results):
    row = row_of(make_plan(tiny(), results))
    assert (row.jobs["train"].total, to_do(row)) == (2, (2, 2))
    assert row.left is None


def test_networks_of_others_alone_have_a_plan(results):
    raw = settings({"networks": {"a": {"weights": {0: "a.pt", 1: "b.pt"}}}})
    for key in ("seeds", "model", "training", "methods"):
        del raw[key]
    write_data(results, tiny())
    plan = make_plan(experiment(raw), results)
    assert plan.rows == ()
    assert "2 to take, 2 to evaluate, 0 to diagnose" in as_text(plan)


def test_what_agrees_is_done(results):
    write_data(results, tiny())
    write_run(results, tiny(), seed=0)
    row = row_of(make_plan(tiny(), results))
    assert to_do(row) == (1, 1)


@pytest.mark.parametrize(
    ("record", "keys", "left"),
    [
        ("train.json", {"code_digest": "older"}, (1, 1)),
        ("train.json", {"spec": {}}, (1, 1)),
        ("evaluation.json", {"code_digest": "older"}, (0, 1)),
        ("evaluation.json", {"spec": {}}, (0, 1)),
        ("evaluation.json", {"checkpoints": {}}, (0, 1)),
    ],
)
def test_what_is_older_is_to_do_again(results, record, keys, left):
    only = tiny({"seeds": [0]})
    write_data(results, only)
    edit_json(write_run(results, only) / record, **keys)
    row = row_of(make_plan(only, results))
    assert to_do(row) == left


@pytest.mark.parametrize("lost", ["last.safetensors", "history.csv", "train.json"])
def test_a_lost_file_is_to_do_again(results, lost):
    only = tiny({"seeds": [0]})
    (write_run(results, only) / lost).unlink()
    row = row_of(make_plan(only, results))
    assert to_do(row) == (1, 1)


def test_a_record_cut_short_counts_for_nothing(results):
    only = tiny({"seeds": [0]})
    (write_run(results, only) / "evaluation.json").write_text('{"spec": ')
    assert row_of(make_plan(only, results)).jobs["evaluate"].to_do == 1


def test_hours_come_from_what_runs_took(results):
    write_run(results, tiny(), seed=0, seconds=60.0)
    more = tiny({"training.epochs": 20, "evaluation.pgd.pgd20.steps": 40})
    row = row_of(make_plan(more, results))
    assert row.jobs["train"].seconds == pytest.approx(600)  # two epochs took a minute
    assert row.jobs["evaluate"].seconds == pytest.approx(2 * (3 + 60))
    assert row.left == pytest.approx(2 * (600 + 126))
    assert row.basis == "recorded"


def test_finished_runs_cost_nothing_more(results):
    for seed in (0, 1):
        write_run(results, tiny(), seed=seed)
    plan = make_plan(tiny(), results)
    assert row_of(plan).left == 0
    assert row_of(plan).whole == pytest.approx(2 * (60 + 66))


def test_evaluations_that_keep_some_attacks_are_told(results):
    for seed in (0, 1):
        write_run(results, tiny(), seed=seed)
    assert row_of(make_plan(tiny(), results)).again == 0
    more = tiny({"evaluation.pgd.pgd50.steps": 50})
    assert KEPT.format(2) in as_text(make_plan(more, results))
    retrained = tiny({"evaluation.pgd.pgd50.steps": 50, "training.epochs": 3})
    assert row_of(make_plan(retrained, results)).again == 0


def test_a_trial_tells_only_what_no_record_does(results):
    write_run(results, tiny(), seed=0)
    asked = []

    def trial(size: Size) -> Rates:
        asked.append(size)
        return Rates(attacks={(MODEL, "", kind): [rate] for kind, rate in COSTS.items()})

    attacked = tiny({"evaluation.autoattack": {"version": "standard"}})
    plan = make_plan(attacked, results, trial)
    assert [size.shape for size in asked] == [(1, 8, 8)]
    assert row_of(plan).jobs["train"].seconds == pytest.approx(60)
    assert row_of(plan).jobs["evaluate"].seconds == pytest.approx(600 + 2 * 300 * 20 + 150)
    assert row_of(plan).basis == "recorded, trial"
    assert ASSUMED in as_text(plan)


def test_without_any_record_the_text_names_the_trial(results):
    assert f"device hours left: {UNKNOWN}" in as_text(make_plan(tiny(), results))


def test_images_of_unknown_shape_are_to_be_read_first(results):
    unread = tiny({"data": {"source": "folder", "name": "mine", "path": "data/mine"}})
    text = as_text(make_plan(unread, results, lambda size: pytest.fail("tried without a shape")))
    assert f"device hours left: {UNREAD}" in text
    assert f"disk: {UNREAD}" in text


def test_disk_has_two_checkpoints_a_run(results):
    write_run(results, tiny(), seed=0)
    disk = make_plan(tiny(), results).disk
    assert disk is not None
    assert disk["weights"] == 2 * 2 * 14458 * 4


def test_the_command_prints_a_table_and_writes_json(capsys, tmp_path, results):
    config, out = tmp_path / "tiny.yaml", tmp_path / "plan.json"
    config.write_text(yaml.safe_dump(settings()))
    write_data(results, tiny(), FINGERPRINT)
    write_run(results, tiny(), seed=1)
    arguments = ["plan", "--config", str(config), "--results", str(results), "--json", str(out)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "to do: 1 trainings, 1 evaluations" in printed
    written = json.loads(out.read_text())
    assert written["methods"]["trades"]["to_do"] == {"train": 1, "evaluate": 1, "diagnose": 0}
    assert written["seconds_left"] == pytest.approx(60 + 66)
    assert TRAINED == 1497 - 149  # the rate above is for each image learnt from


def test_planning_needs_no_torch(monkeypatch, results):
    usual = builtins.__import__

    def refusing(name, *rest, **named):
        if name.split(".")[0] == "torch" or name == "bench.planning.counted":
            raise ImportError(name)
        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refusing)
    plan = make_plan(tiny(), results)
    assert plan.disk is None
    assert f"disk: {UNKNOWN}" in as_text(plan)


def test_an_average_that_would_be_of_initial_weights_is_refused(results):
    averaged = {"training.weight_averaging": {"decay": 0.9999}}
    with pytest.raises(ConfigError, match=r"weight_averaging\.decay: methods\.trades"):
        make_plan(tiny(averaged), results)
    make_plan(tiny({"training.weight_averaging": {"decay": 0.9}}), results)


def test_claims_of_no_paper_are_refused(results):
    with pytest.raises(ConfigError, match=r"claims: 'memlos' is unknown; did you mean 'memloss'"):
        make_plan(tiny({"claims": ["memlos"]}), results)
