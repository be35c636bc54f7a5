"""How a command ends: with one sentence where the user can put it right, else with a report."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable

from bench.interruption import InterruptedJobError, stopping_cleanly
from bench.parsing import BenchError
from bench.records import refusal
from bench.shortage import out_of_memory

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
    job was told to stop, as a shell counts it, and 1 otherwise. Only what nobody foresaw leaves a
    traceback.
    """
    try:
        with stopping_cleanly():
            code = command() or 0
            # Here, so that who stopped reading is noticed here and not at the interpreter's end.
            sys.stdout.flush()
            return code
    except InterruptedJobError as error:
        _say(str(error))
        return 128 + error.number
    except BrokenPipeError:
        # Whoever reads, as `head` does, has read enough; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except Exception as error:
        said = sentence(error)
        if said is None:
            traceback.print_exc()
            said = (
                f"{_named(error)} (unexpected); {AGAIN}, and if it ends here once more, report it "
                "with this log"
            )
        _say(said)
        return 1


def sentence(error: Exception) -> str | None:
    """Return what the user can do about `error`, None where it was not foreseen."""
    if isinstance(error, BenchError):
        return str(error)
    missing = _missing(error)
    if missing:
        return (
            f"the package {missing} is not installed for {sys.executable}; `make demo` builds "
            ".venv with all packages, and `python -m bench doctor` shows which are missing here"
        )
    if out_of_memory(error):
        return (
            f"out of memory ({_named(error)}); {AGAIN} when no other program fills the memory, or "
            "on a machine with more"
        )
    refused = refusal(error)
    if refused is None:
        return None
    path = getattr(error, "filename", None)
    return f"{'a file' if path is None else path}: cannot be read or written: {refused}"


def _missing(error: Exception) -> str:
    """Return the package that is not installed, empty where `error` is about something else."""
    name = error.name if isinstance(error, ModuleNotFoundError) and error.name else ""
    package = name.partition(".")[0]
    # A module of ours or of an installed package that is not there is a mistake in code.
    return "" if package in sys.modules else package


def _named(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _say(text: str) -> None:
    print(f"error: {' '.join(text.split())}", file=sys.stderr)
