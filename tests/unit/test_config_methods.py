from __future__ import annotations

import json
from dataclasses import replace

import pytest
from settings import settings

from bench.config.experiment import experiment, spec_json
from bench.runtime.errors import ConfigError


def refusal(methods: object, changes: dict[str, object] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        experiment(settings({"methods": methods, **(changes or {})}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("methods", [{}, [], None, ["trades"], "trades"])
def test_there_must_be_a_method(methods):
    assert refusal(methods).startswith("methods: ")


@pytest.mark.parametrize(
    ("methods", "key"),
    [
        ({"tradse": {}}, "tradse.method"),
        ({"mine": {"method": "mrat"}}, "mine.method"),
        ({"mine": {"method": None}}, "mine.method"),
        ({"trades": 6}, "trades"),
        ({"trades": []}, "trades"),
        ({"trades": {"beta": "big"}}, "trades.beta"),
        ({"memloss": {"beta": 3, "memory_beta": 2}}, "memloss"),
        ({"a/b": {"method": "trades"}}, "a/b"),
        ({"..": {"method": "trades"}}, ".."),
        ({"a b": {"method": "trades"}}, "a b"),
        ({1: {"method": "trades"}}, "1"),
        ({True: {"method": "trades"}}, "True"),
        ({"trades": {}, "Trades": {"method": "trades"}}, "Trades"),
        ({"trades": {"training": []}}, "trades.training"),
        ({"trades": {"training": None}}, "trades.training"),
        ({"trades": {"training": {"optimizer": {"lr": 1}}}}, "trades.training.optimizer"),
        ({"trades": {"training": {"schedule": None}}}, "trades.training.schedule"),
        ({"trades": {"training": {"epochs": 0}}}, "trades.training.epochs"),
        ({"trades": {"training": {"attack": {"steps": 2}}}}, "trades.training.attack"),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(methods, key):
    assert refusal(methods).startswith(f"methods.{key}: ")


def test_a_label_is_not_the_name_of_a_reference_model():
    message = refusal({"RN18": {"method": "trades"}}, {"reference.models": ["RN18"]})
    assert message.startswith("methods.RN18: ")


def test_a_label_left_empty_is_the_method_with_its_defaults():
    empty, full = (
        experiment(settings({"methods": {"trades": given}}))
        for given in (None, {"method": "trades", "beta": "6", "training": {}})
    )
    assert empty == full


def test_a_label_of_its_own_leaves_no_trace_in_what_decides_the_weights():
    read = experiment(settings({"methods": {"trades": {}, "mine": {"method": "trades"}}}))
    assert read.train_spec("mine", 0) == read.train_spec("trades", 0)


@pytest.mark.parametrize("given", [{}, {"beta": 6}, {"beta": 6.0}, {"beta": "6"}])
def test_an_option_gives_the_same_spec_however_it_is_written(given):
    read = experiment(settings({"methods": {"trades": given}}))
    spec = json.dumps(spec_json(read.train_spec("trades", 0)))
    assert '"options": {"beta": 6.0}' in spec


def test_a_training_of_its_own_changes_only_what_it_names():
    own = {
        "epochs": 120,
        "optimizer": {"learning_rate": 0.01, "nesterov": False},
        "schedule": {"name": "steps", "milestones": [75, 90]},
    }
    changes = {"training.optimizer.momentum": 0.8, "training.schedule.warmup": 0.5}
    methods = {"trades": {}, "mine": {"method": "trades", "training": own}}
    read = experiment(settings({"methods": methods, **changes}))
    shell, mine = read.method("trades").training, read.method("mine").training
    assert shell == read.training
    assert mine == replace(
        shell,
        epochs=120,
        optimizer=replace(shell.optimizer, learning_rate=0.01, nesterov=False),
        schedule=replace(shell.schedule, name="steps", milestones=(75, 90)),
    )
    assert mine.optimizer.momentum == 0.8
    assert mine.schedule.warmup == 0.5
    assert read.train_spec("mine", 0).training == mine
    assert read.train_spec("trades", 0).training == shell


def test_methods_do_not_share_what_another_has_overridden():
    own = {"optimizer": {"momentum": 0, "nesterov": False}}
    methods = {"a": {"method": "trades", "training": own}, "trades": {}}
    read = experiment(settings({"methods": methods}))
    assert read.method("a").training.optimizer.momentum == 0
    assert read.method("trades").training == read.training
    assert read.training.optimizer.momentum == 0.9


def test_runs_are_every_method_with_every_seed_in_order():
    read = experiment(settings({"methods": {"trades": {}, "mart": {}}, "seeds": [1, 0]}))
    assert read.runs() == [("trades", 1), ("trades", 0), ("mart", 1), ("mart", 0)]


def test_a_run_that_is_not_in_the_configuration_is_refused():
    read = experiment(settings())
    with pytest.raises(ConfigError, match=r"^methods: 'trade' .*'trades'"):
        read.train_spec("trade", 0)
    with pytest.raises(ConfigError, match=r"^seeds: 7 "):
        read.train_spec("trades", 7)
