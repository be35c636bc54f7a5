"""Errors that a user can fix. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class BenchError(Exception):
    """Something the user can fix; its text says what and how."""


class SeveralError(BenchError):
    """Several things that the user can fix, one sentence each.

    The text of a single problem is that sentence; several are numbered, a line each.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(dict.fromkeys(" ".join(text.split()) for text in problems))
        numbered = [f"  {number}. {text}" for number, text in enumerate(self.problems, 1)]
        several = "\n".join([f"{len(numbered)} problems", *numbered])
        super().__init__(several if len(numbered) > 1 else self.problems[0])


class ConfigError(SeveralError):
    """Keys of a configuration that the user can fix."""


class CodeError(BenchError):
    """A mistake in code of the user's own, such as a method's file; `__cause__` is what it raised.

    It is told with the traceback of its cause.
    """


class Problems:
    """Collects what is wrong in independent parts of a configuration, to tell all of it at once."""

    def __init__(self) -> None:
        self.found: list[str] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep the problems of a ConfigError that the block raises; the block ends there."""
        try:
            yield
        except ConfigError as error:
            self.found += error.problems

    def add(self, text: str) -> None:
        """Keep one problem."""
        self.found.append(text)

    def settle(self) -> None:
        """Raise ConfigError with all that was collected, if there is anything."""
        if self.found:
            raise ConfigError(*self.found)
