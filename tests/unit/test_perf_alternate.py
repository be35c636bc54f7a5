"""Workers take turns, and none outlives whoever asked it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench.perf.alternate import alternate, workers
from bench.runtime.errors import BenchError
from bench.runtime.signals import InterruptedJobError, stopping_cleanly

# Answers as a worker does; what it is told to be is in its setup.
FAKE = """
import json, os, subprocess, sys, time
for line in sys.stdin:
    request = json.loads(line)
    kind = request.get("setup", {}).get("kind", globals().get("kind"))
    answer = {"pid": os.getpid()}
    if "measure" in request:
        if kind == "dies":
            print("a first line", file=sys.stderr)
            sys.exit("ValueError: the last words")
        if kind == "killed":
            os.kill(os.getpid(), 9)
        if kind == "hangs":
            time.sleep(600)
        if kind == "refuses":
            answer = {"error": "the reason, with a remedy"}
    elif kind == "parent" and "setup" in request:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        answer["child"] = child.pid
    print(json.dumps(answer), flush=True)
"""
COMMAND = (sys.executable, "-c", FAKE)


class Noted:
    """Stands for a worker and notes what it is asked, in a list that all share."""

    def __init__(self, name: str, notes: list[tuple[str, str]]) -> None:
        self.name, self.notes = name, notes

    def ask(self, request):
        self.notes.append((self.name, next(iter(request))))
        return {"seconds": float(len(self.notes))}


def gone(pid: int) -> bool:
    """Say whether no such process runs; one that only waits to be reaped does not."""
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def test_everyone_is_asked_once_before_anyone_is_asked_again():
    notes: list[tuple[str, str]] = []
    told: list[tuple[str, int]] = []
    asked = [Noted(name, notes) for name in ("a", "b", "c")]
    found = alternate(
        asked, "step", "trades", 2, tell=lambda name, turn, _: told.append((name, turn))
    )
    prepared = [(name, "prepare") for name in "abc"]
    assert notes == [*prepared, *[(name, "measure") for name in "abcabc"]]
    assert [(one["path"], one["round"]) for one in found] == told
    assert told == [(name, turn) for turn in (1, 2) for name in "abc"]
    assert {one["task"] for one in found} == {"step"}
    assert {one["method"] for one in found} == {"trades"}
    assert [one["seconds"] for one in found] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]


def test_workers_answer_and_are_gone_with_their_children_afterwards():
    with workers({"a": {"kind": "parent"}, "b": {}}, COMMAND) as started:
        pids = [answer["pid"] for _, answer in started.values()] + [started["a"][1]["child"]]
        assert len(set(pids)) == 3
        asked = [worker for worker, _ in started.values()]
        assert [one["pid"] for one in alternate(asked, "step", None, 1)] == pids[:2]
    assert all(map(gone, pids))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("dies", "the path 'bad' ended with 1; its last words: ValueError: the last words"),
        ("killed", r"the path 'bad' was ended by SIGKILL \(.*lower --batch-size\); .*words: none"),
        ("refuses", "the path 'bad': the reason, with a remedy"),
    ],
)
def test_a_worker_that_cannot_go_on_is_told_in_a_sentence_and_ends_all(kind, said):
    pids = []

    def measure() -> None:
        with workers({"good": {}, "bad": {"kind": kind}}, COMMAND) as started:
            pids.extend(answer["pid"] for _, answer in started.values())
            alternate([worker for worker, _ in started.values()], "step", None, 1)

    with pytest.raises(BenchError, match=f"^{said}$"):
        measure()
    assert len(pids) == 2
    assert all(map(gone, pids))


def test_a_worker_that_does_not_even_start_is_told_too():
    command = (sys.executable, "-c", "raise SystemExit('no such module')")
    with (
        pytest.raises(BenchError, match="its last words: no such module"),
        workers({"a": {}}, command),
    ):
        pass


def test_a_signal_ends_a_parent_that_waits_and_all_its_workers():
    pids = []

    def measure() -> None:
        with stopping_cleanly(), workers({"a": {"kind": "hangs"}}, COMMAND) as started:
            worker, answer = started["a"]
            pids.append(answer["pid"])
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
            worker.ask({"measure": "step"})

    with pytest.raises(InterruptedJobError):
        measure()
    assert len(pids) == 1
    assert all(map(gone, pids))


def test_a_worker_ends_by_itself_when_nobody_asks_any_more():
    script = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {FAKE!r}], stdin=subprocess.PIPE,"
        " stdout=subprocess.DEVNULL, start_new_session=True)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert parent.returncode == -signal.SIGKILL
    assert gone(int(parent.stdout))
