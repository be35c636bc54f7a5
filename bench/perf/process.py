"""One process for each engine, asked in turn: what slows the machine slows all of them alike.

A process of its own gives each engine a peak memory of its own, on a CPU as well, and no block that
another has freed. The process that asks computes nothing and does without torch.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from bench.runtime.errors import BenchError
from bench.runtime.exit_code import sentence
from bench.runtime.out_of_memory import out_of_memory

SHORT = "out of memory: lower --batch-size or --attack-images, or choose fewer --engines"
Serve = Callable[[Connection, str, Any], None]


class Worker:
    """The process of the engine `name`, which runs `serve` with `setup`."""

    def __init__(self, name: str, setup: Any, serve: Serve) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, setup))
        self._process.start()
        theirs.close()

    def ask(self, request: str, *arguments: Any) -> Any:
        """Send a request and return its answer; raises as `answer` does."""
        # A process that has ended is noticed where its answer is missing.
        with contextlib.suppress(BrokenPipeError):
            self._pipe.send((request, arguments))
        return self.answer()

    def answer(self) -> Any:
        """Wait for the next answer; raise BenchError where the process refuses or ended."""
        try:
            done, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            why = SHORT if code == -signal.SIGKILL else "see what it printed above"
            raise BenchError(f"{self.name}: its process ended with {code}; {why}") from None
        if not done:
            raise BenchError(f"{self.name}: {answer}")
        return answer

    def kill(self) -> None:
        """End the process at once: it has nothing to lose."""
        self._process.kill()
        self._process.join()
        self._pipe.close()


def serve(pipe: Connection, engine: str, setup: Any) -> None:
    """Answer requests, each the name of a method of `Bench`, until nobody asks any more."""
    # Ctrl-C reaches parent and children alike; the parent ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Standard output is the parent's alone.
    os.dup2(2, 1)
    try:
        from bench.perf.tasks import Bench

        bench = Bench(engine, setup)
        answer: Any = bench.machine()
        while True:
            pipe.send((True, answer))
            try:
                request, arguments = pipe.recv()
            except EOFError:
                return
            answer = getattr(bench, request)(*arguments)
    except Exception as error:
        said = SHORT if out_of_memory(error) else sentence(error)
        if said is None:
            raise
        pipe.send((False, said))


@contextmanager
def workers(
    engines: Sequence[str], setup: Any, serve: Serve = serve
) -> Iterator[dict[str, tuple[Worker, Any]]]:
    """Yield a worker for each engine with its first answer; none outlives the block."""
    started: list[Worker] = []
    try:
        # All start at once: nothing is measured yet.
        for name in engines:
            started.append(Worker(name, setup, serve))
        yield {worker.name: (worker, worker.answer()) for worker in started}
    finally:
        for worker in started:
            worker.kill()


def alternate(
    asked: Sequence[Worker],
    task: str,
    method: str | None,
    rounds: int,
    tell: Callable[[dict[str, Any]], None] = lambda _: None,
) -> list[dict[str, Any]]:
    """Measure a task: one worker at a time, and every one before any is asked again.

    Every second round goes the other way round, so that a steady drift of the machine's speed
    favours nobody.

    Returns
    -------
    list
        The measurements as they were made, each with task, method, engine and round, from 1;
        `tell` is called with each.
    """
    for worker in asked:
        worker.ask("prepare", task, method)
    measured = []
    for number in range(1, rounds + 1):
        for worker in asked if number % 2 else reversed(asked):
            place = {"task": task, "method": method, "engine": worker.name, "round": number}
            measured.append({**place, **worker.ask("measure")})
            tell(measured[-1])
    return measured
