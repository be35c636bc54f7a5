"""Other jobs on a CUDA device: diagnostics, a trial, the speed benchmark."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from settings import settings
from synthetic import EPS, METHODS, some_data, some_spec

from bench.config.experiment import (
    Compute,
    Diagnostics,
    DiagnosticsSpec,
    Evaluation,
    EvaluationSpec,
    Pgd,
    Threat,
    experiment,
)
from bench.data.dataset import save
from bench.diagnostics.job import diagnose
from bench.diagnostics.transfer import transfer
from bench.evaluation.job import evaluate
from bench.numerics.device import describe
from bench.perf.setup import ENGINES, QUICK, TASKS, Setup
from bench.perf.tasks import Bench
from bench.planning.sizes import Size
from bench.planning.trial import trial
from bench.training.job import train

pytestmark = pytest.mark.gpu
GPU = torch.device("cuda")
COMPUTE = Compute(device="cuda", tf32=True)
SIZE = Size(train=80, test=20, shape=(1, 8, 8), classes=10)


def test_runs_are_diagnosed_and_their_examples_tried_on_each_other(tmp_path):
    data, labels = tmp_path / "data.safetensors", ("standard", "trades")
    save(some_data(), data)
    threat = Threat(eps=EPS)
    checks = Diagnostics(images=12, steps=4, max_steps=5, restarts=2, square_queries=5, surfaces=1)
    spec = DiagnosticsSpec(threat=threat, diagnostics=checks, batch_size=8, compute=COMPUTE)
    pgd = Evaluation(batch_size=8, pgd={"pgd20": Pgd(steps=2, step_size=EPS / 2)})
    evaluation = EvaluationSpec(threat=threat, evaluation=pgd, compute=COMPUTE)
    for label in labels:
        folder = tmp_path / "models" / label / "seed0"
        given = some_spec(label, compute=COMPUTE)
        train(given, experiment="digits", label=label, data=data, folder=folder)
        evaluate(evaluation, data=data, folder=folder)
        diagnose(spec, data=data, folder=folder)
        record = json.loads((folder / "diagnostics" / "record.json").read_text())
        assert record["device"] == describe(GPU)
        assert all(found["n"] == 12 for found in record["checkpoints"]["best"]["checks"].values())
    transfer(spec, labels, 0, data=data, folder=tmp_path)
    record = json.loads((tmp_path / "transfer" / "seed0.json").read_text())
    assert record["device"] == describe(GPU)


def test_a_trial_times_every_kind_of_training_and_attack():
    methods = {"standard": {}, "trades": {"beta": 6}}
    compute = {"device": "cuda", "threads": None}
    tiny = settings({"methods": methods, "training.batch_size": 8, "model.width": 4})
    rates = trial(experiment({**tiny, "compute": compute}), SIZE, lambda _: None)
    assert rates.devices == {describe(GPU)}
    assert len(rates.training) == 2
    assert all(rate > 0 for (rate,) in (rates.training | rates.attacks).values())


@pytest.mark.parametrize("engine", ENGINES["cuda"])
def test_every_engine_of_the_speed_benchmark_measures_all_its_tasks(engine):
    setup = Setup(
        engines=(engine,),
        tasks=TASKS,
        specs={method: some_spec(method, batch_size=8) for method in METHODS},
        compute=COMPUTE,
        size=SIZE,
        settings=replace(QUICK, attack_images=2),
        quick=True,
    )
    bench = Bench(engine, setup)
    assert bench.machine()["device"] == describe(GPU)
    for task in TASKS:
        if engine in setup.asked(task):
            bench.prepare(task, "memloss")
            measured = bench.measure()
            assert measured["images"] > 0
            assert measured["seconds"] > 0
            assert measured["peak_mb"] > 0
