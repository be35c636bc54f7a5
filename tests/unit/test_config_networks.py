"""What a config may ask of methods with other networks, of averaging and of perturbation."""

from __future__ import annotations

import pytest
from settings import settings

from bench.config.experiment import experiment
from bench.runtime.errors import ConfigError

STANDARD = {"standard": {}}


def refused(changes: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        experiment(settings(changes))
    return str(caught.value)


@pytest.mark.parametrize(
    ("methods", "where"),
    [
        ({"hat": {}}, "methods.hat.helper"),
        ({**STANDARD, "hat": {"helper": "standart"}}, "methods.hat.helper"),
        ({**STANDARD, "hat": {}, "other": {"method": "hat", "helper": "hat"}}, "methods.other"),
        (
            {**STANDARD, "hat": {"model": {"name": "resnet18", "width": 4}}},
            "methods.hat.helper",
        ),
        (
            {
                **STANDARD,
                "cure": {"model": {"name": "resnet18"}, "training": {"start": "standard"}},
            },
            "methods.cure.training.start",
        ),
        ({"cure": {"percentile": 30}}, "methods.cure.percentile"),
        ({"cure": {"natural_epochs": 1000}}, "methods.cure.natural_epochs"),
        ({"sat": {"variant": "r3", "eps_lo": 0.2, "eps_hi": 0.1}}, "methods.sat.eps_lo"),
        # eps_hi is eps where it is not given.
        ({"sat": {"variant": "r3", "eps_lo": 0.9}}, "methods.sat.eps_lo"),
        ({"sat": {"variant": "r1", "tau": 0.5}}, "methods.sat.tau"),
        ({"trades": {"training": {"weight_averaging": {"decay": 1}}}}, "weight_averaging.decay"),
        ({"trades": {"training": {"awp": {"first_epoch": 999}}}}, "awp.first_epoch"),
        ({"standard": {"training": {"awp": {"first_epoch": 1}}}}, "methods.standard.training.awp"),
        ({"trades": {"model": {"name": "resnet19"}}}, "methods.trades.model.name"),
        ({"trades": {"model": {"width": 4}}}, "methods.trades.model"),
    ],
)
def test_what_cannot_be_trained_is_refused_where_it_stands(methods, where):
    assert where in refused({"methods": methods})


def test_shares_of_eps_are_filled_in_where_they_count():
    methods = {f"sat_{v}": {"method": "sat", "variant": v} for v in ("r1", "r2", "r3")}
    read = experiment(settings({"methods": methods}))
    eps = read.threat.eps
    of = {label: read.method(label).options for label in methods}
    assert [of[label]["noise"] for label in methods] == [None, eps / 4, eps / 4]
    assert (of["sat_r2"]["eps_hi"], of["sat_r3"]["eps_hi"]) == (None, eps)


def test_what_a_method_needs_is_known_without_torch():
    methods = {
        **STANDARD,
        "hat": {},
        "cure": {"training": {"start": "standard"}},
        "late_hat": {"method": "hat", "training": {"start": "standard"}},
    }
    read = experiment(settings({"methods": methods}))
    assert read.method("hat").needs == {"helper": "standard"}
    assert read.method("cure").needs == {"start": "standard"}
    assert read.method("late_hat").needs == {"start": "standard", "helper": "standard"}


def test_a_method_may_have_a_network_of_its_own():
    methods = {**STANDARD, "wide": {"method": "trades", "model": {"name": "wrn_28_10"}}}
    read = experiment(settings({"methods": methods}))
    assert read.train_spec("wide", read.seeds[0]).model.label == "wrn_28_10"
    assert read.train_spec("standard", read.seeds[0]).model == read.model
    assert len(read.models) == 2


def test_two_normalizations_under_one_name_of_a_network_are_refused():
    def normalized(mean: float) -> dict[str, object]:
        normalization = {"mean": [mean], "std": [0.3]}
        return {"method": "trades", "model": {"name": "resnet18", "normalization": normalization}}

    assert "methods.b.model.normalization: " in refused(
        {"methods": {"a": normalized(0.5), "b": normalized(0.4)}}
    )
    plain = {"method": "trades", "model": {"name": "resnet18"}}
    read = experiment(settings({"methods": {"a": normalized(0.5), "b": plain}}))
    assert len({model.label for model in read.models}) == 2


def test_networks_of_others_need_no_training():
    raw = settings({"networks": {"a": {"weights": {"3": "a.pt", "1": "b.pt"}}}})
    for key in ("seeds", "model", "training", "methods"):
        del raw[key]
    read = experiment(raw)
    assert (read.methods, read.seeds) == ((), (1, 3))
    assert read.evaluated() == read.external() == [("a", 3), ("a", 1)]
    for key in ("seeds", "model", "training"):
        with pytest.raises(ConfigError, match=key):
            experiment(settings(without=key))
    with pytest.raises(ConfigError, match="methods"):
        experiment({**raw, "networks": {}})
