"""How many GPU jobs the real scheduler runs at once; the jobs claim stand-in devices and wait."""

from __future__ import annotations

import json
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from project import copy_project, snakemake

# In place of bench/__main__.py: claims a device as the real one does and makes the outputs.
STUB = """
import json, os, sys, time
from pathlib import Path
command, given = sys.argv[1], dict(zip(sys.argv[2::2], sys.argv[3::2]))
if command == "data":
    out = Path(given["--out"])
    files = [out, out.with_suffix(".json")]
else:
    from bench.runtime import gpus
    machine = Path(os.environ["MACHINE"])
    gpus.LOCKS, gpus.POLL = machine / "locks", 0.01
    for name in ("locks", "asked", "running"):
        (machine / name).mkdir(exist_ok=True)
    (machine / "asked" / Path.cwd().name).touch()
    device = gpus.claim()
    began = time.time()
    mine = machine / "running" / str(os.getpid())
    mine.touch()
    # Stay until as many have met as may run at once, which more never do.
    met = machine / "met"
    while time.time() < began + float(os.environ["STAY"]) and not met.exists():
        if len(list((machine / os.environ["MEET"]).iterdir())) >= int(os.environ["TOGETHER"]):
            met.touch()
        time.sleep(0.02)
    time.sleep(0.1)
    mine.unlink()
    with open(machine / "intervals.jsonl", "a") as log:
        log.write(json.dumps([device, began, time.time()]) + "\\n")
    folder = Path(given["--folder"])
    names = {
        "train": ["best.safetensors", "last.safetensors", "history.csv", "train.json"],
        "evaluate": ["evaluation.json", "examples/best/clean.csv"],
    }
    files = [folder / name for name in names[command]]
for file in files:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("made")
"""
RUNS = ["trades/seed0", "trades/seed1", "mart/seed0", "mart/seed1"]
CONFIG = ("--config", "methods={trades: {}, mart: {}}", "seeds=[0, 1]")


TARGETS = [f"results/paper/models/{run}/evaluation.json" for run in RUNS]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What the jobs of all projects share."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b,c,d")
    monkeypatch.setenv("TOGETHER", "2")
    monkeypatch.setenv("MACHINE", str(tmp_path / "machine"))
    monkeypatch.setenv("MEET", "running")
    (tmp_path / "machine").mkdir()
    return tmp_path / "machine"


def stubbed(folder: Path) -> Path:
    copy_project(folder)
    (folder / "bench/__main__.py").write_text(STUB)
    return folder


@pytest.fixture
def project(tmp_path, machine):
    return stubbed(tmp_path / "project")


def at_once(machine: Path, jobs: int) -> tuple[int, int]:
    """The most jobs at once, and the most at once on one device."""
    lines = (machine / "intervals.jsonl").read_text().splitlines()
    intervals = [json.loads(line) for line in lines]
    assert len(intervals) == jobs
    devices = defaultdict(list)
    for device, began, ended in intervals:
        devices[device].append((began, ended))
    return most([pair for pairs in devices.values() for pair in pairs]), max(
        most(pairs) for pairs in devices.values()
    )


def most(intervals: list[tuple[float, float]]) -> int:
    return max(sum(other <= began < ended for other, ended in intervals) for began, _ in intervals)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], 1),
        (["--resources", "mem_mb=64000"], 1),  # replaces the profile's resources
        (["--resources", "gpu=4"], 4),
    ],
)
def test_jobs_at_once(project, machine, flags, expected, monkeypatch):
    monkeypatch.setenv("STAY", "0.5" if expected == 1 else "120")
    monkeypatch.setenv("TOGETHER", str(max(2, expected)))
    done = snakemake(project, "--cores", "8", *flags, *CONFIG, "--", *TARGETS)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs, on_one_device = at_once(machine, 2 * len(RUNS))
    assert on_one_device == 1
    assert jobs == expected


def test_snakemake_looks_for_jobs_when_one_has_ended_and_not_more_often_with_each(
    project, machine, monkeypatch
):
    monkeypatch.setenv("STAY", "2")
    done = snakemake(project, "--cores", "1", "--verbose", *CONFIG, "--", *TARGETS[:2])
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert 5 <= text.count("Ready jobs: ") < 10  # the images, and two runs


def test_two_snakemakes_at_once_take_turns_on_one_device(tmp_path, machine, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a")
    # The first job keeps the device until one of the other Snakemake has asked for it.
    monkeypatch.setenv("MEET", "asked")
    monkeypatch.setenv("STAY", "120")
    projects = [stubbed(tmp_path / name) for name in ("one", "other")]
    with ThreadPoolExecutor() as pool:
        command = ("--cores", "8", *CONFIG, "--", *TARGETS[:2])
        ran = pool.map(lambda folder: snakemake(folder, *command), projects)
        for done in ran:
            assert done.returncode == 0, done.stdout + done.stderr
    assert (machine / "met").exists()
    assert at_once(machine, 2 * 2 * 2) == (1, 1)


def test_without_a_device_the_plan_ends_and_names_the_digits(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = snakemake(project, "--cores", "8", *CONFIG)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "no CUDA device here" in text
    assert "config/digits.yaml" in text
    assert not (project / "results").exists()


def test_a_dry_run_needs_no_device(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert snakemake(project, "-n", "--cores", "8", *CONFIG).returncode == 0
