from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import EPS, METHODS, some_data, some_images, some_spec
from torch import Tensor

from bench.config.experiment import Compute, Threat, TrainSpec
from bench.config.method_options import needs
from bench.config.parsing import parse
from bench.data.dataset import Dataset, Images, save
from bench.methods.trades import Trades
from bench.models import checkpoint as weights
from bench.results.records import TrainRecord
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.provenance import packages
from bench.training.forgetting import COLUMNS
from bench.training.job import train
from bench.training.run import Epoch, Run

FILES = ["best.safetensors", "history.csv", "last.safetensors", "train.json"]
TRAINED = ("train_clean", "train_robust", "validation_clean", "validation_pgd")
CLOCK = ("seconds", "images_per_second", "peak_memory_mb")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    save(some_data(), tmp_path / "data.safetensors")
    return tmp_path / "data.safetensors"


def trained(spec: TrainSpec, data: Path, name: str = "run", label: str = "mine") -> Path:
    folder = data.parent / name / "seed0"
    for needed in needs(spec.method, spec.options, None).values():
        if not (data.parent / needed).exists():
            trained(some_spec(needed), data, needed)
    train(spec, experiment="digits", label=label, data=data, folder=folder)
    return folder


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "train.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def result(folder: Path) -> dict[str, Any]:
    """Return all that must not depend on the clock."""
    timeless = record(folder)
    del timeless["seconds"], timeless["history_sha256"]
    return {
        "weights": [(folder / name).read_bytes() for name in FILES if "tensors" in name],
        "history": [{k: v for k, v in row.items() if k not in CLOCK} for row in history(folder)],
        "record": timeless,
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_run_leaves_weights_a_history_and_a_record_that_agree(method, data):
    spec = some_spec(method)
    folder = trained(spec, data)
    assert sorted(path.name for path in folder.iterdir()) == FILES

    found = record(folder)
    assert parse(TrainRecord, found, where="train.json").spec == spec
    assert (found["experiment"], found["method"], found["seed"]) == ("digits", "mine", 0)
    assert found["selected_on"] == "validation"
    assert (found["precision"], found["tf32"], found["engine"]) == ("float32", False, "folded")
    assert (found["device"], found["threads"]) == ("cpu", 1)
    assert found["packages"] == packages()
    images = {key: found["data"][f"{key}_images"] for key in ("train", "validation", "test")}
    assert images == {"train": 40, "validation": 4, "test": 20}
    assert {found["data"][f"source_{part}_images"] for part in ("train", "test")} == {44, 20}
    assert found["data"]["image_shape"] == list(some_data().train.pixels.shape[1:])
    assert found["data"]["fingerprint"] == some_data().fingerprint
    assert (found["data"]["train_duplicates"], found["data"]["train_test_duplicates"]) == (0, 0)
    assert found["data"]["classes"] == [str(digit) for digit in range(10)]

    rows = history(folder)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert set(found["checkpoints"]) == {"best", "last"}
    assert found["checkpoints"]["last"]["epoch"] == 2
    for name, checkpoint in found["checkpoints"].items():
        path = folder / f"{name}.safetensors"
        assert checkpoint["weights_sha256"] == sha256(path)
        row = rows[checkpoint["epoch"] - 1]
        assert row["validation_clean"] == f"{checkpoint['validation_clean']:.2f}"
        assert row["validation_pgd"] == f"{checkpoint['validation_pgd']:.2f}"
        model, about = weights.load(path)
        assert (about.data, about.fingerprint) == ("synthetic", found["data"]["fingerprint"])
        assert sum(p.numel() for p in model.parameters()) == found["model"]["parameters"]


@pytest.mark.parametrize(
    ("method", "terms", "empty"),
    [
        ("standard", ["cross_entropy"], {"train_robust"}),
        ("pgd_at", ["cross_entropy"], {"train_clean"}),
        ("trades", ["cross_entropy", "divergence"], set()),
        ("mart", ["boosted_cross_entropy", "weighted_divergence"], set()),
        ("memloss", ["cross_entropy", "divergence", "memory"], set()),
        ("memory_mart", ["boosted_cross_entropy", "memory"], set()),
        ("memloss_hat", ["cross_entropy", "divergence", "memory", "helper"], set()),
        ("hat", ["cross_entropy", "divergence", "helper"], set()),
        ("dynat", ["guide", "target"], set()),
        ("cure", ["cross_entropy", "divergence", "consistency"], set()),
        ("sat", ["cross_entropy", "regularizer"], {"train_clean"}),
        ("fgsm_at", ["cross_entropy"], {"train_clean"}),
        ("fgsm_rs", ["cross_entropy"], {"train_clean"}),
    ],
)
def test_the_history_has_the_columns_of_its_method_and_blanks_where_nothing_applies(
    method, terms, empty, data
):
    rows = history(trained(some_spec(method), data))
    losses = [f"loss_{term}" for term in terms]
    replay = [] if method == "standard" else list(COLUMNS)
    columns = ["epoch", "learning_rate", "loss", *losses, *TRAINED, *replay, *CLOCK]
    assert list(rows[0]) == columns
    for number, row in enumerate(rows):
        blank = {name for name, value in row.items() if value == ""} - set(replay)
        first = {"loss_memory"} & set(columns) if number == 0 else set()
        assert blank == empty | first | {"peak_memory_mb"}
        total = sum(float(row[name]) for name in losses if row[name])
        assert float(row["loss"]) == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_spec_and_data_give_the_same_bytes(method, data):
    one, other = (trained(some_spec(method), data, name) for name in ("one", "other"))
    assert result(one) == result(other)


def test_another_seed_gives_other_weights(data):
    one, other = (trained(some_spec(seed=seed), data, f"seed{seed}") for seed in (0, 1))
    assert not set(result(one)["weights"]) & set(result(other)["weights"])


def test_the_test_set_changes_nothing_but_the_fingerprint(data):
    one = trained(some_spec(), data, "one")
    whole = some_data()
    noise = some_images(len(whole.test), seed=99)
    other_test = Images(noise.pixels, (whole.test.labels + 3) % 10)
    save(Dataset(whole.name, whole.classes, whole.train, other_test), data)
    other = trained(some_spec(), data, "other")

    assert result(one)["history"] == result(other)["history"]
    for name in ("best", "last"):
        ours, _ = weights.load(one / f"{name}.safetensors")
        theirs, _ = weights.load(other / f"{name}.safetensors")
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key]), key
    chosen = [record(folder)["checkpoints"]["best"]["epoch"] for folder in (one, other)]
    assert chosen[0] == chosen[1]


def test_selection_on_the_test_set_is_marked_and_holds_nothing_out(data):
    found = record(trained(some_spec(checkpoint_selection="test"), data))
    assert found["selected_on"] == "test"
    images = {key: found["data"][f"{key}_images"] for key in ("train", "validation", "test")}
    assert images == {"train": 44, "validation": 0, "test": 20}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[list[tuple[float, float]]], None]:
    """Let the epochs of a run measure given (clean, PGD) accuracies and number the weights."""

    def script(accuracies: list[tuple[float, float]]) -> None:
        def epoch(self: Run, number: int, _watch: object) -> Epoch:
            with torch.no_grad():
                self.model.linear.bias.fill_(number)
            clean, robust = accuracies[number - 1]
            return Epoch(
                epoch=number,
                learning_rate=0.1,
                loss=1.0,
                terms={"loss_cross_entropy": 1.0},
                train_clean=None,
                train_robust=None,
                validation_clean=clean,
                validation_pgd=robust,
            )

        monkeypatch.setattr(Run, "epoch", epoch)

    return script


@pytest.mark.parametrize(
    ("method", "accuracies", "best"),
    [
        ("trades", [(50, 10), (50, 30), (99, 20)], 2),
        ("trades", [(50, 30), (60, 30), (60, 30), (59, 30)], 2),
        ("memloss", [(50, 10), (40, 20), (30, 30)], 3),
        ("standard", [(50, 9), (70, 0), (70, 5), (60, 9)], 2),
        ("pgd_at", [(0, 0), (0, 0)], 1),
        ("pgd_at", [(10, 10), (50, 8), (15, 15)], 2),
        ("standard", [(10, 10), (50, 8), (15, 15)], 2),
    ],
)
def test_best_is_the_first_epoch_that_nothing_beats_and_last_is_the_last(
    scripted, data, method, accuracies, best
):
    scripted([(float(clean), float(robust)) for clean, robust in accuracies])
    spec = some_spec(method, epochs=len(accuracies), validation_images=20)
    folder = trained(spec, data)
    found = record(folder)["checkpoints"]
    assert (found["best"]["epoch"], found["last"]["epoch"]) == (best, len(accuracies))
    for name in ("best", "last"):
        model, _ = weights.load(folder / f"{name}.safetensors")
        assert set(model.linear.bias.tolist()) == {float(found[name]["epoch"])}


@pytest.mark.parametrize(
    ("accuracies", "chance"),
    [([(10, 10), (15, 5)], (True, True)), ([(60, 20), (10, 10)], (False, True))],
)
def test_a_checkpoint_at_chance_level_is_marked_and_told_where_nothing_is_better(
    scripted, data, capsys, accuracies, chance
):
    scripted([(float(clean), float(robust)) for clean, robust in accuracies])
    found = record(trained(some_spec(epochs=2, validation_images=20), data))["checkpoints"]
    assert tuple(found[name]["chance_level"] for name in ("best", "last")) == chance
    said = capsys.readouterr().out
    assert ("warning: mine: no epoch is better than chance; the best, epoch 1" in said) == chance[0]
    assert ("10.00 % of them have the most frequent label" in said) == chance[0]


def test_what_selected_the_checkpoint_is_recorded(data):
    by = {m: record(trained(some_spec(m), data, m))["selected_by"] for m in ("standard", "mart")}
    assert by == {"standard": "clean accuracy", "mart": "PGD accuracy"}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_loss_that_is_not_finite_keeps_what_the_epochs_before_it_made(monkeypatch, data):
    # Before the first epoch two steps are made to count their passes.
    original, before, steps = Trades.terms, [], iter(range(-1, 100))

    def terms(self: Trades, logits: dict[str, Tensor], labels: Tensor) -> dict[str, Tensor]:
        parts = original(self, logits, labels)
        if next(steps) >= 5:
            before.append(files(folder))
            parts["divergence"] = parts["divergence"] * float("nan")
        return parts

    folder = data.parent / "run" / "seed0"
    monkeypatch.setattr(Trades, "terms", terms)
    with pytest.raises(BenchError, match=r"^mine: .* epoch 2, step 2; lower .*rate \(") as caught:
        trained(some_spec(), data)
    kept = f"what was made up to epoch 1 is kept in {folder / 'state'}, from which only unchanged"
    assert kept in str(caught.value)
    assert set(before[0]) >= set(FILES) - {"train.json"}
    assert files(folder) == before[0]
    assert len(history(folder)) == 1
    weights.load(folder / "last.safetensors")
    # The same again when it goes on from there.
    with pytest.raises(BenchError, match=r"^mine: .* epoch 2, step 1"):
        trained(some_spec(), data)
    assert files(folder) == before[0]


def test_a_training_that_diverges_in_its_first_epoch_has_saved_nothing_and_says_so(
    data, monkeypatch
):
    monkeypatch.setattr(
        Trades, "terms", lambda _, logits, __: {"loss": logits["clean"].sum() * float("nan")}
    )
    with pytest.raises(BenchError, match=r"^mine: .* epoch 1, .*\(no epoch was finished, so not"):
        trained(some_spec(), data)
    assert not (data.parent / "run" / "seed0").exists()


def test_what_a_killed_process_left_half_written_is_cleared_away(data):
    state = data.parent / "run" / "seed0" / "state"
    state.mkdir(parents=True)
    (state / ".training.123.partial.safetensors").write_bytes(b"half")
    assert sorted(path.name for path in trained(some_spec(), data).iterdir()) == FILES


def test_a_log_gets_a_line_an_epoch(data, capsys):
    trained(some_spec(), data)
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if not line.startswith("warning: ")]
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all("validation clean" in line and "images/s" in line for line in lines)


def test_a_run_says_what_is_missing_before_it_trains(data):
    with pytest.raises(BenchError, match=r"nothing\.safetensors: there is no such file"):
        trained(some_spec(), data.with_name("nothing.safetensors"))
    if not torch.cuda.is_available():
        with pytest.raises(BenchError, match=r"compute\.device is cuda"):
            trained(some_spec(compute=Compute(device="cuda")), data)
    assert not (data.parent / "run" / "seed0").exists()


def test_a_run_takes_its_radius_from_the_threat(data):
    narrow = some_spec()
    wide = replace(narrow, threat=Threat(eps=2 * EPS))
    one, other = trained(narrow, data, "one"), trained(wide, data, "other")
    assert result(one)["weights"] != result(other)["weights"]
