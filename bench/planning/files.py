"""What the files of a data set look like from outside: enough to see that some have changed.

Standard library only: the process that plans the workflow calls it.
"""

from __future__ import annotations

import hashlib

from bench.places import expanded
from bench.sections import Data

# The other sources are a package's own or a published archive that is checked when it is read.
PATTERNS = {"folder": ("train/*/*", "test/*/*"), "parquet": ("*.parquet",)}


def listing_digest(data: Data) -> str:
    """Return a digest of names, sizes and times of the files that `data` is read from.

    It is empty where the source has no files of the user's, or none are there yet. The files are
    not opened: what they hold is the business of the job that reads them.
    """
    folder = expanded(data.path or "")
    patterns = PATTERNS.get(data.source, ())
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    lines = []
    for path in files:
        found = path.stat()
        lines.append(f"{path.relative_to(folder)} {found.st_size} {found.st_mtime_ns}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else ""
