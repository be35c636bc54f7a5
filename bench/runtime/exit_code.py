"""How a command ends: with one sentence where the user can fix it, else with a report."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from bench.runtime.errors import BenchError, CodeError, ConfigError, SeveralError
from bench.runtime.files import refusal
from bench.runtime.out_of_memory import out_of_memory
from bench.runtime.places import INSTALL
from bench.runtime.signals import InterruptedJobError, stopping_cleanly

MAY_PASS = 70  # EX_SOFTWARE: another attempt may end otherwise
AGAIN = "what was finished is kept: run the same command again"


def prepare_output() -> None:
    """Let standard output take whatever is printed: nothing that was computed is lost for that.

    What its encoding lacks, such as a folder's name in an ASCII locale, is printed in escapes.
    Where it was closed, as a service may have it, what is printed goes nowhere.
    """
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (until the end)
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def exit_code(command: Callable[[], int | None]) -> int:
    """Run `command` and return the exit code; the last line on standard error says what ended it.

    It is what the command returns or 0 when all went well, 128 and the signal's number when the
    job was told to stop, as a shell counts it, 1 where another attempt would end as this one, and
    `MAY_PASS` where it may not: memory was full, or nobody foresaw it, which leaves a traceback.
    """
    try:
        with stopping_cleanly():
            code = command() or 0
            # Here, so that who stopped reading is noticed here and not at the interpreter's end.
            sys.stdout.flush()
            return code
    except InterruptedJobError as error:
        print(f"error: {error}", file=sys.stderr)
        return 128 + error.number
    except BrokenPipeError:
        # Whoever reads, as `head` does, has read enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return MAY_PASS if sentence(error) is None or out_of_memory(error) else 1


def explained(error: Exception) -> str:
    """Return what to say of `error`, after its traceback where nobody foresaw it.

    The traceback goes to standard error, as it does for a mistake in a file of the user's.
    """
    said = sentence(error)
    if said is None:
        traceback.print_exception(error)
        said = (
            f"{named(error)} (unexpected); {AGAIN}, and if it fails again, report it with this log"
        )
    elif isinstance(error, CodeError) and error.__cause__ is not None:
        traceback.print_exception(error.__cause__)
    return said


def sentence(error: Exception) -> str | None:
    """Return what the user can do about `error`, None where it was not foreseen."""
    if isinstance(error, SeveralError):
        return str(error)
    if isinstance(error, BenchError):
        return " ".join(str(error).split())
    missing = _missing(error)
    if missing:
        return (
            f"the package {missing} is not installed for {sys.executable}; {INSTALL}, and "
            "`python -m bench doctor` shows which are missing here"
        )
    if out_of_memory(error):
        return (
            f"out of memory ({named(error)}); {AGAIN} when no other program fills the memory, or "
            "on a machine with more"
        )
    refused = refusal(error)
    if refused is None:
        return None
    path = getattr(error, "filename", None)
    return f"{'a file' if path is None else path}: cannot be read or written: {refused}"


def code_error(error: Exception, path: Path, doing: str) -> CodeError:
    """Return what to say of an `error` that code of the user's in `path` caused while `doing`.

    Raises
    ------
    Exception
        `error` itself, where it is not the code's: memory or disk are full, or it was foreseen.
    """
    if isinstance(error, BenchError) or out_of_memory(error) or refusal(error):
        raise error
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename) == path]
    if isinstance(error, SyntaxError):
        lines.append(error.lineno)
    line = next(filter(None, reversed(lines)), None)
    said = CodeError(
        f"{path}{f', line {line}' if line else ''}: {doing}: {named(error)}; fix it there"
    )
    said.__cause__ = error
    return said


def import_file(module: str) -> None:
    """Import a module that registers a method or a model."""
    try:
        importlib.import_module(module)
    except Exception as error:
        spec = importlib.util.find_spec(module)
        path = Path(spec.origin) if spec and spec.origin else Path(module)
        if isinstance(error, ConfigError):
            raise ConfigError(*(f"{path}: {text}" for text in error.problems)) from None
        raise code_error(error, path, "it cannot be imported") from error


def _missing(error: Exception) -> str:
    """Return the package that is not installed, empty where `error` is about something else."""
    name = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    package = name.partition(".")[0]
    # A module of ours or of an installed package that is not there is a mistake in code.
    return "" if package in sys.modules else package


def named(error: BaseException) -> str:
    """Return the class of `error` and the first line of its text."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
