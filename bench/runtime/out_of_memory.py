"""Errors that mean: the memory is full. Several libraries have a name of their own for it."""

from __future__ import annotations

import gc

# CUDA's, cuDNN's and cuBLAS' words, and those of torch's allocator for the host.
WORDS = ("out of memory", "alloc_failed", "can't allocate memory", "not enough memory")


def out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that the memory of the device or of the host is full."""
    if isinstance(error, MemoryError):
        return True
    # By its name, so that a command without torch does not import it.
    if any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in text for word in WORDS)


def free_memory() -> None:
    """Give back what nothing refers to any more.

    Call it outside of the handler: the error's traceback keeps the tensors of every frame.
    """
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
