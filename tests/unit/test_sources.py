from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.sources import cifar10, read
from bench.runtime.errors import BenchError, ConfigError

# The front door


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        read("parket", path=None, name="x")


@pytest.mark.parametrize("source", ["cifar10", "parquet", "folder"])
def test_a_source_on_disk_needs_a_path(source: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.path"):
        read(source, path=None, name="x")


# digits


def test_digits_are_the_1797_images_of_scikit_learn_each_once() -> None:
    from sklearn.datasets import load_digits

    dataset = read("digits", path=None, name="digits")
    assert (len(dataset.train), len(dataset.test)) == (1497, 300)
    assert dataset.classes == tuple("0123456789")
    assert dataset.train.pixels.shape[1:] == (1, 8, 8)
    assert set(dataset.test.labels.bincount().tolist()) <= {29, 30, 31}

    bunch = load_digits()
    expected = sorted(
        (int(label), bytes(int(value * 255 / 16 + 0.5) for value in image.ravel()))
        for label, image in zip(bunch.target, bunch.images, strict=True)
    )
    found = sorted(
        (int(label), bytes(image.flatten().tolist()))
        for part in dataset.parts().values()
        for label, image in zip(part.labels, part.pixels, strict=True)
    )
    assert found == expected


def test_digits_are_the_same_every_time() -> None:
    first, second = (read("digits", path=None, name="digits") for _ in range(2))
    assert first.fingerprint == second.fingerprint


# CIFAR-10, with small stand-ins for torchvision and RobustBench


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    train = rng.integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
    test = torch.from_numpy(rng.integers(256, size=(10, 3, 32, 32), dtype=np.uint8))
    calls = SimpleNamespace(train=train, test=test, order=[], fails=None)

    class FakeCIFAR10:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            calls.order.append(("torchvision", root, train, download))
            if calls.fails:
                raise calls.fails
            self.data, self.targets = calls.train, [number % 10 for number in range(20)]
            self.classes = list(cifar10.CLASSES)

    def load_cifar10(data_dir: str) -> tuple[torch.Tensor, torch.Tensor]:
        calls.order.append(("robustbench", data_dir))
        return calls.test / 255 + calls.__dict__.get("shift", 0.0), torch.arange(10)

    contents: dict[str, dict[str, Any]] = {
        "torchvision": {},
        "torchvision.datasets": {"CIFAR10": FakeCIFAR10},
        "robustbench": {},
        "robustbench.data": {"load_cifar10": load_cifar10},
        "bench.attacks.autoattack": {"provide": lambda: calls.order.append(("provide",))},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_cifar10_trains_on_torchvisions_images_and_tests_on_robustbenchs(
    stand_ins: SimpleNamespace, tmp_path: Path
) -> None:
    dataset = read("cifar10", path=tmp_path, name="few")
    assert stand_ins.order == [
        ("provide",),
        ("torchvision", str(tmp_path), True, True),
        ("robustbench", str(tmp_path)),
    ]
    assert torch.equal(dataset.train.pixels, torch.from_numpy(stand_ins.train).permute(0, 3, 1, 2))
    assert torch.equal(dataset.test.pixels, stand_ins.test)
    assert dataset.train.labels.tolist() == [number % 10 for number in range(20)]
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.classes == cifar10.CLASSES


@pytest.mark.parametrize(
    "error", [OSError("no network"), RuntimeError("File not found or corrupted.")]
)
def test_cifar10_out_of_reach_says_what_to_put_where(
    stand_ins: SimpleNamespace, tmp_path: Path, error: Exception
) -> None:
    stand_ins.fails = error
    with pytest.raises(BenchError) as caught:
        read("cifar10", path=tmp_path, name="cifar10")
    for part in (str(error), "cifar-10-python.tar.gz", str(tmp_path), "parquet"):
        assert part in str(caught.value)


def test_test_images_that_are_not_8_bit_are_refused(
    stand_ins: SimpleNamespace, tmp_path: Path
) -> None:
    stand_ins.shift = 1e-3
    with pytest.raises(BenchError, match="not 8-bit"):
        read("cifar10", path=tmp_path, name="cifar10")
