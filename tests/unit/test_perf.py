"""The speed benchmark: what is timed, what is asked for, what is kept; no time is asserted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from settings import settings

from bench.__main__ import main
from bench.cli import perf as command
from bench.cli.main import parser
from bench.config.experiment import experiment
from bench.perf.setup import ENGINES, choose
from bench.perf.tasks import Bench
from bench.runtime.errors import ConfigError
from bench.runtime.provenance import ROOT, sources
from bench.runtime.signals import InterruptedJobError
from bench.training.run import Run

METHODS = {
    "standard": {},
    "trades_beta1": {"method": "trades", "beta": 1},
    "trades": {"beta": 6},
    "memloss_v1": {"method": "memloss", "variant": "v1", "beta": 3, "memory_beta": 2},
}
READ = experiment(settings({"methods": METHODS}))


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(settings({"methods": METHODS})))
    return str(path)


def chosen(*arguments: str):
    return choose(parser().parse_args(["perf", *arguments]), READ)


@pytest.mark.slow
def test_a_quick_run_measures_every_task_on_every_engine(capsys, config, tmp_path):
    labels, engines = ("standard", "memloss_v1"), ("eager", "folded")
    arguments = ("--config", config, "--methods", *labels, "--out", str(tmp_path / "out"))
    assert main(["perf", "--quick", "--device", "cpu", *arguments]) == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "out" / "performance.json").read_text())
    assert document["left"] == []
    assert printed.startswith((tmp_path / "out" / "performance.txt").read_text())
    rows = {(row["task"], row["method"], row["engine"]): row for row in document["results"]}
    of_methods = [("step", "standard"), ("step", "memloss_v1"), ("attack", "memloss_v1")]
    jobs = [*of_methods, ("pgd", None), ("autoattack", None)]
    assert list(rows) == [(*job, engine) for job in jobs for engine in engines]
    for row in rows.values():
        assert row["images_per_second"]["n"] == row["speedup"]["n"] == 2
        assert row["peak_mb"] > 50
    for label in labels:
        # Either engine takes the same step, up to rounding.
        assert rows["step", label, "folded"]["loss_difference"] < 1e-2
        assert 0 < rows["step", label, "eager"]["loading_share"]["median"] < 1
    assert rows["autoattack", None, "folded"]["robust"] == 4


@pytest.mark.parametrize("label", ["trades", "memloss_v1"])
def test_warm_up_and_loading_are_not_in_the_time_of_a_step(monkeypatch, label):
    steps: list[int] = []  # in each block that is timed
    real = Run.step

    def seconds(_, work) -> float:
        steps.append(0)
        work()
        return float(len(steps))

    def step(*arguments) -> None:
        steps[-1] += 1
        real(*arguments)

    monkeypatch.setattr(Bench, "seconds", seconds)
    monkeypatch.setattr(Run, "step", step)
    bench = Bench("eager", chosen("--quick", "--methods", label))
    bench.prepare("step", label)
    measured = bench.measure()
    assert steps == [1, 1, 0]
    assert (measured["images"], measured["seconds"], measured["loading"]) == (8, 2.0, 3.0)


def test_one_label_of_each_method_is_measured_unless_others_are_named():
    assert list(chosen("--quick").specs) == ["standard", "trades_beta1", "memloss_v1"]
    assert list(chosen("--quick", "--methods", "trades").specs) == ["trades"]


def test_tasks_run_in_one_order_and_standard_training_has_no_attack():
    what = chosen("--only", "autoattack", "attack", "step", "--methods", "standard", "trades")
    assert what.jobs() == [
        ("step", "standard"),
        ("step", "trades"),
        ("attack", "trades"),
        ("autoattack", None),
    ]


def test_arguments_reach_the_processes():
    given = ("--threads", "3", "--batch-size", "5", "--repeats", "4", "--attack-images", "6")
    what = chosen("--quick", *given)
    assert what.compute.threads == 3
    assert {spec.training.batch_size for spec in what.specs.values()} == {5}
    assert (what.settings.rounds, what.settings.attack_images) == (4, 6)


def test_a_gpu_has_more_engines_for_training_and_tf32_as_pytorch_has_it():
    cpu, cuda = chosen("--device", "cpu"), chosen("--device", "cuda")
    assert cpu.asked("step") == ("eager", "folded")
    assert cuda.asked("step") == cuda.asked("attack") == ENGINES["cuda"]
    assert cuda.asked("pgd") == cuda.asked("autoattack") == ("eager", "folded")
    assert (cpu.compute.tf32, cuda.compute.tf32) == (False, True)
    named = chosen("--device", "cpu", "--engines", "folded-bfloat16", "eager")
    assert named.engines == ("eager", "folded-bfloat16")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--methods", "memlos_v1"), "did you mean 'memloss_v1'?"),
        (("--engines", "foldde"), "unknown engine 'foldde' on cpu; did you mean 'folded'?"),
        (("--batch-size", "81"), "--batch-size 81: there are 80 training images; lower it"),
        (("--device", "cuda"), "measure the CPU: --device cpu"),
    ],
)
def test_what_cannot_be_measured_is_refused(capsys, config, monkeypatch, arguments, said):
    monkeypatch.setattr("bench.runtime.gpus.devices", list)
    assert main(["perf", "--quick", "--config", config, *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


@pytest.mark.parametrize("finished", [0, 1])
def test_an_interrupted_run_keeps_the_tasks_that_were_finished(
    capsys, config, monkeypatch, tmp_path, finished
):
    @contextmanager
    def nobody(engines: tuple[str, ...], _: object) -> Iterator[dict[str, object]]:
        yield {name: (name, {"threads": 1, "torch": "2.14"}) for name in engines}

    measured: list[str] = []

    def made_up(asked: list[str], task: str, method: str | None, *_: object) -> list[dict]:
        if len(measured) == finished:
            raise InterruptedJobError(15)
        measured.append(task)
        one = {"task": task, "method": method, "round": 1, "images": 4, "seconds": 2, "peak_mb": 1}
        return [{**one, "engine": engine} for engine in asked]

    monkeypatch.setattr(command, "workers", nobody)
    monkeypatch.setattr(command, "alternate", made_up)
    arguments = ["--only", "attack", "pgd", "--methods", "memloss_v1", "--out", str(tmp_path)]
    assert main(["perf", "--quick", "--config", config, *arguments]) == 143
    path, said = tmp_path / "performance.json", capsys.readouterr().err
    if not finished:
        assert "nothing was written" in said
        assert not path.exists()
        return
    assert f"{path} has the tasks that were finished" in said
    document = json.loads(path.read_text())
    assert document["left"] == [["pgd", None]]
    assert [row["images_per_second"]["median"] for row in document["results"]] == [2, 2]
    assert "INCOMPLETE, not measured: pgd." in path.with_suffix(".txt").read_text()


def test_an_experiment_cannot_take_the_folder_of_the_results():
    with pytest.raises(ConfigError, match="results/performance"):
        experiment(settings({"experiment": command.OUT.name}))


def test_the_parent_needs_no_torch():
    code = """
import sys
import bench.cli.main
bench.cli.main.parser()
assert not {"torch", "numpy"} & set(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_no_result_depends_on_the_code_of_the_benchmark():
    jobs = ("bench.training.job", "bench.evaluation.job", "bench.evaluation.reference")
    found = sources([*jobs, "bench.data.sources", "bench.analysis.summary"])
    assert not [name for name in found if name.startswith("bench.perf")]
