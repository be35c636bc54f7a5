from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bench.data.sources import cifar, read
from bench.runtime.errors import BenchError, ConfigError

# The front door


def test_an_unknown_source_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'parquet'"):
        read("parket", path=None, name="x")


@pytest.mark.parametrize("source", ["cifar10", "cifar100", "svhn", "parquet", "folder"])
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


# CIFAR-10 and CIFAR-100, with small stand-ins for torchvision and RobustBench


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    rng = np.random.default_rng(0)
    train = rng.integers(256, size=(20, 32, 32, 3), dtype=np.uint8)
    test = torch.from_numpy(rng.integers(256, size=(10, 3, 32, 32), dtype=np.uint8))
    calls = SimpleNamespace(train=train, test=test, order=[], fails=None)

    class FakeCIFAR:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            calls.order.append(("torchvision", root, train, download))
            if calls.fails:
                raise calls.fails
            self.data, self.targets = calls.train, [number % 10 for number in range(20)]
            self.classes = list(cifar.CLASSES)

    def load_test(data_dir: str) -> tuple[torch.Tensor, torch.Tensor]:
        calls.order.append(("robustbench", data_dir))
        return calls.test / 255 + calls.__dict__.get("shift", 0.0), torch.arange(10)

    contents: dict[str, dict[str, Any]] = {
        "torchvision": {},
        "torchvision.datasets": {"CIFAR10": FakeCIFAR, "CIFAR100": FakeCIFAR},
        "robustbench": {},
        "robustbench.data": {"load_cifar10": load_test, "load_cifar100": load_test},
        "bench.attacks.autoattack": {"provide": lambda: calls.order.append(("provide",))},
    }
    for name, members in contents.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
        if (parent := name.rpartition(".")[0]) in ("torchvision", "robustbench"):
            setattr(sys.modules[parent], name.rpartition(".")[2], module)
    return calls


@pytest.mark.parametrize("source", ["cifar10", "cifar100"])
def test_cifar_trains_on_torchvisions_images_and_tests_on_robustbenchs(
    stand_ins: SimpleNamespace, tmp_path: Path, source: str
) -> None:
    dataset = read(source, path=tmp_path, name="few")
    assert stand_ins.order == [
        ("provide",),
        ("torchvision", str(tmp_path), True, True),
        ("robustbench", str(tmp_path)),
    ]
    assert torch.equal(dataset.train.pixels, torch.from_numpy(stand_ins.train).permute(0, 3, 1, 2))
    assert torch.equal(dataset.test.pixels, stand_ins.test)
    assert dataset.train.labels.tolist() == [number % 10 for number in range(20)]
    assert dataset.test.labels.tolist() == list(range(10))
    assert dataset.classes == cifar.CLASSES


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize(
    "error", [OSError("no network"), RuntimeError("File not found or corrupted.")]
)
def test_cifar_out_of_reach_says_what_to_put_where(
    stand_ins: SimpleNamespace, tmp_path: Path, error: Exception, classes: int
) -> None:
    stand_ins.fails = error
    with pytest.raises(BenchError) as caught:
        read(f"cifar{classes}", path=tmp_path, name=f"cifar{classes}")
    for part in (str(error), f"cifar-{classes}-python.tar.gz", str(tmp_path), "parquet"):
        assert part in str(caught.value)


def test_test_images_that_are_not_8_bit_are_refused(
    stand_ins: SimpleNamespace, tmp_path: Path
) -> None:
    stand_ins.shift = 1e-3
    with pytest.raises(BenchError, match="not 8-bit"):
        read("cifar10", path=tmp_path, name="cifar10")


# SVHN, through torchvision's own reader


def write_svhn(folder: Path, part: str, count: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    from scipy.io import savemat
    from torchvision.datasets import SVHN

    pixels = np.random.default_rng(count).integers(256, size=(32, 32, 3, count), dtype=np.uint8)
    # The files have 10 for the digit 0.
    labels = 1 + np.arange(count, dtype=np.uint8)[:, None] % 10
    path = folder / f"{part}_32x32.mat"
    savemat(path, {"X": pixels, "y": labels})
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    entry = [f"http://nowhere.invalid/{path.name}", path.name, md5]
    monkeypatch.setitem(SVHN.split_list, part, entry)
    return pixels


def test_svhn_is_read_with_the_digit_0_as_class_0(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = write_svhn(tmp_path, "train", 30, monkeypatch)
    write_svhn(tmp_path, "test", 20, monkeypatch)
    dataset = read("svhn", path=tmp_path, name="few")
    assert torch.equal(dataset.train.pixels, torch.from_numpy(train).permute(3, 2, 0, 1))
    assert dataset.train.labels.tolist() == [(1 + number % 10) % 10 for number in range(30)]
    assert (len(dataset.test), dataset.classes) == (20, tuple("0123456789"))


def test_an_svhn_file_that_is_another_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_svhn(tmp_path, "train", 30, monkeypatch)
    (tmp_path / "train_32x32.mat").write_bytes(b"a page of a provider")
    with pytest.raises(BenchError, match=r"train_32x32\.mat could not be had"):
        read("svhn", path=tmp_path, name="few")
