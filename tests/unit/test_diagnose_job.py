"""What the diagnostics of a run leave, and what they refuse."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from factory import edit_json, read_csv
from settings import settings
from synthetic import CPU, EPS, settings_kept, some_data, some_images, some_spec

from bench.cli.main import main
from bench.config.experiment import (
    Diagnostics,
    DiagnosticsSpec,
    Evaluation,
    EvaluationSpec,
    Pgd,
    Threat,
    spec_json,
)
from bench.config.parsing import parse
from bench.data.dataset import Dataset, load, save
from bench.diagnostics import geometry
from bench.diagnostics.checks import LIMITS
from bench.diagnostics.job import diagnose
from bench.diagnostics.transfer import transfer
from bench.evaluation.job import evaluate
from bench.models import checkpoint as weights
from bench.results.columns import SURFACES
from bench.results.records import DiagnosticsRecord
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.signals import InterruptedJobError
from bench.training.job import train

pytestmark = pytest.mark.slow

METHODS = ("standard", "trades", "mart")
SPEC = DiagnosticsSpec(
    threat=Threat(eps=EPS),
    diagnostics=Diagnostics(
        images=12, steps=4, max_steps=5, restarts=2, square_queries=5, surfaces=1
    ),
    batch_size=8,
    compute=CPU,
)
EVALUATION = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(batch_size=8, pgd={"pgd20": Pgd(steps=2, step_size=EPS / 2)}),
    compute=CPU,
)
FILES = ("curves.csv", "surfaces.csv", "record.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with an evaluated run of each method, their data file beside them."""
    results = tmp_path_factory.mktemp("results") / "digits"
    data = results / "data.safetensors"
    save(some_data(), data)
    with settings_kept():
        for method in METHODS:
            folder = results / "models" / method / "seed0"
            spec = some_spec(method, epochs=1)
            train(spec, experiment="digits", label=method, data=data, folder=folder)
            evaluate(EVALUATION, data=data, folder=folder)
    return results


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "digits"))


@pytest.fixture
def folder(results: Path) -> Path:
    return results / "models" / "trades" / "seed0"


def diagnosed(results: Path, spec: DiagnosticsSpec = SPEC, data: Path | None = None) -> Any:
    folder = results / "models" / "trades" / "seed0"
    diagnose(spec, data=data or results / "data.safetensors", folder=folder)
    return json.loads((folder / "diagnostics" / "record.json").read_text())


def transferred(results: Path, spec: DiagnosticsSpec = SPEC) -> Any:
    transfer(spec, METHODS, 0, data=results / "data.safetensors", folder=results)
    return json.loads((results / "transfer" / "seed0.json").read_text())


def timeless(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != "seconds"}


def test_the_record_says_what_was_diagnosed_and_what_each_check_found(results, folder):
    record = diagnosed(results)
    training = json.loads((folder / "train.json").read_text())
    for key in ("experiment", "method", "seed"):
        assert record[key] == training[key]
    assert parse(DiagnosticsSpec, record["spec"], where="spec") == SPEC
    assert record["data"]["fingerprint"] == training["data"]["fingerprint"]
    assert (record["device"], record["threads"]) == ("cpu", 1)
    for name, digest in record["sha256"].items():
        assert digest == sha256(folder / "diagnostics" / f"{name}.csv")
    (checkpoint,) = record["checkpoints"].items()
    assert checkpoint[0] == "best"
    assert checkpoint[1]["weights_sha256"] == sha256(folder / "best.safetensors")
    checks = checkpoint[1]["checks"]
    # AutoAttack was not run, and transfer is a job of its own.
    assert set(checks) == set(LIMITS) - {"autoattack_gap", "transfer_stronger"}
    some_failed = not all(found["passed"] for found in checks.values())
    assert bool(checkpoint[1]["cause"]) == some_failed
    for name, found in checks.items():
        assert found["threshold"] == LIMITS[name]
        assert found["n"] == 12
        assert found["passed"] == (found["value"] <= LIMITS[name] or found["chance"] >= 0.001)


def test_a_record_without_a_cause_is_read(results, folder):
    diagnosed(results)
    path = folder / "diagnostics" / "record.json"
    record = json.loads(path.read_text())
    del record["checkpoints"]["best"]["cause"]
    path.write_text(json.dumps(record))
    assert DiagnosticsRecord.read(path, "").checkpoints["best"].cause == ""


def test_every_curve_is_in_the_table_with_its_accuracies_in_percent_of_all_images(results, folder):
    diagnosed(results)
    found = read_csv(folder / "diagnostics" / "curves.csv")
    assert list(dict.fromkeys(row["check"] for row in found)) == [
        "eps",
        "fgsm",
        "steps",
        "restarts",
        "square",
    ]
    for row in found:
        assert (row["checkpoint"], row["n"]) == ("best", "12")
        count = 12 * float(row["accuracy"]) / 100
        assert abs(count - round(count)) < 0.01
        assert (row["loss"] == "") == (row["check"] == "square")
    eps = [row for row in found if row["check"] == "eps"]
    assert (eps[0]["x"], eps[0]["loss"]) == ("0", next(r for r in found if r["x"] == "0")["loss"])
    restarts = [float(row["accuracy"]) for row in found if row["check"] == "restarts"]
    assert restarts == sorted(restarts, reverse=True)
    steps = [row["x"] for row in found if row["check"] == "steps"]
    assert steps == ["1", "2", "5"]


@pytest.mark.parametrize("count", [0, 1])
def test_pictures_have_a_row_for_each_point(results, folder, count):
    diagnosed(results, replace(SPEC, diagnostics=replace(SPEC.diagnostics, surfaces=count)))
    place = folder / "diagnostics" / "surfaces.csv"
    assert place.read_text().splitlines()[0] == ",".join(SURFACES.columns)
    assert len(read_csv(place)) == count * geometry.SIDE**2


def test_both_checkpoints_can_be_diagnosed(results, folder):
    asked = replace(SPEC.diagnostics, checkpoints=("best", "last"))
    record = diagnosed(results, replace(SPEC, diagnostics=asked))
    assert list(record["checkpoints"]) == ["best", "last"]
    found = read_csv(folder / "diagnostics" / "curves.csv")
    assert {row["checkpoint"] for row in found} == {"best", "last"}


def test_equal_seeds_give_equal_bytes_and_another_seed_others(results, folder):
    place = folder / "diagnostics"
    first, files = timeless(diagnosed(results)), [(place / name).read_bytes() for name in FILES[:2]]
    assert timeless(diagnosed(results)) == first
    assert [(place / name).read_bytes() for name in FILES[:2]] == files
    asked = replace(SPEC.diagnostics, seed=1)
    diagnosed(results, replace(SPEC, diagnostics=asked))
    assert (place / "curves.csv").read_bytes() != files[0]


def test_an_interrupted_job_leaves_nothing(results, folder, monkeypatch):
    def stopped(*_: object) -> None:
        raise InterruptedJobError(signal.SIGTERM)

    monkeypatch.setattr("bench.diagnostics.geometry.surfaces", stopped)
    with pytest.raises(InterruptedJobError):
        diagnosed(results)
    assert not (folder / "diagnostics").exists()


def test_the_gap_to_autoattack_is_counted_in_the_results(results, folder):
    record = json.loads((folder / "evaluation.json").read_text())
    attacks = record["checkpoints"]["best"]["attacks"]
    # AutoAttack broke all; PGD left 12 of 20 standing.
    for name, kept in (("pgd20", 12), ("autoattack", 0)):
        path = folder / "examples" / "best" / f"{name}.csv"
        lines = [f"{index},{index % 10},1,{int(index < kept)}," for index in range(20)]
        path.write_text("index,label,clean,robust,broken_by\n" + "\n".join(lines) + "\n")
        attacks[name] = {**attacks["pgd20"], "correct": kept, "sha256": sha256(path)}
    (folder / "evaluation.json").write_text(json.dumps(record))
    best = diagnosed(results)["checkpoints"]["best"]
    found = best["checks"]["autoattack_gap"]
    assert (found["value"], found["n"], found["passed"]) == (60.0, 20, False)
    assert best["cause"]


# Transfer


def test_every_network_is_tried_with_the_images_of_every_other(results):
    record = transferred(results)
    found = read_csv(results / "transfer" / "seed0.csv")
    assert [(row["source"], row["target"]) for row in found] == [
        (source, target) for target in METHODS for source in METHODS
    ]
    assert record["sha256"] == sha256(results / "transfer" / "seed0.csv")
    assert list(record["checkpoints"]["best"]) == list(METHODS)
    for label, network in record["checkpoints"]["best"].items():
        path = results / "models" / label / "seed0" / "best.safetensors"
        assert network["weights_sha256"] == sha256(path)
        accuracy = {
            row["source"]: float(row["accuracy"]) for row in found if row["target"] == label
        }
        others = min(accuracy[other] for other in METHODS if other != label)
        value = network["checks"]["transfer_stronger"]["value"]
        assert value == pytest.approx(accuracy[label] - others, abs=0.011)


def test_what_a_network_faces_from_itself_is_the_first_restart_of_its_own_curve(results, folder):
    transferred(results)
    diagnosed(results)
    found = read_csv(results / "transfer" / "seed0.csv")
    (own,) = (row for row in found if row["source"] == row["target"] == "trades")
    curve = read_csv(folder / "diagnostics" / "curves.csv")
    first = next(row for row in curve if row["check"] == "restarts")
    assert own["accuracy"] == first["accuracy"]


def test_transfer_gives_equal_bytes(results):
    first = timeless(transferred(results))
    table = (results / "transfer" / "seed0.csv").read_bytes()
    assert timeless(transferred(results)) == first
    assert (results / "transfer" / "seed0.csv").read_bytes() == table


# What is refused


def refused(results: Path, message: str, **given: Any) -> None:
    with pytest.raises(BenchError, match=message) as said:
        diagnosed(results, **given)
    assert "\n" not in str(said.value)
    assert not (results / "models" / "trades" / "seed0" / "diagnostics").exists()


@pytest.mark.parametrize("name", ["best.safetensors", "train.json", "evaluation.json"])
def test_a_missing_file_of_the_run_is_named(results, folder, name):
    (folder / name).unlink()
    refused(results, rf"{name}: ")


def test_other_weights_than_those_on_record_are_refused(results, folder):
    path = folder / "best.safetensors"
    model, about = weights.load(path)
    with torch.no_grad():
        model.linear.bias[0] += 1
    weights.save(path, model.state_dict(), about)
    refused(results, r"best\.safetensors: .*train\.json")


def test_another_data_set_is_refused(results):
    whole = load(results / "data.safetensors")
    other = results / "other.safetensors"
    save(Dataset("other", whole.classes, whole.train, some_images(20, seed=9)), other)
    refused(results, r"train\.json: .*other images", data=other)


def test_more_images_than_there_are_and_another_radius_are_refused(results):
    asked = replace(SPEC.diagnostics, images=21)
    refused(results, r"diagnostics\.images: 21 ", spec=replace(SPEC, diagnostics=asked))
    refused(results, r"threat\.eps", spec=replace(SPEC, threat=Threat(eps=0.5)))


def test_transfer_names_the_run_that_is_missing(results):
    shutil.rmtree(results / "models" / "mart")
    with pytest.raises(BenchError, match=r"mart/seed0/train\.json: "):
        transferred(results)
    assert not (results / "transfer").exists()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"spec__threat__eps": 0.5}, r"threat\.eps"),
        ({"data__fingerprint": "0" * 64}, "other images"),
    ],
)
def test_transfer_names_any_run_of_another_radius_or_other_images(results, method, change, said):
    folder = results / "models" / method / "seed0"
    edit_json(folder / "train.json", **change)
    if "data__fingerprint" in change:
        edit_json(folder / "evaluation.json", **change)
    with pytest.raises(BenchError, match=rf"{method}/seed0/train\.json: .*{said}"):
        transferred(results)
    assert not (results / "transfer").exists()


# The command line and the config


def test_the_commands_take_a_spec(results, folder):
    text = json.dumps(spec_json(SPEC))
    data = ("--spec", text, "--seed", "0", "--data", str(results / "data.safetensors"))
    assert main(["diagnose", *data, "--method", "trades", "--folder", str(folder)]) == 0
    assert all((folder / "diagnostics" / name).is_file() for name in FILES)
    assert main(["transfer", *data, "--methods", *METHODS, "--folder", str(results)]) == 0
    assert (results / "transfer" / "seed0.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("diagnose", "--method", "trades"), "error: diagnostics: "),
        (("transfer",), "error: diagnostics: "),
        (("diagnose", "--method", "trads"), "did you mean 'trades'"),
        (("transfer", "--methods", "trads"), "did you mean 'trades'"),
    ],
)
def test_a_config_that_does_not_have_it_is_told_so(tmp_path, capsys, arguments, said):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings()))
    assert main([*arguments, "--config", str(path), "--seed", "0"]) == 1
    assert said in capsys.readouterr().err


def test_transfer_to_oneself_is_refused(capsys):
    text = json.dumps(spec_json(SPEC))
    given = ("--seed", "0", "--data", "none", "--folder", "none", "--methods", "trades")
    assert main(["transfer", "--spec", text, *given]) == 1
    assert capsys.readouterr().err.startswith("error: --methods: ")
