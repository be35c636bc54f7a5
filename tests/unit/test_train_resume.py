"""A training that was stopped goes on to the very files that an undisturbed one makes."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from killing import kill_at_random
from stopping import stopping_in
from synthetic import METHODS, MOVED_WEIGHTS, some_data, some_spec

from bench.config.experiment import Model, Schedule, TrainSpec, spec_json
from bench.config.method_options import needs
from bench.data.dataset import save
from bench.results.changes import differences
from bench.runtime.signals import InterruptedJobError
from bench.training import job
from bench.training.job import identity_of, train
from bench.training.run import Run
from bench.training.state import Kept, load_state, save_state

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
CLOCK = {"seconds", "images_per_second", "peak_memory_mb", "history_sha256"}


@pytest.fixture
def data(tmp_path):
    save(some_data(), tmp_path / "data.safetensors")
    return tmp_path / "data.safetensors"


def go(spec: TrainSpec, data: Path, folder: Path) -> None:
    train(spec, experiment="digits", label="mine", data=data, folder=folder)


def made(folder: Path) -> dict[str, object]:
    """Everything in the folder that must not depend on the clock."""
    with (folder / "history.csv").open(newline="") as file:
        history = [
            {key: value for key, value in row.items() if key not in CLOCK}
            for row in csv.DictReader(file)
        ]
    record = json.loads((folder / "train.json").read_text())
    return {
        "files": sorted(path.name for path in folder.iterdir()),
        "history": history,
        "record": {key: value for key, value in record.items() if key not in CLOCK},
        "best": (folder / "best.safetensors").read_bytes(),
        "last": (folder / "last.safetensors").read_bytes(),
    }


STEPS = {"schedule": Schedule(name="steps", milestones=(3,))}


@pytest.mark.parametrize(
    ("method", "training"),
    [
        *((method, {}) for method in METHODS),
        *((method, STEPS) for method in ("standard", "memloss")),
        *((method, MOVED_WEIGHTS) for method in ("trades", "dynat", "cure", "memloss_hat")),
    ],
)
def test_stopped_and_resumed_equals_undisturbed(method, training, data, tmp_path, monkeypatch):
    spec = some_spec(method, epochs=4, **training)
    for label in needs(spec.method, spec.options, None).values():
        go(some_spec(label), data, tmp_path / label / "seed0")
    whole, stopped = (tmp_path / name / "seed0" for name in ("whole", "stopped"))
    go(spec, data, whole)
    for epoch in (2, 4):
        with monkeypatch.context() as patch:
            stopping_in(patch, epoch)
            with pytest.raises(InterruptedJobError, match=r"SIGTERM.*same command"):
                go(spec, data, stopped)
        assert not (stopped / "train.json").exists()
    # A scheduler deletes the declared outputs of a job that failed.
    for name in ("best.safetensors", "last.safetensors", "history.csv"):
        (stopped / name).unlink(missing_ok=True)
    go(spec, data, stopped)
    assert made(stopped) == made(whole)


def test_a_resumed_training_trains_the_missing_epochs_only(data, tmp_path, monkeypatch, capsys):
    spec = some_spec(epochs=3)
    with monkeypatch.context() as patch:
        stopping_in(patch, 3)
        with pytest.raises(InterruptedJobError):
            go(spec, data, tmp_path / "run")
    capsys.readouterr()
    go(spec, data, tmp_path / "run")
    text = capsys.readouterr().out
    assert "resuming from epoch 2" in text
    assert [line.split()[1] for line in text.splitlines() if line.startswith("epoch")] == ["3/3"]


def test_the_state_of_other_settings_counts_for_nothing(data, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stopping_in(patch, 3)
        with pytest.raises(InterruptedJobError):
            go(some_spec("trades", options={"beta": 1.0}, epochs=3), data, tmp_path / "run")
    assert "starting again" not in capsys.readouterr().out
    spec = some_spec("trades", options={"beta": 6.0}, epochs=3)
    go(spec, data, tmp_path / "run")
    said = "starting again: the training that was interrupted here had other values of"
    assert f"{said} spec.options.beta\n" in capsys.readouterr().out
    go(spec, data, tmp_path / "whole")
    assert "starting again" not in capsys.readouterr().out
    assert made(tmp_path / "run") == made(tmp_path / "whole")


def test_a_training_that_another_device_or_version_began_says_so_and_starts_again(
    data, tmp_path, monkeypatch, capsys
):
    spec = some_spec(epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr("bench.training.job.describe", lambda _: "NVIDIA H100")
        patch.setattr("bench.training.job.packages", lambda: {"torch": "1.0"})
        stopping_in(patch, 2)
        with pytest.raises(InterruptedJobError):
            go(spec, data, tmp_path / "run")
    go(spec, data, tmp_path / "run")
    assert "here had other values of device, torch\n" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["train", "test"])
def test_the_state_of_other_images_counts_for_nothing(data, tmp_path, monkeypatch, capsys, part):
    spec = some_spec(epochs=2)
    with monkeypatch.context() as patch:
        stopping_in(patch, 2)
        with pytest.raises(InterruptedJobError):
            go(spec, data, tmp_path / "run")
    other = some_data()
    other.parts()[part].pixels[3, 0, 2, 2] ^= 1
    save(replace(other), data)
    go(spec, data, tmp_path / "run")
    assert "here had other values of images\n" in capsys.readouterr().out
    go(spec, data, tmp_path / "whole")
    assert made(tmp_path / "run") == made(tmp_path / "whole")


def test_all_that_weights_depend_on_is_in_the_identity_of_a_state(monkeypatch):
    spec, whole = some_spec(), some_data()

    def keys(other: str) -> list[str]:
        found = differences(json.loads(before), json.loads(other))
        return sorted({key.partition(".")[0] for key in found})

    before = identity_of(spec, whole, CPU)
    assert keys(identity_of(some_spec(seed=1), whole, CPU)) == ["spec"]
    assert keys(identity_of(spec, some_data(45), CPU)) == ["images"]
    assert keys(identity_of(spec, whole, CPU, {"start": "a digest"})) == ["needed"]
    for name, other, key in (
        ("train_digest", "other code", "code"),
        ("describe", "other device", "device"),
        ("packages", {"torch": "0.1"}, "torch"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(job, name, lambda *_, other=other: other)
            assert keys(identity_of(spec, whole, CPU)) == [key]


def test_a_state_takes_weights_of_one_piece_of_memory_in_any_layout(tmp_path):
    # Wide enough for the channels to lie together.
    spec = replace(some_spec("standard"), model=Model(name="resnet18", width=8))
    runs = [Run(replace(spec, seed=seed), some_data(channels=3), CPU) for seed in (0, 1)]
    weights = runs[0].model.state_dict()
    assert not weights["conv1.weight"].is_contiguous()
    kept = Kept(history=[], checkpoints={}, best=weights)
    save_state(tmp_path / "state.safetensors", "{}", runs[0], kept)
    found = load_state(tmp_path / "state.safetensors", "{}", runs[1])
    assert found is not None
    for name, value in runs[1].model.state_dict().items():
        assert torch.equal(value, weights[name])
        assert torch.equal(found.best[name], weights[name])


def test_a_damaged_state_counts_for_nothing(data, tmp_path, monkeypatch):
    spec = some_spec(epochs=2)
    with monkeypatch.context() as patch:
        stopping_in(patch, 2)
        with pytest.raises(InterruptedJobError):
            go(spec, data, tmp_path / "run")
    state = tmp_path / "run/state/training.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    go(spec, data, tmp_path / "run")
    go(spec, data, tmp_path / "whole")
    assert made(tmp_path / "run") == made(tmp_path / "whole")


def test_killed_at_random_moments_equals_undisturbed(data, tmp_path):
    spec = some_spec("memloss", epochs=40)
    go(spec, data, tmp_path / "whole")
    command = [sys.executable, "-m", "bench", "train", "--spec", json.dumps(spec_json(spec))]
    command += ["--experiment", "digits", "--method", "mine", "--seed", "0", "--data", str(data)]
    command += ["--folder", str(tmp_path / "killed")]
    state = tmp_path / "killed/state/training.safetensors"

    def written() -> int:
        return state.stat().st_mtime_ns if state.exists() else 0

    environment = {"OMP_NUM_THREADS": "1"}
    assert kill_at_random(command, written, within=0.3, cwd=ROOT, environment=environment) > 0
    assert made(tmp_path / "killed") == made(tmp_path / "whole")
