from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from factory import ResultsFactory, read_csv
from synthetic import CPU, EPS, settings_kept, some_data, some_images, some_spec
from torch import Tensor, nn

from bench.analysis.summary import costs_table
from bench.attacks import autoattack
from bench.attacks.autoattack import STANDARD, AutoAttackState, source
from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Pgd, Threat
from bench.config.parsing import parse
from bench.data.dataset import load, save, to_unit
from bench.evaluation import batch_halving
from bench.evaluation.job import attacks_on, evaluate
from bench.models import checkpoint as weights
from bench.results.evaluated import read_runs
from bench.results.paths import Paths
from bench.runtime.errors import BenchError
from bench.runtime.files import sha256
from bench.runtime.provenance import packages
from bench.training.job import train

SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(
        batch_size=8,
        pgd={
            "pgd20": Pgd(steps=2, step_size=EPS / 2),
            "cw": Pgd(steps=2, step_size=EPS / 2, loss="margin", images=6, checkpoints=("last",)),
        },
        autoattack=AutoAttack(seed=3),
    ),
    compute=CPU,
)
REFERENCE = autoattack.run_standard
EVALUATED = {"best": ["clean", "pgd20", "autoattack"], "last": ["clean", "pgd20", "cw"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoAttack that finds nothing; what it can find is tried elsewhere."""

    def idle(model: nn.Module, images: Tensor, labels: Tensor, **given: Any) -> AutoAttackState:
        with torch.no_grad():
            right = model(images).argmax(dim=1) == labels
        broken_by = ["" if fine else "clean" for fine in right.tolist()]
        return AutoAttackState(adversarial=images, clean=right, robust=right, broken_by=broken_by)

    monkeypatch.setattr(autoattack, "run_standard", idle)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run, its data file beside it."""
    results = tmp_path_factory.mktemp("results") / "digits"
    data = results / "data.safetensors"
    save(some_data(), data)
    folder = results / "models" / "mine" / "seed0"
    with settings_kept():
        train(some_spec("memloss"), experiment="digits", label="mine", data=data, folder=folder)
    return results


@pytest.fixture
def results(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "digits"))


@pytest.fixture
def folder(results: Path) -> Path:
    return results / "models" / "mine" / "seed0"


def evaluated(
    results: Path, spec: EvaluationSpec = SPEC, data: Path | None = None
) -> dict[str, Any]:
    folder = results / "models" / "mine" / "seed0"
    evaluate(spec, data=data or results / "data.safetensors", folder=folder)
    return json.loads((folder / "evaluation.json").read_text())  # type: ignore[no-any-return]


def keys(record: dict[str, Any]) -> dict[str, Any]:
    """Return the keys of evaluation.json, of `best` and of each of its attacks."""
    best = record["checkpoints"]["best"]
    attacks = {
        name: (sorted(entry), sorted(entry["details"])) for name, entry in best["attacks"].items()
    }
    return {"record": sorted(record), "best": sorted(best), "attacks": attacks}


def refused(results: Path, message: str, **given: Any) -> None:
    with pytest.raises(BenchError, match=message):
        evaluated(results, **given)
    assert not (results / "models" / "mine" / "seed0" / "evaluation.json").exists()


def test_the_analysis_believes_what_an_evaluation_leaves(results):
    evaluated(results)
    (run,) = read_runs(Paths(results))
    assert {name: sorted(attacks) for name, attacks in run.results.items()} == {
        name: sorted(attacks) for name, attacks in EVALUATED.items()
    }


def test_the_record_says_what_was_evaluated_with_what(results, folder):
    record = evaluated(results)
    training = json.loads((folder / "train.json").read_text())
    for key in ("experiment", "method", "seed"):
        assert record[key] == training[key]
    assert record["data"] == {key: training["data"][key] for key in ("name", "fingerprint")}
    assert (record["device"], record["threads"]) == ("cpu", 1)
    assert record["packages"] == packages()
    assert parse(EvaluationSpec, record["spec"], where="spec") == SPEC
    for name, checkpoint in record["checkpoints"].items():
        assert checkpoint["weights_sha256"] == sha256(folder / f"{name}.safetensors")
        assert list(checkpoint["attacks"]) == EVALUATED[name]


def test_records_made_up_for_tests_have_the_keys_of_real_ones(results, tmp_path):
    made_up = ResultsFactory(tmp_path / "made_up").run() / "evaluation.json"
    assert keys(json.loads(made_up.read_text())) == keys(evaluated(results))


def test_every_attack_has_the_peak_of_its_own_memory(results, folder, monkeypatch):
    held = {"clean": 30.0, "pgd20": 70.0, "cw": 50.0, "autoattack": 90.0}
    peak = 0.0

    def forget(_: torch.device) -> None:
        nonlocal peak
        peak = 0.0

    def measured(model: nn.Module, test: Any, name: str, *rest: Any) -> Any:
        nonlocal peak
        peak = max(peak, held[name])
        return unmeasured(model, test, name, *rest)

    unmeasured = batch_halving.evaluate_attack
    assert evaluated(results)["peak_memory_mb"] is None  # on a CPU
    shutil.rmtree(folder / "cache")
    monkeypatch.setattr(batch_halving, "evaluate_attack", measured)
    monkeypatch.setattr(batch_halving, "forget_peak", forget)
    monkeypatch.setattr(batch_halving, "peak_memory_mb", lambda _: peak)
    record = evaluated(results)
    for checkpoint, attacks in EVALUATED.items():
        found = record["checkpoints"][checkpoint]["attacks"]
        assert [found[name]["peak_memory_mb"] for name in attacks] == [held[n] for n in attacks]
    assert record["peak_memory_mb"] == 90.0
    # What is taken over keeps what it took.
    assert evaluated(results) == record
    costs = costs_table(read_runs(Paths(results)))[1:]
    assert dict(zip(costs["attack"], costs["peak_memory_mb"], strict=True)) == held


def test_the_record_of_an_attack_counts_its_results(results, folder):
    record = evaluated(results)
    for name, checkpoint in record["checkpoints"].items():
        for attack, entry in checkpoint["attacks"].items():
            path = folder / "examples" / name / f"{attack}.csv"
            found = read_csv(path)
            assert entry["sha256"] == sha256(path)
            assert entry["n"] == len(found) == (6 if attack == "cw" else 20)
            assert entry["correct"] == sum(int(row["robust"]) for row in found)
            assert entry["flags"] == []
    best = record["checkpoints"]["best"]["attacks"]
    assert {attack: (best[attack]["source"], best[attack]["seed"]) for attack in best} == {
        "clean": ("suite", None),
        "pgd20": ("suite", 0),
        "autoattack": (source(), 3),
    }
    assert [best[attack]["eps"] for attack in best] == [0.0, EPS, EPS]
    assert best["pgd20"]["details"]["steps"] == 2
    details = best["autoattack"]["details"]
    assert (details["version"], details["batch_size"]) == ("standard", 8)
    assert list(details["components"]) == list(STANDARD)
    assert details["components"]["square"] == best["autoattack"]["correct"]


def test_a_result_file_has_a_row_for_each_image_in_order(results, folder):
    evaluated(results)
    data = load(results / "data.safetensors")
    for name, attacks in EVALUATED.items():
        model, _ = weights.load(folder / f"{name}.safetensors")
        with torch.no_grad():
            right = model(to_unit(data.test.pixels)).argmax(dim=1) == data.test.labels
        for attack in attacks:
            found = read_csv(folder / "examples" / name / f"{attack}.csv")
            assert list(found[0]) == ["index", "label", "clean", "robust", "broken_by"]
            assert [int(row["index"]) for row in found] == list(range(len(found)))
            assert [int(row["label"]) for row in found] == data.test.labels[: len(found)].tolist()
            assert [row["clean"] == "1" for row in found] == right[: len(found)].tolist()
            for row in found:
                assert row["robust"] <= row["clean"]
                assert (row["broken_by"] == "") == (row["robust"] == "1")
                assert (row["broken_by"] == "clean") == (row["clean"] == "0")
            if attack == "clean":
                assert all(row["robust"] == row["clean"] for row in found)


def test_the_same_weights_and_settings_give_the_same_results(results, folder):
    def timeless(record: dict[str, Any]) -> dict[str, Any]:
        for checkpoint in record["checkpoints"].values():
            for entry in checkpoint["attacks"].values():
                del entry["seconds"]
        return record

    first = timeless(evaluated(results))
    files = {path: path.read_bytes() for path in folder.rglob("*.csv")}
    shutil.rmtree(folder / "cache")
    assert timeless(evaluated(results)) == first
    assert {path: path.read_bytes() for path in folder.rglob("*.csv")} == files


def test_every_checkpoint_gets_clean_accuracy_and_the_attacks_that_name_it():
    assert attacks_on("best", SPEC) == EVALUATED["best"]
    assert attacks_on("last", SPEC) == EVALUATED["last"]
    bare = replace(SPEC, evaluation=Evaluation(batch_size=8))
    assert attacks_on("best", bare) == ["clean"]


def test_the_weights_are_left_alone(results, folder):
    before = {name: sha256(folder / f"{name}.safetensors") for name in EVALUATED}
    evaluated(results)
    assert {name: sha256(folder / f"{name}.safetensors") for name in EVALUATED} == before


def test_weights_of_other_images_are_refused(results, folder):
    model, about = weights.load(folder / "best.safetensors")
    other = replace(about, fingerprint="0" * 64)
    weights.save(folder / "best.safetensors", model.state_dict(), other)
    refused(results, r"best\.safetensors: ")


def test_weights_that_the_record_does_not_know_are_refused(results, folder):
    model, about = weights.load(folder / "last.safetensors")
    with torch.no_grad():
        model.linear.bias[0] += 1
    weights.save(folder / "last.safetensors", model.state_dict(), about)
    refused(results, r"last\.safetensors: .*train\.json")


@pytest.mark.parametrize("name", ["best.safetensors", "last.safetensors", "train.json"])
def test_a_missing_file_of_the_run_is_named(results, folder, name):
    (folder / name).unlink()
    refused(results, rf"{name}: ")


def test_the_reference_package_evaluates_a_run(tmp_path, monkeypatch):
    monkeypatch.setattr(autoattack, "run_standard", REFERENCE)
    # What is wrong to begin with costs AutoAttack nothing, and this network is wrong on most.
    results = tmp_path / "digits"
    data, folder = results / "data.safetensors", results / "models" / "mine" / "seed0"
    small = some_data(test=12)
    labels = (small.test.labels + 5) % 10
    save(replace(small, test=replace(some_images(12, seed=3), labels=labels)), data)
    trained = replace(some_spec(epochs=1), threat=Threat(eps=0.5))
    train(trained, experiment="digits", label="mine", data=data, folder=folder)
    spec = replace(SPEC, threat=Threat(eps=0.5))
    evaluated(results, spec)
    (run,) = read_runs(Paths(results))
    found = run.results["best"]["autoattack"]
    assert found.record.n == 12
    assert found.record.source == source()
    clean = run.results["best"]["clean"].examples
    assert not (found.examples["robust"] & ~clean["robust"]).any()


def test_a_run_trained_in_another_ball_is_not_evaluated(results):
    refused(results, r"threat\.eps", spec=replace(SPEC, threat=Threat(eps=0.5)))


def test_a_run_trained_under_other_settings_than_the_configs_is_not_evaluated(results, folder):
    asked = some_spec("memloss")
    data = results / "data.safetensors"
    evaluate(SPEC, data=data, folder=folder, training=asked)
    (folder / "evaluation.json").unlink()
    for changed in (some_spec("memloss", epochs=3), some_spec("memloss", seed=1)):
        with pytest.raises(BenchError, match=r"train\.json: .*(seed|epochs)"):
            evaluate(SPEC, data=data, folder=folder, training=changed)
        assert not (folder / "evaluation.json").exists()
