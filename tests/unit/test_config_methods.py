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
    message = refusal(methods)
    assert message == f"methods: expected at least one, such as trades: {{}}, got {methods!r}"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"tradse": {}}, "methods.tradse.method: 'tradse' is unknown; did you mean 'trades'? kno"),
        ({"mine": {"method": "mrat"}}, "methods.mine.method: 'mrat' is unknown; did you mean 'ma"),
        ({"mine": {"method": None}}, "methods.mine.method: None is unknown; known: "),
        ({"trades": 6}, "methods.trades: expected options such as beta: 6, got 6"),
        ({"trades": []}, "methods.trades: expected options such as beta: 6, got []"),
        ({"trades": {"beta": "big"}}, "methods.trades.beta: expected a number of at least 0, got"),
        ({"memloss": {"beta": 3, "memory_beta": 2}}, "methods.memloss: the method 'memloss' needs"),
        ({"a/b": {"method": "trades"}}, "methods.a/b: 'a/b' cannot name a folder; try letters"),
        ({"..": {"method": "trades"}}, "methods...: '..' cannot name a folder; try letters"),
        ({"a b": {"method": "trades"}}, "methods.a b: 'a b' cannot name a folder; try letters"),
        ({1: {"method": "trades"}}, "methods.1: 1 cannot name a folder; try letters"),
        ({True: {"method": "trades"}}, "methods.True: True cannot name a folder; try letters"),
        (
            {"trades": {}, "Trades": {"method": "trades"}},
            "methods.Trades: another label differs only in capitals; rename one",
        ),
        ({"trades": {"training": []}}, "methods.trades.training: expected keys of training, got"),
        ({"trades": {"training": None}}, "methods.trades.training: expected keys of training, g"),
        (
            {"trades": {"training": {"optimizer": {"lr": 1}}}},
            "methods.trades.training.optimizer: unknown key 'lr'; ",
        ),
        (
            {"trades": {"training": {"schedule": None}}},
            "methods.trades.training.schedule: expected keys and values, got None; remove the key",
        ),
        (
            {"trades": {"training": {"epochs": 0}}},
            "methods.trades.training.epochs: expected a whole number of at least 1, got 0",
        ),
        (
            {"trades": {"training": {"attack": {"steps": 2}}}},
            "methods.trades.training.attack: 2 steps of 0.00784314 cannot reach eps 0.0313725; ",
        ),
    ],
)
def test_what_is_wrong_is_named_where_it_stands(methods, message):
    assert refusal(methods).startswith(message)


def test_a_label_is_not_the_name_of_a_reference_model():
    message = refusal({"RN18": {"method": "trades"}}, {"reference.models": ["RN18"]})
    assert message == "methods.RN18: a model of reference.models has this name; rename one"


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
    with pytest.raises(ConfigError, match=r"methods: 'trade' is not .*; did you mean 'trades'\?"):
        read.train_spec("trade", 0)
    with pytest.raises(ConfigError, match=r"seeds: 7 is not in this config; it has \[0, 1\]"):
        read.train_spec("trades", 7)
