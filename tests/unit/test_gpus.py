from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from bench.runtime import gpus
from bench.runtime.errors import BenchError

ROOT = Path(__file__).parents[2]
HOLD = """
import os, pathlib, sys, time
from bench.runtime import gpus
gpus.LOCKS, gpus.POLL = pathlib.Path(sys.argv[1]), 0.01
name = gpus.claim()
# Whoever shares the device finds the file there already.
sign = gpus.LOCKS / f"{name}.held"
sign.touch(exist_ok=False)
print(name, os.environ["CUDA_VISIBLE_DEVICES"], "torch" in sys.modules, flush=True)
time.sleep(float(sys.argv[2]))
sign.unlink()
"""


def cards(*names: str) -> list[list[str]]:
    uuids = ("GPU-aaaa", "GPU-bbbb")
    pairs = zip(uuids, names, strict=True)
    return [[str(place), uuid, name] for place, (uuid, name) in enumerate(pairs)]


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """A machine whose devices are stand-ins and whose locks are its own."""
    monkeypatch.setattr(gpus, "LOCKS", tmp_path)
    monkeypatch.setattr(gpus, "POLL", 0.01)
    monkeypatch.setattr(gpus, "_claimed", held := [])
    monkeypatch.setattr(gpus, "nvidia_smi", lambda *_: cards("H100", "H100"))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    yield
    for file in held:
        file.close()


def holder(folder: Path, seconds: float, visible: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), str(seconds)],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": visible},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["GPU-aaaa", "GPU-bbbb"]),
        ("1", ["GPU-bbbb"]),
        ("1,0", ["GPU-bbbb", "GPU-aaaa"]),
        ("GPU-bbbb", ["GPU-bbbb"]),
        ("MIG-1/2/3", ["MIG-1/2/3"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["GPU-aaaa"]),
    ],
)
def test_devices_are_those_that_may_be_used(monkeypatch, visible, expected):
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.devices() == expected


def test_a_claim_shows_cuda_one_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    assert gpus.claim() == "GPU-bbbb"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "GPU-bbbb"


def test_no_device_is_a_sentence_that_names_the_digits(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(BenchError, match=r"config/digits\.yaml"):
        gpus.claim()


@pytest.mark.parametrize(("order", "expected"), [("", ["1"]), ("PCI_BUS_ID", ["GPU-bbbb"])])
def test_a_number_is_translated_only_where_both_count_alike(monkeypatch, order, expected):
    # CUDA counts the fastest card first, the driver's tool by slot.
    monkeypatch.setattr(gpus, "nvidia_smi", lambda *_: cards("A10", "H100"))
    monkeypatch.setenv("CUDA_DEVICE_ORDER", order)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.devices() == expected
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert gpus.devices() == ["GPU-aaaa", "GPU-bbbb"]


def test_the_drivers_tool_is_read_line_by_line(monkeypatch, tmp_path):
    monkeypatch.undo()
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho '0, GPU-aaaa, NVIDIA H100, 80GB'\necho Unknown error\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpus.nvidia_smi("index", "uuid", "name") == [["0", "GPU-aaaa", "NVIDIA H100, 80GB"]]


def test_a_machine_without_a_driver_has_no_device(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus.devices() == []


def test_two_processes_never_have_the_same_device(tmp_path):
    holders = [holder(tmp_path, 0.2, "a,b") for _ in range(5)]
    output = [process.communicate(timeout=60)[0].splitlines()[-1] for process in holders]
    assert all(process.returncode == 0 for process in holders)
    assert set(output) <= {"a a False", "b b False"}


def test_the_device_of_a_killed_process_is_free_again(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "only")
    with holder(tmp_path, 600, "only") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "only only False\n"
        assert gpus._first_free(["only"]) is None
        process.kill()
    assert gpus.claim() == "only"


def test_logins_with_other_temporary_folders_share_the_locks(tmp_path):
    folders = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", "from bench.runtime import gpus; print(gpus.LOCKS)"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path / name)},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        folders.append(done.stdout)
    assert folders[0] == folders[1]


def test_locks_are_where_every_user_may_write(monkeypatch, tmp_path):
    closed, shared = tmp_path / "closed", tmp_path / "shared"
    closed.mkdir(mode=0o755)
    shared.mkdir()
    shared.chmod(0o1777)
    absent = tmp_path / "absent"
    assert gpus.shared_folder([absent, closed, shared]) == shared
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert gpus.shared_folder([absent, closed]) == tmp_path


def test_a_lock_is_for_every_user_whatever_the_umask(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "only")
    before = os.umask(0o077)
    try:
        gpus.claim()
    finally:
        os.umask(before)
    (lock,) = tmp_path.glob("*.lock")
    assert lock.stat().st_mode & 0o777 == 0o666


def test_waiting_is_told_once(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "only")
    with holder(tmp_path, 0.5, "only") as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert gpus.claim() == "only"
    told = capsys.readouterr().out
    assert told == "waiting for a CUDA device: other jobs have only\n"
