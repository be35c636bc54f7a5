"""Weights from elsewhere: read however they are wrapped, and refused with the likely cause."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn

from bench.__main__ import main
from bench.config.experiment import Compute, NetworkSpec, Threat
from bench.config.parsing import parse
from bench.config.schema import Network
from bench.data.dataset import Dataset, Images, save, to_unit
from bench.evaluation.job import load_network
from bench.external.job import take
from bench.models import checkpoint
from bench.models.normalized import Normalized
from bench.models.small_cnn import SmallCNN
from bench.results.paths import RunPaths
from bench.results.records import NetworkRecord
from bench.runtime.errors import BenchError

WIDTH = 8
NAMES = tuple(f"class{k}" for k in range(10))
MEAN, STD = (0.17, 0.183, 0.169), (0.28, 0.24, 0.28)  # about those of the images


def coloured() -> Dataset:
    """Return digits whose colour tells something of the class, so that swapped channels matter."""
    found = load_digits()
    grey = torch.from_numpy(found.images / 16).float()[:, None]
    labels = torch.from_numpy(found.target).long()
    tints = torch.tensor([[1.0, 0.6, 0.1], [0.1, 0.6, 1.0]])[labels % 2]
    pixels = (255 * grey * tints[:, :, None, None]).round().to(torch.uint8)
    train, test = (Images(pixels[part], labels[part]) for part in (slice(1200), slice(1200, None)))
    return Dataset("coloured", NAMES, train, test)


def trained(dataset: Dataset, network: nn.Module) -> nn.Module:
    """Return `network` after a few epochs of standard training."""
    images, labels = to_unit(dataset.train.pixels), dataset.train.labels
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weights in network.parameters():
            if weights.ndim > 1:
                nn.init.kaiming_normal_(weights)
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(12):
            for part in torch.randperm(len(labels)).split(100):
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(images[part]), labels[part]).backward()
                optimizer.step()
    return network.eval()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return coloured()


@pytest.fixture(scope="module")
def data_file(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "data.safetensors"
    save(dataset, path)
    return path


def small_cnn(classes: int = 10, width: int = WIDTH, channels: int = 3) -> SmallCNN:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return SmallCNN(classes=classes, channels=channels, width=width)


@pytest.fixture(scope="module")
def plain(dataset: Dataset) -> nn.Module:
    """A network that sees images in [0, 1]."""
    return trained(dataset, small_cnn())


@pytest.fixture(scope="module")
def normalizing(dataset: Dataset) -> SmallCNN:
    """A network that expects images normalised by MEAN and STD."""
    network = small_cnn()
    trained(dataset, Normalized(network, MEAN, STD))
    return network


@pytest.fixture
def taken(data_file: Path, tmp_path: Path) -> Callable[..., RunPaths]:
    """Take the weights of a file into a run, by keys of the section `networks`."""

    def take_file(weights: Any, **keys: Any) -> RunPaths:
        given = {"architecture": "small_cnn", "arguments": {"width": WIDTH}, **keys}
        network = parse(Network, {"weights": str(weights), **given}, where="networks.theirs")
        spec = NetworkSpec(
            network=network,
            seed=0,
            threat=Threat(eps=0.1),
            compute=Compute(device="cpu", threads=1),
        )
        folder = tmp_path / "models" / "theirs" / "seed0"
        take(spec, experiment="ours", label="theirs", data=data_file, folder=folder)
        return RunPaths(folder)

    return take_file


State = dict[str, Tensor]
WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best_acc": np.float64(0.9)},
    "model": lambda state: {
        "model": state,
        "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}},
    },
    "model_state_dict": lambda state: {"model_state_dict": state, "args": argparse.Namespace(lr=1)},
    "net": lambda state: {"net": state, "acc": 90.0},
    "ema": lambda state: {"ema": state},
    "DataParallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"module._orig_mod.{key}": value for key, value in state.items()},
    "backbone": lambda state: {"model": {f"backbone.{key}": value for key, value in state.items()}},
    "average": lambda state: {
        "n_averaged": torch.tensor(5),
        **{f"module.{key}": value for key, value in state.items()},
    },
    "counters": lambda state: {
        **state,
        "total_ops": torch.zeros(1),
        "conv1.total_params": torch.zeros(1),
    },
    "old batch-norm": lambda state: {k: v for k, v in state.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_weights_are_found_however_they_are_wrapped(wrapping, plain, dataset, taken, tmp_path):
    torch.save(WRAPPINGS[wrapping](plain.state_dict()), tmp_path / "theirs.pt")
    run = taken(tmp_path / "theirs.pt")
    network, fingerprint = load_network(run.weights("best"))
    images = to_unit(dataset.test.pixels[:50])
    assert torch.equal(network(images), plain(images))
    assert fingerprint == dataset.fingerprint
    record = NetworkRecord.read(run.network_record, "")
    assert record.checked_correct > 0.85 * record.checked_images
    assert record.checkpoints.keys() == {"best"}


def test_safetensors_are_known_by_their_content(plain, taken, tmp_path):
    save_file(plain.state_dict(), tmp_path / "theirs.pt")
    assert taken(tmp_path / "theirs.pt").network_record.is_file()


def test_safetensors_and_a_file_of_the_users_own(plain, dataset, taken, tmp_path):
    save_file(plain.state_dict(), tmp_path / "theirs.safetensors")
    source = tmp_path / "nets.py"
    source.write_text(
        "from bench.models.small_cnn import SmallCNN\n"
        "def mine(num_classes, width):\n"
        "    return SmallCNN(classes=num_classes, channels=3, width=width)\n"
    )
    run = taken(tmp_path / "theirs.safetensors", architecture=f"{source}:mine")
    source.unlink()  # the run has a copy
    network, _ = load_network(run.weights("best"))
    images = to_unit(dataset.test.pixels[:50])
    assert torch.equal(network(images), plain(images))


def test_normalization_channels_and_classes_are_put_around(normalizing, dataset, taken, tmp_path):
    state = normalizing.state_dict()
    order = [3, 1, 2, 0, 4, 5, 6, 7, 9, 8]
    state["conv1.weight"] = state["conv1.weight"].flip(1)
    state["linear.weight"] = state["linear.weight"][order]
    state["linear.bias"] = state["linear.bias"][order]
    torch.save(state, tmp_path / "theirs.pt")
    run = taken(
        tmp_path / "theirs.pt",
        normalization={"mean": MEAN[::-1], "std": STD[::-1]},
        channels="bgr",
        class_order=[NAMES[k] for k in order],
    )
    network, _ = load_network(run.weights("best"))
    images = to_unit(dataset.test.pixels[:50])
    expected = Normalized(normalizing, MEAN, STD)(images)
    assert torch.allclose(network(images), expected, atol=1e-4)


def _refused(taken: Callable[..., RunPaths], path: Path, **keys: Any) -> str:
    with pytest.raises(BenchError) as raised:
        taken(path, **keys)
    folder = path.parent / "models"
    assert not list(folder.rglob("*.json"))
    return str(raised.value)


def _planted(
    plain: nn.Module, normalizing: nn.Module
) -> dict[str, tuple[Any, dict[str, Any], str]]:
    """Return, by error, what is in the file, the keys of the config, and what must be named."""
    state, normal = plain.state_dict(), normalizing.state_dict()
    norm = {"mean": list(MEAN), "std": list(STD)}
    bytes_, swapped, other = (dict(state) for _ in range(3))
    bytes_["conv1.weight"] = state["conv1.weight"] / 255
    swapped["conv1.weight"] = state["conv1.weight"].flip(1)
    order = torch.tensor([9, 1, 2, 3, 4, 5, 6, 7, 8, 0])
    other["linear.weight"], other["linear.bias"] = (
        state["linear.weight"][order],
        state["linear.bias"][order],
    )
    stale = {
        key: torch.full_like(value, 3.0) if "running" in key else value
        for key, value in state.items()
    }
    ema = {key: value * 0.5 if value.is_floating_point() else value for key, value in state.items()}
    return {
        "not normalised": (normal, {}, "set normalization"),
        "normalised twice": (state, {"normalization": norm}, "remove normalization"),
        "0 to 255": (bytes_, {}, "values from 0 to 255"),
        "channels": (swapped, {}, "channels: bgr"),
        "classes": (other, {}, "class_order: .class9, class1, .*class0"),
        "statistics": (stale, {}, "running statistics"),
        "no statistics": (
            {key: value for key, value in state.items() if "running" not in key},
            {},
            "no running statistics",
        ),
        "head": (small_cnn(classes=100).state_dict(), {}, "the head has 100 classes"),
        "width": (small_cnn(width=12).state_dict(), {}, "another width"),
        "depth": (
            {**state, "conv4.weight": torch.ones(8, 8, 3, 3)},
            {},
            "another (depth|variant): the file has conv4.weight",
        ),
        "architecture": (nn.Linear(4, 4).state_dict(), {}, "another architecture"),
        "grey": (small_cnn(channels=1).state_dict(), {}, "takes images of 1 channels"),
        "several": ({"model": state, "ema": ema}, {}, r"entry: .*'model' \(9.*'ema' \("),
        "claimed": (state, {"claimed": 60.0}, "claimed: 60 % is claimed"),
        "fraction": (state, {"claimed": 0.95}, "claimed: 95"),
        "variant": ({**state, "bn9.weight": torch.ones(8)}, {}, "another variant"),
        "arguments": (
            state,
            {"architecture": "robustbench:WideResNet", "arguments": {"depth": 11}},
            "arguments: RobustBench cannot build",
        ),
        "no function": (state, {"architecture": "nets.py", "arguments": {}}, "nets.py:build"),
        "untrained": (small_cnn().state_dict(), {}, "no better than guessing"),
    }


ERRORS = (
    *("not normalised", "normalised twice", "0 to 255", "channels", "classes", "statistics"),
    *("no statistics", "head", "width", "depth", "architecture", "grey", "several", "claimed"),
    *("untrained", "fraction", "variant", "arguments", "no function"),
)


@pytest.mark.parametrize("error", ERRORS)
def test_what_is_wrong_is_found_and_nothing_is_written(error, plain, normalizing, taken, tmp_path):
    content, keys, named = _planted(plain, normalizing)[error]
    torch.save(content, tmp_path / "theirs.pt")
    said = _refused(taken, tmp_path / "theirs.pt", **keys)
    assert re.search(named, said), said


def test_the_weights_that_are_meant_are_named(plain, taken, tmp_path):
    worse = {key: value.clone() for key, value in plain.state_dict().items()}
    worse["linear.bias"] += 0.3
    torch.save({"model": plain.state_dict(), "ema": worse}, tmp_path / "theirs.pt")
    run = taken(tmp_path / "theirs.pt", entry="ema")
    network, _ = load_network(run.weights("best"))
    assert torch.equal(network.state_dict()["linear.bias"], worse["linear.bias"])


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ("return TrainMode(network)", "depend|other images of its batch"),
        ("return nn.Sequential(network, nn.Softmax(dim=1))", "probabilities"),
        ("return nn.Sequential(network, nn.Flatten(0))", "return logits"),
        ("return 3", "torch.nn.Module"),
        ("raise KeyError('x')", "nets.py, line"),
    ],
)
def test_an_architecture_that_cannot_be_evaluated_is_refused(body, named, plain, taken, tmp_path):
    source = tmp_path / "nets.py"
    source.write_text(
        "from torch import nn\n"
        "from bench.models.small_cnn import SmallCNN\n"
        "class TrainMode(nn.Module):\n"
        "    def __init__(self, network):\n"
        "        super().__init__()\n"
        "        self.network = network\n"
        "    def forward(self, images):\n"
        "        [m.train() for m in self.modules() if isinstance(m, nn.BatchNorm2d)]\n"
        "        return self.network(images)\n"
        "def mine(classes, width):\n"
        "    network = SmallCNN(classes=classes, channels=3, width=width)\n"
        f"    {body}\n"
    )
    torch.save(plain.state_dict(), tmp_path / "theirs.pt")
    said = _refused(taken, tmp_path / "theirs.pt", architecture=f"{source}:mine")
    assert re.search(named, said), said


def test_a_file_of_this_suite_says_its_architecture_itself(plain, dataset, taken, tmp_path):
    description = checkpoint.Description(
        model="small_cnn",
        width=WIDTH,
        classes=10,
        channels=3,
        data="coloured",
        fingerprint=dataset.fingerprint,
    )
    checkpoint.save(tmp_path / "model.safetensors", plain.state_dict(), description)
    run = taken(tmp_path, architecture=None, arguments={})
    images = to_unit(dataset.test.pixels[:50])
    assert torch.equal(load_network(run.weights("best"))[0](images), plain(images))
    # What was taken can be taken again.
    again = taken(run.weights("best"), architecture=None, arguments={})
    assert NetworkRecord.read(again.network_record, "").model.label == "small_cnn-w8"


@pytest.mark.slow
@pytest.mark.parametrize(("classes", "attack"), [(10, "autoattack"), (3, "autoattack_few_classes")])
def test_a_file_is_evaluated_by_hand(classes, attack, dataset, tmp_path, monkeypatch, capsys):
    parts = [getattr(dataset, part) for part in ("train", "test")]
    kept = [part.labels < classes for part in parts]
    train, test = (
        Images(part.pixels[keep], part.labels[keep]) for part, keep in zip(parts, kept, strict=True)
    )
    few = Dataset("few", NAMES[:classes], train, test)
    save(few, tmp_path / "data.safetensors")
    torch.save(trained(few, small_cnn(classes=classes)).state_dict(), tmp_path / "theirs.pt")
    monkeypatch.chdir(tmp_path)
    arguments = ["evaluate", "--weights", "theirs.pt", "--architecture", "small_cnn"]
    arguments += ["--network", f'{{"arguments": {{"width": {WIDTH}}}}}', "--device", "cpu"]
    arguments += ["--data", "data.safetensors", "--eps", "0.3", "--images", "4"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "results/external/theirs" in said
    examples = RunPaths(Path("results/external/theirs")).examples_folder / "best"
    assert {path.stem for path in examples.iterdir()} == {"clean", "pgd20", attack}
