"""Which of a user's files are images of a data set, and which are left by programs beside them.

Standard library only: the process that plans the workflow looks at the same files.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from bench.config.schema import Data
from bench.runtime.places import expanded

PARTS = ("train", "test")
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif"),
    *(".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# Text about images, not images.
NOTES = (".txt", ".md", ".csv", ".tsv", ".json", ".xml", ".yaml", ".yml", ".html", ".log")
# Written beside a user's files by Windows, macOS and the systems of network drives, in lower case;
# Linux, macOS and Jupyter begin such names with a dot.
LEFT_BY_PROGRAMS = (
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("__macosx", "icon\r", "@eadir", "#recycle", "#snapshot", "lost+found"),
)


def hidden(name: str) -> bool:
    """Say whether the file or folder `name` is hidden or a program's own."""
    return name.startswith(".") or name.lower() in LEFT_BY_PROGRAMS


def visible(folder: Path) -> list[Path]:
    """Return what lies in `folder` and is not hidden, sorted; nothing where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if not hidden(entry.name))


def parquet_files(folder: Path) -> list[Path]:
    """Return the parquet files in `folder`, sorted."""
    return [path for path in visible(folder) if path.suffix == ".parquet"]


def image_folder_files(folder: Path) -> list[Path]:
    """Return what lies in the parts of `folder` and in their classes, but for notes, sorted."""
    found: list[Path] = []
    for part in PARTS:
        for entry in visible(folder / part):
            found += visible(entry) if entry.is_dir() else [entry]
    return [path for path in found if path.suffix.lower() not in NOTES]


def tell_unread(folder: Path, entries: list[Path]) -> None:
    """Print what in `folder` is not read, if anything."""
    if entries:
        names = ", ".join(entry.name for entry in entries[:3])
        more = f" and {len(entries) - 3} more" if len(entries) > 3 else ""
        print(f"{folder}: not read: {names}{more}", file=sys.stderr, flush=True)


# The other sources are a package's own or a published archive that is checked when it is read.
FILES = {"folder": image_folder_files, "parquet": parquet_files}


def listing_digest(data: Data) -> str:
    """Return a digest of names, sizes and times of the files that `data` is read from.

    It is empty where the source has no files of the user's, or none are there yet. The files are
    not opened: what they hold is the business of the job that reads them.
    """
    if data.source not in FILES:
        return ""
    folder = expanded(data.path or "")
    lines = [f"{path.relative_to(folder)} {_state(path)}\n" for path in FILES[data.source](folder)]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError:  # such as a link to nothing, which the job names
        return "unreadable"
    return f"{found.st_size} {found.st_mtime_ns}"
