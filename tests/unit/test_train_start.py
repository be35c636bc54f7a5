"""Where a training begins and in which order it sees images, when the config says otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from settings import settings
from synthetic import some_data, some_spec

from bench.config.experiment import TrainSpec, experiment
from bench.data.dataset import save
from bench.models import checkpoint as weights
from bench.results.paths import RunPaths
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import sha256
from bench.training.job import needed_weights, train
from bench.training.run import Run

CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    save(some_data(), tmp_path / "data.safetensors")
    return tmp_path / "data.safetensors"


def trained(data: Path, label: str, spec: TrainSpec) -> Path:
    folder = data.parent / "models" / label / "seed0"
    train(spec, experiment="tiny", label=label, data=data, folder=folder)
    return folder


def test_a_training_begins_with_the_best_weights_of_the_method_it_names(data):
    standard = trained(data, "standard", some_spec("standard"))
    spec = some_spec("trades", start="standard")
    folder = trained(data, "late", spec)
    record = json.loads((folder / "train.json").read_text())
    assert record["needed_sha256"] == {"start": sha256(standard / "best.safetensors")}
    state, _ = needed_weights(spec, some_data(), RunPaths(folder))["start"]
    begun, _ = weights.load(standard / "best.safetensors")
    run = Run(spec, some_data(), CPU, state)
    for name, value in begun.state_dict().items():
        assert torch.equal(run.model.state_dict()[name], value)
    scratch = trained(data, "trades", some_spec("trades"))
    assert json.loads((scratch / "train.json").read_text())["needed_sha256"] == {}
    assert (scratch / "last.safetensors").read_bytes() != (folder / "last.safetensors").read_bytes()


def test_a_frozen_network_has_the_best_weights_of_the_method_that_its_option_names(data):
    helper = trained(data, "plain", some_spec("standard")) / "best.safetensors"
    spec = some_spec("hat", options={"helper": "plain"})
    with pytest.raises(BenchError, match=r"standard/seed0/best\.safetensors: there is no such"):
        trained(data, "hat", some_spec("hat"))
    folder = trained(data, "hat", spec)
    record = json.loads((folder / "train.json").read_text())
    assert record["needed_sha256"] == {"helper": sha256(helper)}
    state, _ = needed_weights(spec, some_data(), RunPaths(folder))["helper"]
    run = Run(spec, some_data(), CPU, None, {"helper": state})
    begun, _ = weights.load(helper)
    for name, value in begun.state_dict().items():
        assert torch.equal(run.networks["helper"].state_dict()[name], value)


def test_an_average_begins_where_the_network_does():
    begun = Run(some_spec("standard", seed=1), some_data(), CPU).model.state_dict()
    run = Run(some_spec("cure", start="standard"), some_data(), CPU, begun)
    for name, value in run.networks["revision"].state_dict().items():
        assert torch.equal(value, begun[name])


def test_what_it_starts_from_must_be_trained_first_and_fit(data):
    spec = some_spec("trades", start="standard")
    with pytest.raises(BenchError, match=r"standard/seed0/best\.safetensors: there is no such"):
        trained(data, "late", spec)
    other = replace(some_spec("standard"), model=replace(spec.model, width=8))
    trained(data, "standard", other)
    with pytest.raises(BenchError, match="of another network or of other images"):
        trained(data, "late", spec)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("standart", "methods.late.training.start: unknown method 'standart'"),
        ("late", "'late' needs late itself"),
    ],
)
def test_a_start_that_cannot_be_is_refused(start, said):
    methods = {
        "standard": {},
        "late": {"method": "trades", "training": {"start": start}},
    }
    with pytest.raises(ConfigError) as refused:
        experiment(settings({"methods": methods}))
    assert said in str(refused.value)


def test_a_start_of_all_methods_is_named_where_it_stands():
    with pytest.raises(ConfigError, match=r"^training\.start: .*'nope'"):
        experiment(settings({"training.start": "nope"}))


def test_without_shuffling_every_epoch_has_the_images_in_their_own_order():
    run = Run(some_spec(shuffle=False), some_data(), CPU)
    for epoch in (1, 2):
        assert torch.equal(torch.cat(run.batches(epoch)), run.index_N)
    shuffled = Run(some_spec(), some_data(), CPU)
    one, other = (torch.cat(shuffled.batches(epoch)) for epoch in (1, 2))
    assert not torch.equal(one, other)
    assert torch.equal(one.sort().values, shuffled.index_N.sort().values)
