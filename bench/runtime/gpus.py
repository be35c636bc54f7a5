"""One CUDA device for each job: claimed by a lock on a file before torch is imported.

The lock belongs to the process, so it is free again when the process ends, however it ends. It is
the machine's, not a project's: two Snakemakes at once do not share a device either. Standard
library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import IO

from bench.runtime.errors import BenchError

POLL = 1.0  # seconds
ABSENT = (
    "compute.device is cuda and there is no CUDA device here (nvidia-smi tells of none; where only "
    "that tool is missing, set CUDA_VISIBLE_DEVICES); use a machine with a GPU, or run the digits "
    "experiment, which needs none: snakemake --cores 2 --configfile config/digits.yaml"
)
# Of the machine and not of a login, as TMPDIR is. Not /dev/shm: a logout may remove files there.
SHARED = (Path("/run/lock"), Path("/tmp"))
_claimed: list[IO[str]] = []  # open for as long as the process lives


def shared_folder(folders: Iterable[Path]) -> Path:
    """Return the first of `folders` that all users may write to, or else the temporary folder."""
    for folder in folders:
        with contextlib.suppress(OSError):
            if folder.stat().st_mode & 0o1777 == 0o1777 and os.access(folder, os.W_OK):
                return folder
    return Path(tempfile.gettempdir())


LOCKS = shared_folder(SHARED)


def devices() -> list[str]:
    """Return the devices that this process may use, each by a name that CUDA understands.

    A cluster's own CUDA_VISIBLE_DEVICES is respected. Where the driver tells, a device goes by its
    UUID: numbers are counted again in every allocation, so two jobs' "0" need not be the same. A
    number stays one where cards differ and CUDA counts the fastest first, as it does unless
    CUDA_DEVICE_ORDER says otherwise: the driver's tool counts by slot.
    """
    cards = nvidia_smi("index", "uuid", "name")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [uuid for _, uuid, _ in cards]
    by_slot = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    alike = len({name for _, _, name in cards}) == 1
    known = {number: uuid for number, uuid, _ in cards if by_slot or alike}
    return [known.get(name, name) for name in _names(visible)]


def claim_for(device: str) -> None:
    """Make this process fit for "cpu" or "cuda": reproducible sums, and a device of its own.

    Must come before torch is imported, which reads both when it starts.
    """
    # Without it cuBLAS may sum in another order from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device == "cuda":
        claim()


def claim() -> str:
    """Take one free device for this process alone, once there is one, and show CUDA no other.

    Must come before torch is imported.
    """
    names = devices()
    if not names:
        raise BenchError(ABSENT)
    told = False
    while (name := _first_free(names)) is None:
        if not told:
            print(f"waiting for a CUDA device: other jobs have {', '.join(names)}", flush=True)
            told = True
        time.sleep(POLL)
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    return name


def _first_free(names: Sequence[str]) -> str | None:
    for name in names:
        path = LOCKS / f"memloss-bench-{''.join(c if c.isalnum() else '-' for c in name)}.lock"
        _create(path)
        # Reading is enough for flock, and works where another user's file is not for writing.
        file = path.open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _claimed.append(file)
        return name
    return None


def _create(path: Path) -> None:
    """Create `path` for every user of the machine, unless it is there already."""
    before = os.umask(0)
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    finally:
        os.umask(before)


def _names(visible: str) -> list[str]:
    """Return the devices of CUDA_VISIBLE_DEVICES; CUDA ignores all from the first bad one on."""
    names = (name.strip() for name in visible.split(","))
    return list(takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names))


def nvidia_smi(*fields: str) -> list[list[str]]:
    """Return `fields` of every device that the driver's own tool tells of."""
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.splitlines() if done.returncode == 0 else []
    rows = [[cell.strip() for cell in line.split(",", len(fields) - 1)] for line in lines]
    return [row for row in rows if len(row) == len(fields)]
