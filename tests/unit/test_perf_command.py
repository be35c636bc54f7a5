"""The speed benchmark from its command line; no time is ever asserted."""

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

from bench.__main__ import main, parser
from bench.cli import perf as command
from bench.config.experiment import experiment
from bench.config.parsing import parse, plain
from bench.perf import cpu
from bench.perf.choose import choose
from bench.perf.figure import COLOURS, MARKERS
from bench.perf.setup import COARSE, ROUTES, TASKS, Setup
from bench.runtime.errors import ConfigError
from bench.runtime.provenance import ROOT, sources
from bench.runtime.signals import InterruptedJobError

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


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["perf", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_a_quick_run_measures_every_task_and_prints_it_again(capsys, config, tmp_path):
    out = tmp_path / "out"
    paths = ("plain", "fast, pages kept")
    chosen = ("--quick", "--config", config, "--methods", "memloss_v1", "--out", str(out))
    assert main(["perf", *chosen, "--paths", *paths]) == 0
    printed = capsys.readouterr().out
    document = json.loads((out / "performance.json").read_text())
    assert document["quick"]
    assert document["left"] == []
    assert {one["task"] for one in document["measurements"]} == set(TASKS)
    split = {one["path"]: one["split"] for one in document["measurements"] if "split" in one}
    assert set(split) == set(paths)
    assert all(part["forward_passes"] > 0 for parts in split.values() for part in parts.values())
    assert {one["path"] for one in document["measurements"]} == set(paths)
    for one in document["measurements"]:
        assert one["seconds"] > 0
        assert one["images"] > 0
        assert one["peak_mb"] > 0
    rows = {(row["task"], row["path"]): row for row in document["results"]}
    for task in TASKS:
        assert rows[task, "fast, pages kept"]["speedup"]["n"] >= 1
        assert rows[task, "fast, pages kept"]["speedup_same_allocator"] is None
    counts = {rows["attack", path]["operations_per_image"] for path in paths}
    assert len(counts) == 1
    assert rows["step", "plain"]["operations_per_image"] > counts.pop() > 0
    # A whole memory: a byte for each value, and a frame of three int16.
    assert rows["memory", "plain"]["bytes"] == document["settings"]["training_images"] * (64 + 6)
    assert rows["autoattack", "plain"]["robust"] == document["settings"]["attack_images"]
    assert [route["pages"] for route in document["paths"]] == [False, True]
    for ending in ("svg", "pdf", "png"):
        assert (out / f"performance.{ending}").stat().st_size > 1000
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".pdf", ".png", ".svg"]
    assert printed.startswith("quick: ")
    assert "INCOMPLETE" not in printed
    assert main(["perf", "--show", str(out / "performance.json")]) == 0
    again = capsys.readouterr().out
    assert printed.startswith(again.rstrip("\n"))


def test_one_label_of_each_method_is_measured_unless_others_are_named():
    assert chosen("--quick").methods == ("standard", "trades_beta1", "memloss_v1")
    assert chosen("--quick", "--methods", "trades").methods == ("trades",)
    assert chosen("--quick").recycling == "memloss_v1"
    assert chosen("--quick", "--methods", "trades").recycling == "trades"


def test_the_tasks_run_in_one_order_and_only_methods_with_a_memory_are_asked_for_it():
    assert chosen("--quick", "--only", "memory", "step").jobs() == [
        ("step", "standard"),
        ("step", "trades_beta1"),
        ("step", "memloss_v1"),
        ("memory", "memloss_v1"),
    ]
    assert chosen("--quick", "--only", "autoattack").jobs() == [("autoattack", None)]


def test_on_cuda_where_waiting_costs_time_the_breakdown_is_another_run():
    what = chosen("--quick", "--only", "autoattack", "--device", "cuda")
    assert what.jobs() == [("autoattack", None), ("breakdown", None)]


def test_arguments_reach_the_processes():
    what = chosen(
        "--quick", "--threads", "3", "--width", "6", "--batch-size", "5", "--repeats", "4"
    )
    setup = parse(Setup, json.loads(json.dumps(plain(what.setup(ROUTES["cpu"][1])))), where="setup")
    assert setup.compute.threads == 3
    assert setup.specs["trades_beta1"].model.width == 6
    assert setup.specs["trades_beta1"].training.batch_size == 5
    assert setup.settings.rounds == setup.settings.autoattack_rounds == 4
    assert setup.route == ROUTES["cpu"][1]


def test_a_gpu_computes_in_tf32_where_pytorch_itself_would_and_a_cpu_does_not():
    assert chosen("--quick", "--device", "cuda").compute.tf32
    assert not chosen("--quick", "--device", "cpu").compute.tf32
    assert [route.name for route in chosen("--quick", "--device", "cuda").routes] == [
        "plain",
        "fast",
        "graph",
        "fast bfloat16",
        "graph bfloat16",
    ]


@pytest.mark.parametrize("device", ROUTES)
def test_every_path_is_compared_with_a_plain_one_of_its_allocator(device):
    routes = {route.name: route for route in ROUTES[device]}
    for route in routes.values():
        base = routes[route.against]
        assert (base.engine, base.precision) == ("plain", "float32")
        assert base.pages == route.pages


@pytest.mark.parametrize("device", ROUTES)
def test_every_path_can_be_told_apart_in_the_figure(device):
    marks = {(COLOURS[route.name], MARKERS[route.name]) for route in ROUTES[device]}
    assert len(marks) == len(ROUTES[device])


def test_recordings_and_bfloat16_are_for_training_alone():
    judging = [route.name for route in ROUTES["cuda"] if route.measures("pgd")]
    assert judging == ["plain", "fast"]


@pytest.mark.parametrize(
    ("told", "has"),
    [
        ("model name\t: A\nflags\t\t: fpu avx512_bf16 avx\n", True),
        ("model name\t: A\nflags\t\t: fpu avx512f\n", False),
        ("Features\t: fp asimd bf16 svebf16\n", True),
        (None, False),
    ],
)
def test_bfloat16_on_a_cpu_is_measured_where_the_processor_has_it(monkeypatch, tmp_path, told, has):
    path = tmp_path / "cpuinfo"
    if told is not None:
        path.write_text(told)
    monkeypatch.setattr(cpu, "CPUINFO", path)
    assert cpu.processor()
    assert (COARSE in {route.name for route in chosen("--device", "cpu").routes}) == has
    # Who asks for it gets it.
    (route,) = chosen("--device", "cpu", "--paths", COARSE).routes
    assert route.precision == "bfloat16"


def test_an_unknown_label_or_path_is_refused_with_the_nearest(capsys, config):
    said = error_of(capsys, "--quick", "--config", config, "--methods", "memlos_v1")
    assert "'memlos_v1' is not in this config; did you mean 'memloss_v1'?" in said
    said = error_of(capsys, "--quick", "--config", config, "--paths", "fats")
    assert "--paths: 'fats' is no path on cpu; did you mean 'fast'?" in said


def test_more_images_in_a_batch_than_there_are_is_refused(capsys, config):
    said = error_of(capsys, "--quick", "--config", config, "--batch-size", "64")
    assert "--batch-size 64: the 80 training images are less than two batches; lower it" in said


def test_cuda_that_is_not_here_is_refused_before_anything_starts(capsys, config, monkeypatch):
    monkeypatch.setattr("bench.runtime.gpus.devices", list)
    said = error_of(capsys, "--quick", "--config", config, "--device", "cuda")
    assert said == (
        "error: there is no CUDA device here; use a machine with a GPU, or measure the CPU:"
        " --device cpu"
    )


def interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let a run measure nothing but made-up numbers, and stop in the task after `after` others."""
    told = {"pages_kept": False, "cuda": None, "device": "cpu", "threads": 1, "torch": "2.14"}

    @contextmanager
    def nobody(setups: dict[str, object]) -> Iterator[dict[str, object]]:
        yield {name: (name, {**told, "tf32": False}) for name in setups}

    measured: list[str] = []

    def made_up(asked: list[str], task: str, method: str | None, *_: object) -> list[dict]:
        if len(measured) == after:
            raise InterruptedJobError(15)
        measured.append(task)
        one = {"task": task, "method": method, "round": 1, "images": 4, "seconds": 2, "peak_mb": 1}
        return [{**one, "path": path} for path in asked]

    monkeypatch.setattr(command, "workers", nobody)
    monkeypatch.setattr(command, "alternate", made_up)


def test_an_interruption_before_the_first_task_ends_says_that_nothing_was_written(
    capsys, config, monkeypatch, tmp_path
):
    interrupt(monkeypatch, after=0)
    arguments = ["--quick", "--config", config, "--out", str(tmp_path / "out")]
    assert main(["perf", *arguments]) == 143
    assert "nothing was written" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_keeps_the_tasks_that_were_finished_and_says_which_are_left(
    capsys, config, monkeypatch, tmp_path
):
    interrupt(monkeypatch, after=1)
    chosen = ["--only", "step", "data", "pgd", "--methods", "memloss_v1", "--paths", "plain"]
    out = ["--out", str(tmp_path)]
    assert main(["perf", "--quick", "--config", config, *chosen, *out]) == 143
    path = tmp_path / "performance.json"
    said = capsys.readouterr().err
    assert f"{path} has the tasks that were finished" in said
    assert "nothing was written" not in said
    document = json.loads(path.read_text())
    assert [one["task"] for one in document["measurements"]] == ["step"]
    assert [row["images_per_second"]["median"] for row in document["results"]] == [2]
    left = [(one["task"], one["method"]) for one in document["left"]]
    assert left == [("data", "memloss_v1"), ("pgd", None)]
    assert main(["perf", "--show", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "INCOMPLETE: the run ended before these were measured: data memloss_v1, pgd." in printed
    assert "step memloss_v1" in printed


def test_an_interruption_in_the_figure_says_that_all_was_measured(
    capsys, config, monkeypatch, tmp_path
):
    def stopped(*_: object) -> None:
        raise InterruptedJobError(15)

    interrupt(monkeypatch, after=1)
    monkeypatch.setattr("bench.perf.figure.draw", stopped)
    chosen = ["--only", "attack", "--paths", "plain", "--out", str(tmp_path)]
    assert main(["perf", "--quick", "--config", config, *chosen]) == 143
    assert "performance.json has all that was measured" in capsys.readouterr().err
    assert json.loads((tmp_path / "performance.json").read_text())["left"] == []


def test_an_experiment_cannot_take_the_folder_of_the_results():
    with pytest.raises(ConfigError, match="results/performance is something else"):
        experiment(settings({"experiment": command.OUT.name}))


def test_the_parent_needs_no_torch_and_nothing_needs_snakemake_or_robustbench():
    code = """
import sys
sys.modules.update(snakemake=None, robustbench=None)
import bench.__main__
bench.__main__.parser()
assert not {"torch", "torchvision", "matplotlib"} & set(sys.modules)
import bench.perf.worker, bench.perf.figure
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=120)


def test_no_result_depends_on_the_code_of_the_benchmark():
    jobs = ("bench.training.job", "bench.evaluation.job", "bench.evaluation.reference")
    found = sources([*jobs, "bench.data.sources", "bench.analysis.summary"])
    assert not [name for name in found if name.startswith("bench.perf")]
