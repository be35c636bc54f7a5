"""Processes that are asked in turn, so that what disturbs the machine disturbs all of them alike.

Standard library only: the process that asks computes nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from bench.runtime.errors import BenchError
from bench.runtime.provenance import ROOT

SERVE = (sys.executable, "-m", "bench.perf.worker")
TAIL = 4000  # characters of standard error among which the last words are


class Asked(Protocol):
    """What answers requests under the name of its path."""

    name: str

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer."""
        ...


class Worker:
    """The process of one path, in a process group of its own.

    Parameters
    ----------
    name
        Of the path.
    command
        What to run; it reads requests from its input and writes answers, one JSON a line.
    """

    def __init__(self, name: str, command: Sequence[str] = SERVE) -> None:
        self.name = name
        # Closed with the worker. A file, because nobody reads a pipe until the worker has died.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        # A group of its own: Ctrl-C reaches the parent alone, which ends it with all its children.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises
        ------
        BenchError
            The worker cannot do what is asked, or it died; with its last words.
        """
        self.send(request)
        return self.receive()

    def send(self, request: Mapping[str, Any]) -> None:
        """Send a request; `receive` then waits for its answer."""
        assert self._process.stdin is not None
        # A worker that is gone is noticed where its answer is missing.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        """Return the answer to what was sent; raises as `ask` does."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchError(f"the path {self.name!r} {self._end()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise BenchError(f"the path {self.name!r}: {answer['error']}")
        return answer

    def kill(self) -> None:
        """End the process and its children at once: it has nothing to lose."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Wait for the end of a process that was killed, and give back its pipes."""
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]

    def _end(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        words = self._errors.read()[-TAIL:].strip().splitlines()
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if code == -signal.SIGKILL:
            how += " (where memory is short, the system does that: lower --batch-size)"
        return f"{how}; its last words: {words[-1].strip() if words else 'none'}"


@contextmanager
def workers(
    setups: Mapping[str, Mapping[str, Any]], command: Sequence[str] = SERVE
) -> Iterator[dict[str, tuple[Worker, dict[str, Any]]]]:
    """Lend a worker for each name, told its setup, with its answer; none outlives the block."""
    started: list[Worker] = []
    try:
        for name in setups:
            started.append(Worker(name, command))
        # All start at once: nothing is measured yet.
        for worker in started:
            worker.send({"setup": setups[worker.name]})
        yield {worker.name: (worker, worker.receive()) for worker in started}
    finally:
        for worker in started:
            worker.kill()
        for worker in started:
            worker.close()


def alternate(
    asked: Sequence[Asked],
    task: str,
    method: str | None,
    rounds: int,
    tell: Callable[[str, int, dict[str, Any]], None] = lambda *_: None,
) -> list[dict[str, Any]]:
    """Measure a task: one worker at a time, and every one before any is asked again.

    Parameters
    ----------
    method
        The label of what is trained.
    tell
        Called with the name of the path, the round from 1 and the measurement, after each.

    Returns
    -------
    list
        The measurements in the order in which they were made, with task, method, path and round.
    """
    for worker in asked:
        worker.ask({"prepare": task, "method": method})
    measured = []
    for number in range(1, rounds + 1):
        for worker in asked:
            answer = worker.ask({"measure": task})
            tell(worker.name, number, answer)
            place = {"task": task, "method": method, "path": worker.name, "round": number}
            measured.append({**place, **answer})
    return measured
