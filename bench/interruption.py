"""A job that is told to stop stops between two statements, with its state on disk."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from bench.parsing import BenchError


class InterruptedJobError(BenchError):
    """The job was told to stop; what it had finished is kept."""


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Turn SIGTERM, as a scheduler sends it, and Ctrl-C into InterruptedJobError."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise InterruptedJobError(
            f"stopped by {signal.Signals(number).name}; what was finished is kept: run the same "
            "command again and it goes on from there"
        )

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
