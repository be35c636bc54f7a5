"""How many GPU jobs the real scheduler runs at once; the jobs claim stand-in devices and wait."""

from __future__ import annotations

import json
from collections import defaultdict

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
    from bench import gpus
    gpus.LOCKS, gpus.POLL = Path("locks"), 0.01
    gpus.LOCKS.mkdir(exist_ok=True)
    device = gpus.claim()
    began = time.time()
    running = Path("running")
    running.mkdir(exist_ok=True)
    mine = running / str(os.getpid())
    mine.touch()
    # Stay until two jobs have met, which they never do if only one may run.
    met = Path("met")
    while time.time() < began + float(os.environ["STAY"]) and not met.exists():
        if len(list(running.iterdir())) > 1:
            met.touch()
        time.sleep(0.02)
    time.sleep(0.1)
    mine.unlink()
    with open("intervals.jsonl", "a") as log:
        log.write(json.dumps([device, began, time.time()]) + "\\n")
    folder = Path(given["--folder"])
    names = {
        "train": ["best.safetensors", "last.safetensors", "history.csv", "train.json"],
        "evaluate": ["evaluation.json", "verdicts/best/clean.csv"],
    }
    files = [folder / name for name in names[command]]
for file in files:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("made")
"""
RUNS = ["trades/seed0", "trades/seed1", "mart/seed0", "mart/seed1"]
CONFIG = ("--config", "methods={trades: {}, mart: {}}", "seeds=[0, 1]")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b,c")
    folder = copy_project(tmp_path / "project")
    (folder / "bench/__main__.py").write_text(STUB)
    return folder


def at_once(project) -> tuple[int, int]:
    """The most jobs at once, and the most at once on one device."""
    lines = (project / "intervals.jsonl").read_text().splitlines()
    intervals = [json.loads(line) for line in lines]
    assert len(intervals) == 2 * len(RUNS)
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
        (["--resources", "gpu=3"], 3),
    ],
)
def test_jobs_at_once(project, flags, expected, monkeypatch):
    monkeypatch.setenv("STAY", "0.5" if expected == 1 else "60")
    targets = [f"results/paper/models/{run}/evaluation.json" for run in RUNS]
    done = snakemake(project, "--cores", "64", *flags, *CONFIG, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    jobs, on_one_device = at_once(project)
    assert on_one_device == 1
    assert jobs <= expected
    assert (jobs > 1) == (expected > 1)


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
