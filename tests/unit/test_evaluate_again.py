"""One attack more is one attack more to run; what is stale in any way is made again."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from synthetic import CPU, EPS, settings_kept, some_data

from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import load, save
from bench.evaluation import batch_halving, job
from bench.evaluation.per_example import ExampleResults
from bench.models import checkpoint as weights
from bench.runtime.files import read_json, sha256, write_json
from bench.runtime.provenance import packages

PGD = Pgd(steps=2, step_size=EPS / 2)
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS),
    evaluation=Evaluation(batch_size=8, pgd={"pgd20": PGD}, autoattack=AutoAttack(images=10)),
    compute=CPU,
)
# The checkpoint `best`, then `last`.
ALL = ["clean", "pgd20", "autoattack", "clean", "pgd20"]


@pytest.fixture(scope="module")
def evaluated_once(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained run with the results of SPEC."""
    run = Path(shutil.copytree(trained_once, tmp_path_factory.mktemp("evaluated") / "run"))
    with settings_kept(), pytest.MonkeyPatch.context() as patch:
        made = watched(patch)
        job.evaluate(SPEC, data=run / "data.safetensors", folder=run)
    assert made == ALL
    return run


@pytest.fixture
def run(evaluated_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated_once, tmp_path / "run"))


def watched(patch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that each attack joins that is made."""
    real, made = batch_halving.evaluate_attack, []

    def counted(model: Any, test: Any, name: str, *rest: Any) -> ExampleResults:
        made.append(name)
        # A PGD in AutoAttack's place, which takes seconds.
        return real(model, test, "pgd20" if name == "autoattack" else name, *rest)

    patch.setattr(batch_halving, "evaluate_attack", counted)
    return made


@pytest.fixture
def evaluated(run, monkeypatch):
    """Evaluate the run as the workflow does, and return the attacks that were made."""
    made = watched(monkeypatch)

    def evaluated(spec: EvaluationSpec = SPEC) -> list[str]:
        # Snakemake deletes what a rule has made before the rule's job runs again.
        shutil.rmtree(run / "examples", ignore_errors=True)
        (run / "evaluation.json").unlink(missing_ok=True)
        made.clear()
        job.evaluate(spec, data=run / "data.safetensors", folder=run)
        return list(made)

    return evaluated


def changed(**keys: Any) -> EvaluationSpec:
    return replace(SPEC, evaluation=replace(SPEC.evaluation, **keys))


def left(run: Path) -> dict[str, Any]:
    """The files of results, and what the record says of each attack, its seconds included."""
    record = read_json(run / "evaluation.json")
    said = {name: checkpoint["attacks"] for name, checkpoint in record["checkpoints"].items()}
    files = (run / "examples").rglob("*.csv")
    return {"said": said, **{str(path.relative_to(run)): path.read_bytes() for path in files}}


def test_nothing_is_made_twice(run, evaluated):
    before = left(run)
    assert evaluated() == []
    assert left(run) == before
    assert not (run / "state").exists()


def test_one_more_attack_is_made_alone(run, evaluated):
    before = left(run)
    assert evaluated(changed(pgd={"pgd20": PGD, "pgd50": replace(PGD, steps=5)})) == ["pgd50"] * 2
    after = left(run)
    for attacks in after["said"].values():
        del attacks["pgd50"]
    assert {name: after[name] for name in before} == before


def test_an_attack_that_was_left_out_for_a_while_is_there_again(evaluated):
    assert evaluated(changed(pgd={})) == []
    assert evaluated() == []


def test_an_attack_on_one_checkpoint_more_attacks_that_one_alone(run, evaluated):
    before = left(run)["said"]["best"]
    autoattack = AutoAttack(images=10, checkpoints=("best", "last"))
    assert evaluated(changed(autoattack=autoattack)) == ["autoattack"]
    after = left(run)["said"]
    assert after["best"] == before
    assert "autoattack" in after["last"]


@pytest.mark.parametrize(
    ("keys", "made"),
    [
        ({"pgd": {"pgd20": replace(PGD, steps=3)}}, ["pgd20", "pgd20"]),
        ({"pgd": {"pgd20": replace(PGD, images=5)}}, ["pgd20", "pgd20"]),
        ({"pgd": {"pgd20": replace(PGD, seed=1)}}, ["pgd20", "pgd20"]),
        ({"autoattack": AutoAttack(images=10, seed=1)}, ["autoattack"]),
        ({"batch_size": 9}, ALL),
        ({"engine": "folded"}, ALL),
    ],
)
def test_other_settings_of_an_attack_make_it_again(evaluated, keys, made):
    assert evaluated(changed(**keys)) == made
    assert evaluated(changed(**keys)) == []


def test_another_radius_or_another_number_of_threads_makes_all_again(run, evaluated):
    assert evaluated(replace(SPEC, compute=replace(CPU, threads=2))) == ALL
    # What is kept is of the last evaluation: eps alone must differ from it below.
    assert evaluated() == ALL
    record = read_json(run / "train.json")
    record["spec"]["threat"]["eps"] = EPS / 2
    write_json(run / "train.json", record)
    assert evaluated(replace(SPEC, threat=Threat(eps=EPS / 2))) == ALL


@pytest.mark.parametrize(
    ("what", "other"),
    [
        ("evaluate_digest", "another"),
        ("packages", {**packages(), "torch": "0.1"}),
        ("describe", "another device"),
    ],
)
def test_other_code_packages_or_device_make_all_again(evaluated, monkeypatch, what, other):
    monkeypatch.setattr(job, what, lambda *_, **__: other)
    assert evaluated() == ALL


def test_other_weights_are_evaluated_again(run, evaluated):
    path = run / "last.safetensors"
    model, about = weights.load(path)
    with torch.no_grad():
        model.linear.bias[0] += 1
    weights.save(path, model.state_dict(), about)
    record = read_json(run / "train.json")
    record["checkpoints"]["last"]["weights_sha256"] = sha256(path)
    write_json(run / "train.json", record)
    assert evaluated() == ["clean", "pgd20"]


def test_other_images_are_evaluated_again(run, evaluated):
    data = load(run / "data.safetensors")
    data.test.pixels[3, 0, 2, 2] ^= 1
    other = replace(data, test=data.test)
    save(other, run / "data.safetensors")
    record = read_json(run / "train.json")
    record["data"]["fingerprint"] = other.fingerprint
    for name, checkpoint in record["checkpoints"].items():
        path = run / f"{name}.safetensors"
        model, about = weights.load(path)
        weights.save(path, model.state_dict(), replace(about, fingerprint=other.fingerprint))
        checkpoint["weights_sha256"] = sha256(path)
    write_json(run / "train.json", record)
    assert evaluated() == ALL


def test_every_image_counts_in_what_results_depend_on():
    # Weights name their images too, so a run cannot show this.
    data = some_data()
    before = job.surroundings(data, torch.device("cpu"), "digest")
    assert before["images"] == data.fingerprint
    data.test.pixels[3, 0, 2, 2] ^= 1
    after = job.surroundings(replace(data, test=data.test), torch.device("cpu"), "digest")
    assert [key for key in before if before[key] != after[key]] == ["images"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"results": {}}', None])
def test_a_damaged_file_counts_for_nothing(run, evaluated, content):
    path = run / "cache" / "best" / "pgd20.json"
    path.write_text(path.read_text()[:-9] if content is None else content)
    before = left(run)["examples/best/pgd20.csv"]
    assert evaluated() == ["pgd20"]
    assert left(run)["examples/best/pgd20.csv"] == before
