"""A folder as files of limited size with checksums, for a machine that lets only small files out.

Standard library only.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.runtime.errors import BenchError
from bench.runtime.files import read_json, sha256, write_json, writing

LARGEST = 16 * 2**20  # bytes of a part
LEFT_OUT = "state"  # of an interrupted job, many times as large as what it leaves


def pack(folder: Path, out: Path, *, largest: int = LARGEST) -> list[Path]:
    """Write `folder` into `out` as numbered parts and a list of them.

    Their names begin with the folder's own and its parent's, as in ``memloss_v1-seed0.json``. Equal
    folders give equal parts. The folder ``state`` of a job that is not done is left out.

    Parameters
    ----------
    largest
        Bytes of a part at most.

    Returns
    -------
    list
        The files written: every part, then the list.

    Raises
    ------
    BenchError
        There is no such folder, or the disk refuses a file.
    """
    if not folder.is_dir():
        raise BenchError(f"{folder}: there is no such folder to pack; name another --folder")
    folder = folder.resolve()
    name = f"{folder.parent.name}-{folder.name}"
    made = out / f".{name}.{os.getpid()}.partial"
    with writing(out):
        made.mkdir(parents=True)
        try:
            _archive(folder, Splitter(made, f"{name}.part", largest))
            # Parts of an earlier, larger folder of this name would belong to nothing.
            for path in out.glob(f"{name}.part*"):
                path.unlink()
            parts = [path.rename(out / path.name) for path in sorted(made.iterdir())]
        finally:
            shutil.rmtree(made, ignore_errors=True)
    listing = out / f"{name}.json"
    write_json(listing, {"parts": {path.name: sha256(path) for path in parts}})
    return [*parts, listing]


class Splitter:
    """A file to write to that becomes files ``<head>000``, ``<head>001``, ... in `folder`."""

    def __init__(self, folder: Path, head: str, largest: int) -> None:
        self.folder, self.head, self.largest = folder, head, largest
        self.written = 0

    def write(self, data: bytes) -> int:
        """Append `data`, beginning another file wherever one is full."""
        view = memoryview(data)
        while len(view):
            number, filled = divmod(self.written, self.largest)
            chunk = view[: self.largest - filled]
            with (self.folder / f"{self.head}{number:03d}").open("ab") as file:
                file.write(chunk)
            self.written += len(chunk)
            view = view[len(chunk) :]
        return len(data)

    def flush(self) -> None:
        """Do nothing: all is written already."""


def unpack(listing: Path, out: Path) -> Path:
    """Make the folder that `listing` and the parts beside it hold at `out`; return `out`.

    Raises
    ------
    BenchError
        A part is missing or damaged, or something stands at `out` already.
    """
    remedy = "name the .json that pack wrote"
    about = read_json(listing, remedy)
    try:
        parts = {listing.parent / part: str(digest) for part, digest in about["parts"].items()}
    except (KeyError, TypeError, AttributeError):
        raise BenchError(f"{listing}: no list of parts; {remedy}") from None
    if out.exists():
        raise BenchError(f"{out}: something is there already; move it away or name another --out")
    for path, digest in parts.items():
        if not path.is_file():
            raise BenchError(f"{path}: this part is missing; bring it here and unpack again")
        if sha256(path) != digest:
            raise BenchError(f"{path}: damaged on its way (another SHA-256); bring it once more")
    with _emerging(out) as partial, _joined(list(parts), out) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:gz") as archive:
                archive.extractall(partial, filter="data")
        except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
            raise BenchError(f"{listing}: its parts are no archive ({error}); pack again") from None
    return out


def _archive(folder: Path, file: Splitter) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder)
            if path.is_file() and inner.parts[0] != LEFT_OUT:
                archive.add(path, str(inner), recursive=False, filter=_anonymous)


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
    entry.mode = 0o644
    return entry


@contextmanager
def _emerging(folder: Path) -> Iterator[Path]:
    """Lend a folder that becomes `folder` at the end, or is removed after an error."""
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    with writing(folder):
        partial.mkdir(parents=True)
        try:
            yield partial
            os.replace(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _joined(parts: list[Path], out: Path) -> Iterator[IO[bytes]]:
    """Lend the parts as one file, which is removed at the end."""
    whole = out.with_name(f".{out.name}.{os.getpid()}.tar.gz")
    try:
        with whole.open("wb") as file:
            for part in parts:
                file.write(part.read_bytes())
        with whole.open("rb") as file:
            yield file
    finally:
        whole.unlink(missing_ok=True)
