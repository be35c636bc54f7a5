"""How a command ends: the exit code, and what stands last on standard error."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.cli import jobs
from bench.cli.main import main
from bench.runtime.errors import BenchError
from bench.runtime.exit_code import MAY_PASS, exit_code, sentence
from bench.runtime.out_of_memory import out_of_memory

ROOT = Path(__file__).parents[2]
FULL = "free space on that disk or use another"
CLOSED = "give yourself the right to it"


def raising(error: BaseException):
    def command():
        raise error

    return command


def last_line(capsys) -> str:
    """Return the only line on standard error."""
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    return line


def test_a_command_that_ends_well_says_nothing(capsys):
    assert exit_code(lambda: None) == 0
    assert capsys.readouterr().err == ""


def test_what_the_user_can_put_right_is_one_line(capsys):
    assert exit_code(raising(BenchError("threat.eps:\n  too large"))) == 1
    assert last_line(capsys) == "error: threat.eps: too large"


@pytest.mark.parametrize("error", [ZeroDivisionError("by\nzero"), OSError("odd"), KeyError("x")])
def test_what_nobody_foresaw_has_a_traceback_and_then_what_to_do(capsys, error):
    assert exit_code(raising(error)) == MAY_PASS
    *log, last = capsys.readouterr().err.splitlines()
    assert log[0] == "Traceback (most recent call last):"
    assert last.startswith(f"error: {type(error).__name__}: ")
    assert "run the same command again" in last


def test_a_reader_that_has_read_enough_is_no_error():
    script = "import sys; from bench.runtime.exit_code import exit_code; "
    script += "sys.exit(exit_code(lambda: print('a' * 100_000)))"
    command = f"{sys.executable} -c {shlex.quote(script)} | head -c 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (141, "a", "")


def test_a_package_that_is_not_installed_is_one_line(capsys):
    def command() -> None:
        import no_such_package.part  # type: ignore[import-not-found]  # noqa: F401

    assert exit_code(command) == 1
    line = last_line(capsys)
    assert "no_such_package" in line
    assert "`python -m bench doctor`" in line


def test_a_module_of_ours_that_is_not_there_is_a_mistake_in_code():
    assert sentence(ModuleNotFoundError("no module", name="bench.nothing")) is None
    assert sentence(ModuleNotFoundError("no module")) is None


@pytest.mark.parametrize(("told", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_command_that_is_told_to_stop_says_how_it_goes_on(capsys, told, code):
    before = signal.getsignal(told)

    def command():
        try:
            signal.raise_signal(told)
        except Exception:
            pytest.fail("taken for an error of the command's own")

    assert exit_code(command) == code
    line = last_line(capsys)
    assert line.startswith(f"error: stopped by {told.name}; what was finished is kept")
    assert signal.getsignal(told) is before


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.ENOSPC, FULL),
        (errno.EDQUOT, FULL),
        (errno.EFBIG, FULL),
        (errno.EACCES, CLOSED),
        (errno.EROFS, CLOSED),
        (errno.ENOTDIR, "name another path"),
    ],
)
def test_a_disk_that_refuses_is_one_line_with_the_path(capsys, number, fix):
    assert exit_code(raising(OSError(number, os.strerror(number), "results/x"))) == 1
    line = last_line(capsys)
    assert line.startswith("error: results/x: ")
    assert os.strerror(number) in line
    assert fix in line
    assert exit_code(raising(OSError(number, os.strerror(number)))) == 1
    assert last_line(capsys).startswith("error: a file: ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be ..."),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
def test_a_full_memory_is_one_line_however_it_is_worded(capsys, error):
    assert out_of_memory(error)
    assert exit_code(raising(error)) == MAY_PASS
    line = last_line(capsys)
    assert line.startswith(f"error: out of memory ({type(error).__name__}")
    assert "run the same command again" in line


@pytest.mark.parametrize(
    "error", [RuntimeError("sizes differ"), ValueError("out of memory"), OSError(5, "I/O error")]
)
def test_other_errors_are_neither_memory_nor_disk(error):
    assert not out_of_memory(error)
    assert sentence(error) is None


def test_the_command_line_ends_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "read_config", lambda _: 1 // 0)
    assert main(["data", "--config", str(tmp_path)]) == MAY_PASS
    *log, last = capsys.readouterr().err.splitlines()
    assert log[0] == "Traceback (most recent call last):"
    assert "ZeroDivisionError" in last
