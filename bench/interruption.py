"""A job that is told to stop stops between two statements, with its state on disk."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class InterruptedJobError(KeyboardInterrupt):
    """The job was told to stop; what it had finished is kept.

    Like KeyboardInterrupt it is no Exception: a handler for whatever a download or a damaged file
    may raise must not take it for one of those.

    Attributes
    ----------
    number
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(
            f"stopped by {signal.Signals(number).name}; what was finished is kept: run the same "
            "command again and it goes on from there"
        )


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Turn SIGTERM, as a scheduler sends it, and Ctrl-C into InterruptedJobError."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise InterruptedJobError(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
