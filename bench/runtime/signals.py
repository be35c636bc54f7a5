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
    at_limit
        Whether it was the alarm of `ending_after`.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.at_limit = number == signal.SIGALRM
        cause = "the time limit" if self.at_limit else signal.Signals(number).name
        super().__init__(
            f"stopped by {cause}; what was finished is kept: run the same command again to resume"
        )


def _stop(number: int, _frame: FrameType | None) -> None:
    raise InterruptedJobError(number)


@contextmanager
def stopping_cleanly() -> Iterator[None]:
    """Turn SIGTERM, as a scheduler sends it, and Ctrl-C into InterruptedJobError."""
    before = {number: signal.signal(number, _stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending_after(seconds: float | None) -> Iterator[None]:
    """Raise InterruptedJobError in the block when `seconds` have passed; never where it is None."""
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, seconds or 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
