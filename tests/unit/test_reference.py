from __future__ import annotations

import enum
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from factory import edit_json, read_csv
from margins import Blocks, pixels
from torch import nn

from bench.config.experiment import Compute, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import Dataset, Images, load, save
from bench.evaluation import reference
from bench.evaluation.reference import (
    UnavailableError,
    evaluate_reference,
    load_reference,
    reference_files,
)
from bench.results.evaluated import read_references
from bench.results.paths import Paths
from bench.results.records import TrainRecord
from bench.runtime.errors import BenchError, ConfigError
from bench.runtime.files import sha256


class BenchmarkDataset(enum.Enum):
    cifar_10 = "cifar10"
    cifar_100 = "cifar100"


class ThreatModel(enum.Enum):
    Linf = "Linf"


MODELS = {
    BenchmarkDataset.cifar_10: {
        ThreatModel.Linf: {
            "Rice2020Overfitting": {"gdrive_id": "abc"},
            "Chen2020Adversarial": {"gdrive_id": ["abc", "def"]},
            "Debenedetti2022Light_XCiT-S12": {"gdrive_id": None},
        }
    },
    BenchmarkDataset.cifar_100: {ThreatModel.Linf: {}},
}
Install = Callable[..., None]


def arriving(download: str, path: Path) -> None:
    path.write_text(f"weights {download}", encoding="utf-8")


def offline(*_: object) -> None:
    raise ConnectionError("no route\nand much more")


def unread(**_: object) -> nn.Module:
    raise AssertionError("a checkpoint that did not arrive was read")


@pytest.fixture
def robustbench(monkeypatch: pytest.MonkeyPatch) -> Install:
    """RobustBench with three listed models, and the loader and network that a test gives it."""

    def install(
        loader: Callable[..., nn.Module] = unread, fetch: Callable[..., None] = arriving
    ) -> None:
        contents: dict[str, dict[str, Any]] = {
            "robustbench": {},
            "robustbench.utils": {"load_model": loader, "download_gdrive_new": fetch},
            "robustbench.model_zoo": {"model_dicts": MODELS},
            "robustbench.model_zoo.enums": {
                "BenchmarkDataset": BenchmarkDataset,
                "ThreatModel": ThreatModel,
            },
        }
        for name, content in contents.items():
            module = ModuleType(name)
            module.__dict__.update(content)
            monkeypatch.setitem(sys.modules, name, module)

    monkeypatch.setattr(reference, "provide", lambda: None)
    return install


def test_the_model_comes_from_robustbenchs_loader_in_eval_mode(robustbench, tmp_path):
    asked: dict[str, object] = {}
    network = nn.Dropout()

    def loader(**arguments: object) -> nn.Module:
        asked.update(arguments)
        return network

    robustbench(loader)
    model = load_reference("Rice2020Overfitting", folder=tmp_path)
    assert model is network
    assert not model.training
    assert asked == {
        "model_name": "Rice2020Overfitting",
        "model_dir": str(tmp_path),
        "dataset": "cifar10",
        "threat_model": "Linf",
    }


def test_what_is_there_already_needs_no_network(robustbench, tmp_path):
    robustbench(lambda **_: nn.Dropout(), offline)
    (path,) = reference_files("Rice2020Overfitting", folder=tmp_path)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    assert isinstance(load_reference("Rice2020Overfitting", folder=tmp_path), nn.Dropout)
    assert path.read_bytes() == b"weights"


@pytest.mark.parametrize("fetch", [offline, lambda *_: None])
def test_without_a_network_the_error_says_where_the_file_goes(robustbench, tmp_path, fetch):
    robustbench(fetch=fetch)
    with pytest.raises(UnavailableError) as caught:
        load_reference("Rice2020Overfitting", folder=tmp_path)
    assert str(tmp_path / "cifar10" / "Linf" / "Rice2020Overfitting.pt") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_each_part_of_an_ensemble_is_fetched_to_its_own_place(robustbench, tmp_path):
    robustbench(lambda **_: nn.Dropout())
    load_reference("Chen2020Adversarial", folder=tmp_path)
    place = tmp_path / "cifar10" / "Linf"
    assert {path.name: path.read_text() for path in place.iterdir()} == {
        "Chen2020Adversarial.pt_m0.pt": "weights abc",
        "Chen2020Adversarial.pt_m1.pt": "weights def",
    }


def test_the_missing_part_of_an_ensemble_is_named(robustbench, tmp_path):
    robustbench(fetch=offline)
    first, second = reference_files("Chen2020Adversarial", folder=tmp_path)
    first.parent.mkdir(parents=True)
    first.write_bytes(b"weights")
    with pytest.raises(UnavailableError) as caught:
        load_reference("Chen2020Adversarial", folder=tmp_path)
    assert str(second) in str(caught.value)
    assert str(first) not in str(caught.value)


def test_a_web_page_in_place_of_the_weights_is_named(robustbench, tmp_path):
    def loader(**_: object) -> nn.Module:
        raise ValueError("invalid load key, '<'.")

    robustbench(loader)
    path = tmp_path / "cifar10" / "Linf" / "Rice2020Overfitting.pt"
    with pytest.raises(BenchError, match=f"^{path} ") as caught:
        load_reference("Rice2020Overfitting", folder=tmp_path)
    assert not isinstance(caught.value, UnavailableError)


@pytest.mark.parametrize(
    ("name", "dataset", "said"),
    [
        ("Rice2020Overfiting", "cifar10", "did you mean Rice2020Overfitting"),
        ("Rice2020Overfitting", "cifar100", "cifar100"),
        ("Rice2020Overfitting", "digits", r"'digits'.*cifar10, cifar100"),
        ("Debenedetti2022Light_XCiT-S12", "cifar10", "timm"),
    ],
)
def test_a_model_that_is_not_listed_is_refused(robustbench, tmp_path, name, dataset, said):
    robustbench(fetch=offline)
    with pytest.raises(ConfigError, match=said):
        load_reference(name, folder=tmp_path, dataset=dataset)


def test_a_robustbench_that_does_not_import_is_named(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(reference, "provide", lambda: None)
    monkeypatch.setitem(sys.modules, "robustbench", None)
    for name in [name for name in sys.modules if name.startswith("robustbench.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(BenchError, match="RobustBench"):
        load_reference("Rice2020Overfitting", folder=tmp_path)


LABELS, LEVELS = [0, 1, 2, 3, 4, 5], [4, 16, 4, 16, 16, 4]
EPS = 8 / 255


def prepared(path: Path, name: str) -> Path:
    """A data file whose test images of level 16 are robust at 8/255, and those of level 4 not."""
    labels = torch.tensor(LABELS)
    labels[-1] = 0
    test = Images(pixels(LABELS, LEVELS, (3, 32, 32)), labels)
    train = Images(test.pixels + 1, labels)
    save(Dataset(name, tuple("abcdefghij"), train, test), path)
    return path


def short() -> EvaluationSpec:
    attacks = {"pgd10": Pgd(steps=10, step_size=EPS / 4)}
    return EvaluationSpec(
        threat=Threat(eps=EPS),
        evaluation=Evaluation(batch_size=4, pgd=attacks),
        compute=Compute(device="cpu", threads=torch.get_num_threads(), tf32=False),
    )


def test_a_listed_model_is_evaluated_as_ours_are(robustbench, tmp_path):
    robustbench(lambda **_: Blocks((3, 32, 32), scale=100.0))
    data = prepared(tmp_path / "data" / "cifar10.safetensors", "cifar10-jpeg")
    folder = tmp_path / "reference" / "Rice2020Overfitting"
    evaluate_reference("Rice2020Overfitting", short(), data=data, folder=folder)

    record = json.loads((folder / "evaluation.json").read_text())
    best = record["checkpoints"]["best"]
    weights = tmp_path / "data" / "robustbench" / "cifar10" / "Linf" / "Rice2020Overfitting.pt"
    assert record["method"] == "Rice2020Overfitting"
    assert record["data"]["name"] == "cifar10-jpeg"
    assert best["weights_sha256"] == sha256(weights)
    assert {name: entry["correct"] for name, entry in best["attacks"].items()} == {
        "clean": 5,
        "pgd10": 3,
    }
    fates = [row["broken_by"] for row in read_csv(folder / "examples" / "best" / "pgd10.csv")]
    assert fates == ["pgd10", "", "pgd10", "", "", "clean"]


def test_the_analysis_reads_what_was_evaluated_and_what_was_not(robustbench, results_factory):
    data = prepared(results_factory.folder / "data.safetensors", "cifar10")
    for name, fetch in (("Rice2020Overfitting", arriving), ("Chen2020Adversarial", offline)):
        robustbench(lambda **_: Blocks((3, 32, 32), scale=100.0), fetch)
        folder = results_factory.folder / "reference" / name
        evaluate_reference(name, short(), data=data, folder=folder)
    run = results_factory.run(correct={})
    images = {"name": "cifar10", "fingerprint": load(data).fingerprint, "test_images": 6}
    edit_json(run / "train.json", **{f"data__{key}": value for key, value in images.items()})
    beside = TrainRecord.read(run / "train.json", "")
    (found,) = read_references(Paths(results_factory.folder), None, beside=beside)
    assert found.evaluation.method == "Rice2020Overfitting"
    assert found.results["best"]["pgd10"].examples["robust"].tolist() == [0, 1, 0, 1, 1, 0]


def test_images_that_robustbench_has_no_models_for_are_refused(robustbench, tmp_path):
    robustbench(fetch=offline)
    data = prepared(tmp_path / "digits.safetensors", "digits")
    with pytest.raises(ConfigError, match=r"'digits'.*reference\.models"):
        evaluate_reference("Rice2020Overfitting", short(), data=data, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_a_network_the_record_says_so_and_the_job_ends_well(robustbench, tmp_path, capsys):
    robustbench(fetch=offline)
    data = prepared(tmp_path / "cifar10.safetensors", "cifar10")
    folder = tmp_path / "reference" / "Rice2020Overfitting"
    evaluate_reference("Rice2020Overfitting", short(), data=data, folder=folder)
    (path,) = reference_files("Rice2020Overfitting", folder=tmp_path / "robustbench")
    record = json.loads((folder / "evaluation.json").read_text())
    assert set(record) == {"method", "unavailable"}
    assert str(path) in record["unavailable"]
    assert capsys.readouterr().out == f"{record['unavailable']}\n"
    assert not (folder / "examples").exists()


@pytest.mark.parametrize("name", ["Rice2020Overfitting", "Rice2020"])
def test_a_corrupt_file_or_an_unknown_name_ends_the_job_badly(robustbench, tmp_path, name):
    def loader(**_: object) -> nn.Module:
        raise ConnectionError("raised by what is no checkpoint")

    robustbench(loader)
    data = prepared(tmp_path / "cifar10.safetensors", "cifar10")
    with pytest.raises(BenchError) as caught:
        evaluate_reference(name, short(), data=data, folder=tmp_path / "out")
    assert not isinstance(caught.value, UnavailableError)
    assert not (tmp_path / "out").exists()
