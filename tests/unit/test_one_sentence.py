"""Files and machines that are not what a command needs: one line, exit code 1, nothing written."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from pictures import picture, png
from settings import settings
from synthetic import EPS, some_data, some_images, some_spec

from bench.__main__ import main
from bench.config.experiment import EvaluationSpec, Threat, experiment, spec_json
from bench.data.dataset import Dataset, load, save
from bench.models import checkpoint as weights

HTML = b"<!DOCTYPE html><html><body>Quota exceeded</body></html>"
RUN = ("--method", "trades", "--seed", "0")
Say = Callable[..., str]


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command that must fail, and return the only line on standard error."""

    def run(*arguments: str) -> str:
        assert main(list(arguments)) == 1
        # Libraries have progress bars; what is ours is the last line.
        *others, last = capsys.readouterr().err.splitlines()
        assert not [other for other in others if other.startswith(("Traceback", "error"))], others
        return last

    return run


# The data


@pytest.fixture
def data(tmp_path: Path, line: Say) -> Say:
    """Prepare data with `keys` of its section, and return the line; no file may be left."""

    def prepare(**keys: Any) -> str:
        config = tmp_path / "config.yaml"
        section = {"name": "mine", "path": str(tmp_path / "images"), **keys}
        config.write_text(yaml.safe_dump(settings({"data": section})))
        said = line("data", "--config", str(config), "--out", str(tmp_path / "out" / "data"))
        assert not (tmp_path / "out").exists()
        return said

    return prepare


def parquet(path: Path, labels: list[int], *, image: str = "img", wide: int = 6) -> None:
    sizes = [(6, 4)] * (len(labels) - 1) + [(wide, 4)]
    rows = [{"bytes": png(picture(1, size)), "path": None} for size in sizes]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({image: rows, "label": labels}), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "picture"}, "test-0.parquet: expected a column img or image (a struct with"),
        ({"wide": 8}, "test-0.parquet, row 1: 8 x 4 pixels, but the images before it are 6 x 4"),
        ({"labels": [0, 2]}, "images: dataset 'mine': the test labels run from 0 to 2, but its 2"),
        ({"labels": [0, 2**40]}, "the test labels run from 0 to 1099511627776"),
    ],
)
def test_parquet_files_with_other_content(data, tmp_path, change, said):
    parquet(tmp_path / "images" / "train-0.parquet", [0, 1])
    parquet(tmp_path / "images" / "test-0.parquet", **{"labels": [0, 1], **change})
    assert said in data(source="parquet", classes=["no", "yes"])


def test_test_images_of_another_size_than_the_training_images(data, tmp_path):
    parquet(tmp_path / "images" / "train-0.parquet", [0])
    parquet(tmp_path / "images" / "test-0.parquet", [0], wide=8)
    said = data(source="parquet")
    assert said.startswith(f"error: {tmp_path / 'images'}: dataset ")
    assert "test images are (3, 4, 8); bring them to one size" in said


@pytest.mark.parametrize("kept", [0, 1, 100])
def test_a_parquet_file_that_ends_too_early(data, tmp_path, kept):
    for part in ("train", "test"):
        parquet(tmp_path / "images" / f"{part}-0.parquet", [0, 1])
    path = tmp_path / "images" / "test-0.parquet"
    path.write_bytes(path.read_bytes()[: kept or -1])
    said = data(source="parquet")
    assert said.startswith(f"error: {path}: truncated or not a parquet file (")
    assert said.endswith("fetch it again")


class Page:
    """What a web server answers that has something else than the archive."""

    url, length = None, len(HTML)

    def __init__(self) -> None:
        self.left = [HTML, b""]

    def read(self, _: int) -> bytes:
        return self.left.pop(0)

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.filterwarnings("ignore")
def test_cifar10_without_a_network(data, tmp_path, monkeypatch):
    def offline(*_: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", offline)
    said = data(source="cifar10")
    assert "Name or service not known" in said
    assert f"put cifar-10-python.tar.gz into {tmp_path / 'images'}" in said
    assert "delete" not in said


@pytest.mark.filterwarnings("ignore")
def test_a_web_page_in_place_of_cifar10(data, tmp_path, monkeypatch):
    monkeypatch.setattr("urllib.request.urlopen", lambda *_: Page())
    archive = tmp_path / "images" / "cifar-10-python.tar.gz"
    said = data(source="cifar10")
    assert archive.read_bytes() == HTML
    assert f"what is at {archive} is not the published archive: delete it and put" in said


# The paths


@pytest.mark.parametrize(
    "arguments",
    [
        ["statistics", "--folder"],
        ["claims", "--folder"],
        ["tables", "--folder"],
    ],
)
def test_a_file_of_the_users_own_is_neither_deleted_nor_moved(line, tmp_path, arguments):
    path = tmp_path / "README.md"
    path.write_text("mine")
    said = line(*arguments, str(path))
    assert said.startswith(f"error: {path}")
    assert "; name " in said
    assert "delete" not in said
    assert "move" not in said


# The runs


@pytest.fixture
def run(trained_run: Path) -> Path:
    return trained_run


@pytest.fixture
def evaluation(line: Say, run: Path) -> Say:
    """Evaluate the run and return the line; no record may be left."""
    spec: EvaluationSpec = replace(experiment(settings()).evaluation_spec(), threat=Threat(eps=EPS))

    def evaluate(**compute: Any) -> str:
        text = json.dumps(spec_json(replace(spec, compute=replace(spec.compute, **compute))))
        places = ("--data", str(run / "data.safetensors"), "--folder", str(run))
        said = line("evaluate", "--spec", text, *RUN, *places)
        assert not (run / "evaluation.json").exists()
        return said

    return evaluate


def test_a_truncated_checkpoint(evaluation, run):
    path = run / "best.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    said = evaluation()
    assert said.startswith(f"error: {path}: truncated or not a checkpoint (")
    assert said.endswith("train this run again: delete the file and call snakemake")


def test_a_checkpoint_of_another_architecture(evaluation, run):
    path = run / "best.safetensors"
    model, about = weights.load(path)
    weights.save(path, model.state_dict(), replace(about, model="resnet18"))
    assert f"{path}: not weights of resnet18 (" in evaluation()


def test_a_checkpoint_of_another_data_set(evaluation, run):
    path = run / "data.safetensors"
    whole = load(path)
    save(Dataset("other", whole.classes, whole.train, some_images(20, seed=9)), path)
    said = evaluation()
    assert said.startswith(f"error: {run / 'train.json'}: trained on other images than other (")
    assert said.endswith("train this run again or give its own data file")


@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_a_truncated_data_file(evaluation, line, run, command):
    path = run / "data.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    if command == "evaluate":
        said = evaluation()
    else:
        text = json.dumps(spec_json(some_spec()))
        places = ("--data", str(path), "--folder", str(run / "new"), "--experiment", "tiny")
        said = line("train", "--spec", text, *RUN, *places)
        assert not (run / "new").exists()
    assert said.startswith(f"error: {path}: damaged or not a dataset (")
    assert said.endswith("or name another file")


@pytest.mark.parametrize("content", ["{}", "[]", '{"data": {"fingerprint": 3}}', '{"data": null}'])
def test_a_record_that_lacks_its_keys(evaluation, run, content):
    (run / "train.json").write_text(content)
    said = evaluation()
    assert said.startswith(f"error: {run / 'train.json'}: ")
    assert "train this run" in said


@pytest.mark.parametrize(
    ("section", "value", "keys"),
    [
        ("threat", {}, ("spec.threat", "'eps'")),
        ("threat", {"eps": [0.1]}, ("spec.threat.eps",)),
        # Text is read as a config's is, and this is another ball than that of the evaluation.
        ("threat", {"eps": "8/255"}, ("threat.eps",)),
        ("checkpoints", {}, ("checkpoints",)),
        ("checkpoints", {"best": {}}, ("checkpoints.best", "'weights_sha256'")),
        ("checkpoints", {"best": None}, ("checkpoints.best",)),
    ],
)
def test_a_record_without_what_is_evaluated_names_the_key(evaluation, run, section, value, keys):
    path = run / "train.json"
    record = json.loads(path.read_text())
    (record["spec"] if section == "threat" else record)[section] = value
    path.write_text(json.dumps(record))
    said = evaluation()
    assert said.startswith(f"error: {path}: ")
    assert all(key in said for key in keys)
    assert "train this run" in said


def test_cuda_that_is_not_there(evaluation, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("bench.runtime.gpus.devices", list)
    said = evaluation(device="cuda", threads=None)
    assert said.startswith("error: compute.device is cuda and there is no CUDA device here (")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_web_page_in_place_of_a_robustbench_model(line, tmp_path, monkeypatch):
    whole = some_data(channels=3, side=32)
    save(replace(whole, name="cifar10"), tmp_path / "data.safetensors")
    path = tmp_path / "robustbench" / "cifar10" / "Linf" / "Rice2020Overfitting.pt"
    path.parent.mkdir(parents=True)
    path.write_bytes(HTML)
    text = json.dumps(spec_json(experiment(settings()).evaluation_spec()))
    places = ("--data", str(tmp_path / "data.safetensors"), "--folder", str(tmp_path / "out"))
    said = line("reference", "--name", "Rice2020Overfitting", "--spec", text, *places)
    assert said.startswith(f"error: {path} is not the checkpoint of RobustBench's Rice2020")
    assert "weights_only" not in said
    assert said.endswith("leaves a web page in its place: delete it and fetch it again")
    assert not (tmp_path / "out").exists()


# The summary


@pytest.mark.parametrize("edit", ["gone", "changed"])
def test_a_file_of_examples_that_is_gone_or_edited(line, results_factory, tmp_path, edit):
    run = results_factory.run()
    path = run / "examples" / "best" / "pgd20.csv"
    if edit == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("\n0,0,1,1,\n", "\n0,0,1,0,pgd20\n"))
    reported = tmp_path / "reported.csv"
    reported.write_text(
        "dataset,model,method,spec_method,options,metric,value,eps,n,checkpoint_rule,source,kind\n"
    )
    folder = results_factory.folder
    said = line("summarize", "--folder", str(folder), "--reported", str(reported))
    assert said.startswith(f"error: {path}: ")
    assert f"--forcerun {run / 'evaluation.json'}`" in said
    assert not (folder / "summary.csv").exists()
