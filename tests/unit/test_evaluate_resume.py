"""An evaluation that was stopped goes on to the very results that an undisturbed one gives."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from brief import brief_autoattack
from factory import ResultsFactory
from killing import kill_at_random
from synthetic import CPU, EPS, some_data

from bench.attacks import autoattack
from bench.config.experiment import AutoAttack, Evaluation, EvaluationSpec, Pgd, Threat
from bench.data.dataset import Images, save, to_unit
from bench.evaluation import per_example, state
from bench.evaluation.job import evaluate
from bench.models import checkpoint as weights
from bench.models.checkpoint import Description
from bench.runtime.files import read_json, sha256, write_json
from bench.runtime.signals import InterruptedJobError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SPEC = EvaluationSpec(
    threat=Threat(eps=EPS / 10),
    evaluation=Evaluation(
        batch_size=5,
        pgd={"pgd20": Pgd(steps=2, step_size=EPS / 10)},
        autoattack=AutoAttack(),
    ),
    compute=CPU,
)


def quicken(patch: pytest.MonkeyPatch) -> list[str]:
    """Let AutoAttack take few steps and write its state after every batch; return what runs."""
    few, targets = {"n_iter": 4}, {"n_target_classes": 2}
    brief = brief_autoattack(
        patch,
        apgd=few,
        apgd_targeted=few | targets,
        fab={"n_iter": 2} | targets,
        square={"n_queries": 5},
    )
    run, ran = brief.run_standard_evaluation, []

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        ran.append(self.attacks_to_run[0])
        return run(self, *args, **kwargs)

    patch.setattr(brief, "run_standard_evaluation", watched)
    patch.setattr(state, "EVERY", 0.0)
    return ran


@pytest.fixture(autouse=True)
def batches(monkeypatch):
    """The attacks that ran, batch by batch."""
    return quicken(monkeypatch)


@pytest.fixture
def run(tmp_path):
    """A run whose network is right on every test image, since the images are labelled by it."""
    model = Description(
        model="small_cnn", width=4, classes=10, channels=1, data="synthetic", fingerprint=""
    )
    network = model.build().eval()
    data = some_data()
    with torch.no_grad():
        labels = network(to_unit(data.test.pixels)).argmax(dim=1)
    data = replace(data, test=Images(data.test.pixels, labels))
    save(data, tmp_path / "data.safetensors")
    folder = tmp_path / "seed0"
    made_up = ResultsFactory(tmp_path / "made_up", model="small_cnn", eps=SPEC.threat.eps).run()
    record = read_json(made_up / "train.json")
    record["data"]["fingerprint"] = data.fingerprint
    for name in ("best", "last"):
        path = folder / f"{name}.safetensors"
        description = replace(model, fingerprint=data.fingerprint)
        weights.save(path, network.state_dict(), description)
        record["checkpoints"][name]["weights_sha256"] = sha256(path)
    write_json(folder / "train.json", record)
    return folder


@pytest.fixture
def data(run):
    return run.parent / "data.safetensors"


def results(folder: Path) -> dict[str, Any]:
    """The per-example results and the record, without what the clock says."""
    record = read_json(folder / "evaluation.json")
    for checkpoint in record["checkpoints"].values():
        for attack in checkpoint["attacks"].values():
            del attack["seconds"]
    examples = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*/*.csv")}
    return {"record": record, **examples}


def forget(folder: Path) -> None:
    """Forget that the run was evaluated."""
    (folder / "evaluation.json").unlink()
    for name in ("examples", "cache"):
        shutil.rmtree(folder / name)


def evaluate_in_another_process(data: str, folder: str) -> None:
    """Evaluate a run as the tests here do; its process is there to be killed."""
    quicken(pytest.MonkeyPatch())
    evaluate(SPEC, data=Path(data), folder=Path(folder))


def test_killed_at_random_moments_equals_undisturbed(run, data, tmp_path):
    whole = Path(shutil.copytree(run, tmp_path / "whole"))
    evaluate(SPEC, data=data, folder=whole)
    call = f"evaluate_in_another_process({str(data)!r}, {str(run)!r})"
    command = [sys.executable, "-c", f"from test_evaluate_resume import *; {call}"]
    places = [ROOT, ROOT / "tests", ROOT / "tests" / "unit"]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, places))}
    assert kill_at_random(command, lambda: written(run), within=0.2, environment=environment) > 0
    assert results(run) == results(whole)
    assert not (run / "state").exists()


def written(folder: Path) -> int:
    """Return when the state of an evaluation was last written, 0 where there is none."""
    times = []
    for path in (folder / "state").rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime_ns)
    return max(times, default=0)


def stop_at(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """Send the job a SIGTERM in the middle of its AutoAttack batch of that number."""
    quick = autoattack.provide().AutoAttack
    real, count = quick.run_standard_evaluation, iter(range(1000))

    def stop_or_run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if next(count) == batch:
            signal.raise_signal(signal.SIGTERM)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(quick, "run_standard_evaluation", stop_or_run)


def test_stopped_and_resumed_equals_undisturbed(run, data, batches, monkeypatch):
    evaluate(SPEC, data=data, folder=run)
    whole, undisturbed = results(run), list(batches)
    assert undisturbed[0] == "apgd-ce"
    assert len(undisturbed) > 3  # there is something to stop
    assert not (run / "state").exists()
    forget(run)
    batches.clear()

    for batch in (1, 0, 1):
        with monkeypatch.context() as patch:
            stop_at(patch, batch)
            with pytest.raises(InterruptedJobError, match="SIGTERM"):
                evaluate(SPEC, data=data, folder=run)
        assert not (run / "evaluation.json").exists()
    evaluate(SPEC, data=data, folder=run)

    assert results(run) == whole
    assert batches == undisturbed  # no batch ran twice
    assert not (run / "state").exists()


def test_finished_attacks_are_not_made_again(run, data, monkeypatch):
    real, made = per_example._pgd, []

    def counted(*args: Any) -> Any:
        made.append(args[2])
        return real(*args)

    monkeypatch.setattr(per_example, "_pgd", counted)
    with monkeypatch.context() as patch:
        stop_at(patch, 0)
        with pytest.raises(InterruptedJobError, match="SIGTERM"):
            evaluate(SPEC, data=data, folder=run)
    evaluate(SPEC, data=data, folder=run)
    assert made == ["pgd20", "pgd20"]  # once for each checkpoint


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 6}, {"autoattack": AutoAttack(seed=1)}],
)
def test_the_state_of_other_settings_counts_for_nothing(run, data, change, monkeypatch):
    other = replace(SPEC, evaluation=replace(SPEC.evaluation, **change))
    evaluate(other, data=data, folder=run)
    whole = results(run)
    forget(run)
    with monkeypatch.context() as patch:
        stop_at(patch, 1)
        with pytest.raises(InterruptedJobError, match="SIGTERM"):
            evaluate(SPEC, data=data, folder=run)
    evaluate(other, data=data, folder=run)
    assert results(run) == whole
