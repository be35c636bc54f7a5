"""Files that appear whole or not at all, and their checksums. Standard library only."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.runtime.errors import BenchError

FULL = "free space on that disk or use another, then run the same command again"
CLOSED = "give yourself the right to it, or use another folder"
IN_THE_WAY = "there is a file where a folder must be, or the reverse: name another path"
MAKE = "run the step that makes it"
AGAIN = "delete it and make it again"
# In the names of temporary files, without dots, which part these names.
HOST = re.sub(r"[^A-Za-z0-9-]", "-", platform.node()) or "unknown"
FIXES = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EACCES: CLOSED,
    errno.EPERM: CLOSED,
    errno.EROFS: CLOSED,
    errno.ENOTDIR: IN_THE_WAY,
    errno.EISDIR: IN_THE_WAY,
    errno.EEXIST: IN_THE_WAY,
}


def refusal(error: BaseException) -> str | None:
    """Return why the disk refuses a file and what to do then, None where `error` is another one."""
    number = error.errno if isinstance(error, OSError) else None
    # safetensors writes in Rust: only the text of its error has the number.
    if type(error).__name__ == "SafetensorError":
        found = re.search(r"(?:os error|code:) (\d+)", str(error))
        number = int(found[1]) if found else None
    if number not in FIXES:
        return None
    return f"{os.strerror(number)}; {FIXES[number]}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say that it was `path` where the disk refuses to take what is written inside."""
    try:
        yield
    except Exception as error:
        refused = refusal(error)
        if refused is None:
            raise
        raise BenchError(f"{path}: cannot be written: {refused}") from error


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; what was written there becomes `path` at the end.

    Whoever may read a new file of this process may read it, whatever wrote it: safetensors makes
    its files for their owner alone.

    Raises
    ------
    BenchError
        The disk is full or refuses the file. What was at `path` is as it was.
    """
    partial = _partial(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _forget_killed(path)
            partial.touch()
            mode = partial.stat().st_mode
            yield partial
            if partial.stat().st_mode != mode:
                partial.chmod(mode)
            os.replace(partial, path)
        finally:
            # A disk that refuses this too must not hide the error that came first.
            with suppress(OSError):
                partial.unlink(missing_ok=True)


@contextmanager
def appearing_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`, which becomes `path` at the end.

    Raises
    ------
    BenchError
        The disk is full or refuses the folder. `path` is as it was: missing, or empty.
    """
    partial = _partial(path)
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _forget_killed(path)
            partial.mkdir()
            yield partial
            os.replace(partial, path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.stem}.{os.getpid()}.{HOST}.partial{path.suffix}")


def _forget_killed(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` left beside it."""
    named = re.compile(
        rf"\.{re.escape(path.stem)}\.(\d+)\.([^.]+)\.partial{re.escape(path.suffix)}"
    )
    for beside in path.parent.iterdir():
        found = named.fullmatch(beside.name)
        # The number of a process says nothing on another machine that shares the folder.
        if found and found[2] == HOST and not _alive(int(found[1])):
            if beside.is_dir():
                shutil.rmtree(beside, ignore_errors=True)
                continue
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, or no number of this system: not ours to call dead
    return True


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, which is never seen half-written."""
    with appearing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path`, which is never seen half-written."""
    with appearing(path) as partial:
        partial.write_bytes(data)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in the order of its keys."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path, fix: str | None = None) -> Any:
    """Return what `write_json` wrote.

    Raises
    ------
    BenchError
        The file is missing or is not JSON. It ends with `fix`, which a file must have that
        the user named: it may be the user's own, and not ours to delete.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BenchError(f"{path}: there is no such file; {fix or MAKE}") from None
    except OSError as error:
        closed = isinstance(error, PermissionError)
        said = CLOSED if closed else fix or FIXES.get(error.errno or 0, AGAIN)
        raise BenchError(f"{path}: cannot be read ({error.strerror}); {said}") from None
    except ValueError as error:
        raise BenchError(f"{path}: not JSON ({error}); {fix or AGAIN}") from None


def sha256(path: Path) -> str:
    """Return the SHA-256 of the bytes of `path`, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
