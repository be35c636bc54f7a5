from __future__ import annotations

import pytest
from planned import tiny
from torch import nn

from bench.engine.folding import FoldedNetwork
from bench.planning import trial as module
from bench.planning.costs import method_kind
from bench.planning.sizes import Size
from bench.planning.trial import trial
from bench.training import run

MODEL = "small_cnn-w4"
SMALL = Size(train=60, test=20, shape=(1, 8, 8), classes=10)
METHODS = {
    "standard": {},
    "trades": {"beta": 6},
    "trades_beta1": {"method": "trades", "beta": 1},
    "memloss_v1": {"method": "memloss", "variant": "v1", "beta": 3, "memory_beta": 2},
}


@pytest.mark.parametrize("selection", ["validation", "test"])
def test_every_kind_of_training_is_timed_once(selection):
    experiment = tiny(
        {
            "methods": METHODS,
            "model.width": 4,
            "training.batch_size": 8,
            "training.epochs": 1,  # fewer than a trial runs
            "training.checkpoint_selection": selection,
        }
    )
    told: list[str] = []
    rates = trial(experiment, SMALL, told.append)
    assert told == ["trial of standard", "trial of trades", "trial of memloss_v1"]
    assert set(rates.training) == {method_kind(method) for method in experiment.methods}
    assert all(rate > 0 for (rate,) in rates.training.values())
    assert set(rates.attacks) == {(MODEL, "", kind) for kind in ("clean", "pgd", "autoattack")}
    assert all(rate > 0 for (rate,) in rates.attacks.values())
    assert rates.devices == {"cpu"}
    assert len(rates.parameters) == 1


@pytest.mark.parametrize("training", ["eager", "folded"])
@pytest.mark.parametrize("evaluation", ["eager", "folded"])
def test_each_engine_is_timed_on_the_network_that_it_evaluates_or_searches(
    monkeypatch, training, evaluation
):
    given: dict[str, set[bool]] = {}

    def watch(name: str) -> None:
        where = run if name.endswith("accuracy") else module
        real = getattr(where, name)

        def watched(model: nn.Module, *rest: object, **named: object) -> object:
            given.setdefault(name, set()).add(isinstance(model, FoldedNetwork))
            return real(model, *rest, **named)

        monkeypatch.setattr(where, name, watched)

    for name in ("clean_accuracy", "pgd_accuracy", "pgd", "correct"):
        watch(name)
    changes = {"training.engine": training, "evaluation.engine": evaluation}
    trial(tiny({"model.width": 4, "training.batch_size": 8, **changes}), SMALL, lambda _: None)
    selecting, searching = {training == "folded"}, {evaluation == "folded"}
    assert given == {
        "clean_accuracy": selecting,
        "pgd_accuracy": selecting,
        "pgd": searching,
        "correct": searching,
    }
