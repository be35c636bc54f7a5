"""What the files of a data set look like from outside: enough to see that some have changed.

Standard library only: the process that plans the workflow calls it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from bench.config.schema import Data
from bench.data.listing import image_folder_files, parquet_files
from bench.runtime.places import expanded

# The other sources are a package's own or a published archive that is checked when it is read.
FILES = {"folder": image_folder_files, "parquet": parquet_files}


def listing_digest(data: Data) -> str:
    """Return a digest of names, sizes and times of the files that `data` is read from.

    It is empty where the source has no files of the user's, or none are there yet. The files are
    not opened: what they hold is the business of the job that reads them. Hidden files and those
    that programs leave beside images decide nothing.
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
