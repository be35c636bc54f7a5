"""The device of a job, its threads, and the precision of its convolutions."""

from __future__ import annotations

import ctypes
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bench.config.experiment import Compute
from bench.runtime.errors import BenchError
from bench.runtime.gpus import ABSENT

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
TF32_WARNING = "Please use the new API settings to control TF32 behavior"  # its beginning


def prepare(compute: Compute) -> torch.device:
    """Return the device that `compute` asks for, with its threads set; a job calls it first.

    A process that computes on the CPU keeps the memory that it frees, see `keep_pages`.

    Raises
    ------
    BenchError
        There is no CUDA device.
    """
    # torch 2.9 to 2.11 print it of the settings in `convolutions`, which every version has.
    warnings.filterwarnings("ignore", TF32_WARNING, UserWarning)
    if compute.threads is not None:
        torch.set_num_threads(compute.threads)
    if compute.device == "cpu":
        keep_pages()
    if compute.device == "cuda" and not torch.cuda.is_available():
        raise BenchError(ABSENT)
    # Reproducible kernels and no timing of alternatives: the choice could differ from run to run.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    return torch.device(compute.device)


def keep_pages() -> None:
    """Let this process keep the memory that it frees.

    The maps of a large batch are freed and asked for again at every layer. By default glibc gives
    each back to the system, which then has to clear fresh pages. No number depends on it.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        # Another C library, which keeps pages in its own way.
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def describe(device: torch.device) -> str:
    """Return the name of `device` for a record."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def peak_memory_mb(device: torch.device) -> float | None:
    """Return the most device memory held by tensors so far, in 1e6 bytes; None on a CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) / 1e6


@contextmanager
def convolutions(*, tf32: bool) -> Iterator[None]:
    """Let convolutions use TF32 or not; matrix products never do. Afterwards all is as before."""
    backends = torch.backends
    before = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
    try:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = tf32, False
        yield
    finally:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before
