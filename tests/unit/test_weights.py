from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from synthetic import some_data
from torch import nn

from bench.data import dataset
from bench.models import base
from bench.models import checkpoint as weights
from bench.models.checkpoint import Description
from bench.runtime.errors import BenchError

ABOUT = Description(
    model="small_cnn", width=4, classes=10, channels=1, data="synthetic", fingerprint="f" * 64
)


@pytest.fixture
def model() -> nn.Module:
    """A network whose batch-norm statistics are its own too."""
    model = ABOUT.build().train()
    model(torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model


@pytest.fixture
def saved(model: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "run" / "best.safetensors"
    weights.save(path, model.state_dict(), ABOUT)
    return path


def test_weights_statistics_and_description_come_back(model, saved):
    loaded, about = weights.load(saved)
    assert about == ABOUT
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert list(ours) == list(theirs)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
        assert value.dtype == theirs[name].dtype, name
    assert int(theirs["bn1.num_batches_tracked"]) == 1


def test_a_loaded_network_is_ready_to_be_evaluated(saved):
    loaded, _ = weights.load(saved)
    assert not any(module.training for module in loaded.modules())
    assert all(value.device.type == "cpu" for value in loaded.state_dict().values())


def test_every_field_of_the_description_is_kept(model, tmp_path):
    path = tmp_path / "wide.safetensors"
    about = replace(ABOUT, width=None, classes=3, channels=2, data="ä/ö", fingerprint="0")
    weights.save(path, about.build().state_dict(), about)
    loaded, described = weights.load(path)
    assert described == about
    assert loaded(torch.zeros(1, 2, 8, 8)).shape == (1, 3)


def test_equal_weights_are_equal_bytes_in_whatever_order(model, saved, tmp_path):
    again = tmp_path / "again.safetensors"
    weights.save(again, dict(reversed(model.state_dict().items())), ABOUT)
    assert again.read_bytes() == saved.read_bytes()
    with torch.no_grad():
        model.linear.bias[0] += 1
    weights.save(again, model.state_dict(), ABOUT)
    assert again.read_bytes() != saved.read_bytes()


def test_the_file_is_plain_safetensors_with_one_entry_of_metadata(saved):
    with safe_open(saved, framework="pt") as file:
        assert list(file.metadata()) == [weights.KEY]


def test_views_and_weights_that_want_gradients_can_be_saved(tmp_path):
    state = ABOUT.build().state_dict()
    rows, columns = state["linear.weight"].shape
    state["linear.weight"] = torch.rand(columns + 1, rows, requires_grad=True)[1:].t()
    weights.save(tmp_path / "w.safetensors", state, ABOUT)
    loaded, _ = weights.load(tmp_path / "w.safetensors")
    assert torch.equal(loaded.linear.weight, state["linear.weight"])


def test_a_save_that_fails_leaves_the_earlier_file_and_no_other(saved):
    before = saved.read_bytes()
    with pytest.raises(AttributeError):
        weights.save(saved, {"linear.weight": None}, ABOUT)  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        weights.save(saved, {"linear.weight": torch.ones(1)}, replace(ABOUT, data=object()))
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_file_asks_for_training(tmp_path):
    with pytest.raises(BenchError, match=r"best\.safetensors: "):
        weights.load(tmp_path / "best.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, kept):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(BenchError, match=r"best\.safetensors: "):
        weights.load(saved)


def metadata(text: str | None) -> Callable[[Path], None]:
    """Return what writes a tensor with that text in our place of the header."""
    header = None if text is None else {weights.KEY: text}
    return lambda path: save_file({"linear.bias": torch.zeros(10)}, path, header)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("epoch,loss\n1,2.3\n" * 20),
        lambda path: dataset.save(some_data(), path),
        *(metadata(text) for text in (None, "{", "[1]", '{"model": "small_cnn"}')),
        *(
            metadata(json.dumps({**asdict(ABOUT), **wrong}))
            for wrong in ({"width": "x"}, {"fingerprint": 3}, {"classes": None}, {"new": 1})
        ),
        metadata(json.dumps({**asdict(ABOUT), "model": ["small_cnn"]})),
    ],
)
def test_a_file_of_another_kind_is_no_checkpoint(saved, write):
    write(saved)
    with pytest.raises(BenchError, match=r"best\.safetensors: "):
        weights.load(saved)


def test_an_unknown_architecture_is_named_with_the_file_and_what_to_do(model, saved):
    weights.save(saved, model.state_dict(), replace(ABOUT, model="nope"))
    with pytest.raises(BenchError, match=r"best\.safetensors: .*'nope'"):
        weights.load(saved)


def test_a_width_that_the_architecture_no_longer_has_is_named(model, saved, monkeypatch):
    def narrow(*, classes: int, channels: int) -> torch.nn.Module:
        return model

    monkeypatch.setitem(base._BUILDERS, ABOUT.model, narrow)
    weights.save(saved, model.state_dict(), replace(ABOUT, width=4))
    with pytest.raises(BenchError, match=r"best\.safetensors: .*width"):
        weights.load(saved)


@pytest.mark.parametrize(
    "other", [{"width": 8}, {"classes": 7}, {"channels": 3}, {"model": "resnet18"}]
)
def test_weights_of_another_architecture_are_refused(model, saved, other):
    about = replace(ABOUT, **other)
    weights.save(saved, model.state_dict(), about)
    with pytest.raises(BenchError, match=rf"best\.safetensors: .*{about.model}"):
        weights.load(saved)


def test_a_missing_or_an_added_tensor_is_named(model, saved):
    state = model.state_dict()
    weights.save(saved, state | {"head.bias": torch.zeros(1)}, ABOUT)
    with pytest.raises(BenchError, match=r"head\.bias"):
        weights.load(saved)
    del state["bn2.running_var"]
    weights.save(saved, state, ABOUT)
    with pytest.raises(BenchError, match=r"bn2\.running_var"):
        weights.load(saved)
