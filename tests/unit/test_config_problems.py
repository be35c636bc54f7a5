"""All that is wrong with a config is told at once; nothing that gives a wrong number passes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from factory import write_json
from settings import settings

from bench.__main__ import main
from bench.config.experiment import experiment
from bench.config.method_options import declared_options
from bench.config.parsing import nearest
from bench.config.schema import Needs
from bench.runtime.errors import ConfigError, Problems


def problems(raw: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        experiment(raw)
    return caught.value.problems


def test_every_wrong_key_of_every_section_is_named_at_once():
    changes = {
        "seeds": [0, -1, "x"],
        "data.name": 3,
        "modle": {"width": 4},
        "training.attack": {"steps": 0, "stepp": 1},
        "evaluation.pgd.pgd20.steps": 2,
        "methods": {"trades": {"beta": -1, "gamma": 1}, "mrat": {}},
        "ablations": {"choice": ["trades"]},
    }
    raw = settings(changes, without="compute")
    assert [problem.partition(": ")[0] for problem in problems(raw)] == [
        *("config", "config", "seeds[1]", "seeds[2]", "data.name"),
        *("training.attack", "training.attack.steps", "evaluation.pgd.pgd20"),
        *("methods.trades", "methods.trades.beta", "methods.mrat.method"),
    ]


def test_a_mistake_in_the_shared_training_is_not_repeated_for_every_method():
    for wrong in ({"training.epochs": 0}, {"training.attack.steps": 1}):
        raw = settings(
            {**wrong, "methods": {"trades": {}, "mart": {"training": {"crop_padding": 2}}}}
        )
        (problem,) = problems(raw)
        assert problem.startswith("training.")


@pytest.mark.parametrize(
    ("where", "wrong", "right"),
    [("", "trainig", "training"), ("training.", "epoch", "epochs"), ("threat.", "epss", "eps")],
)
def test_a_misspelt_key_is_one_problem(where, wrong, right):
    raw = settings(without=f"{where}{right}")
    section = raw[where.rstrip(".")] if where else raw
    section[wrong] = 1
    (problem,) = problems(raw)
    assert f"unknown key {wrong!r}; did you mean {right!r}?" in problem


def test_a_misspelt_option_is_one_problem():
    with pytest.raises(ConfigError, match="did you mean 'variant'") as error:
        declared_options("memloss", {"variannt": "v1", "beta": 1, "memory_beta": 1}, where="m")
    assert len(error.value.problems) == 1


def test_a_word_is_never_suggested_for_itself():
    assert nearest("training", ("training", "method")) == "known: method, training"
    with pytest.raises(ConfigError) as caught:
        declared_options("trades", {"training": {}}, where="methods.trades")
    assert "did you mean" not in str(caught.value)


def test_several_problems_are_a_numbered_list_and_one_is_a_sentence(tmp_path, capsys):
    collected = Problems()
    for text in ("a: wrong", "b:\n  wrong", "a: wrong"):
        with collected.collecting():
            raise ConfigError(text)
    with pytest.raises(ConfigError) as caught:
        collected.settle()
    assert str(caught.value) == "2 problems\n  1. a: wrong\n  2. b: wrong"
    assert str(ConfigError("a: wrong")) == "a: wrong"

    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings({"threat.eps": 8, "seeds": []})))
    assert main(["plan", "--config", str(path)]) == 1
    head, *lines = capsys.readouterr().err.splitlines()
    assert head == "error: 2 problems"
    assert [line.split(":")[0] for line in lines] == ["  1. seeds", "  2. threat.eps"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"training.attack.step_size": 1}, "training.attack.step_size"),
        ({"evaluation.pgd.pgd20.step_size": "17/255"}, "evaluation.pgd.pgd20.step_size"),
        (
            {"training.schedule": {"name": "steps", "milestones": [2, 3]}},
            "training.schedule.milestones",
        ),
        ({"data.test_images": 20, "evaluation.pgd.pgd20.images": 21}, "evaluation.pgd.pgd20.im"),
        ({"data.test_images": 20, "evaluation.autoattack": {"images": 21}}, "evaluation.autoatt"),
        ({"data.test_images": 20, "diagnostics": {}}, "diagnostics.images"),
        ({"evaluation.pgd.PGD20": {"steps": 9}}, "evaluation.pgd"),
        ({"data.classes": []}, "data.classes"),
        ({"data.classes": ["a", "b", "a"]}, "data.classes"),
        ({"data.name": " "}, "data.name"),
        ({"data.name": "a\nb"}, "data.name"),
        ({"data.source": "folder", "data.path": ""}, "data.path"),
        ({"seeds": "0"}, "seeds"),
        ({"seeds": "[0, 1]"}, "seeds"),
    ],
)
def test_a_value_that_would_give_a_wrong_number_is_refused(changes, key):
    (problem,) = problems(settings(changes))
    assert problem.startswith(key)


def test_the_longest_step_and_the_last_milestone_are_accepted():
    changes = {
        "training.attack.step_size": "16/255",
        "training.schedule": {"name": "steps", "milestones": [2]},
        "data.test_images": 20,
        "evaluation.pgd.pgd20.images": 20,
        "diagnostics": {"images": 20},
    }
    read = experiment(settings(changes))
    assert read.training.attack.size == 16 / 255
    assert read.needs == Needs(test_images=20)


def test_one_bad_config_does_not_hide_what_verify_says_of_the_others(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("good", "bad", "worse"):
        changes = {"experiment": name, "seeds": [0] if name == "good" else []}
        (tmp_path / "config").mkdir(exist_ok=True)
        Path("config", f"{name}.yaml").write_text(yaml.safe_dump(settings(changes)))
        Path("results", name, "models").mkdir(parents=True)
    Path("config", "worse.yaml").write_text("experiment: [")
    write_json(Path("results/good/data.json"), {})
    assert main(["verify"]) == 1
    out = capsys.readouterr().out
    assert "config/bad.yaml: seeds: " in out
    assert "config/worse.yaml: " in out
    assert "good: " in out
    assert "results/bad: no file in config" not in out
