"""Arithmetic operations of a computation, counted from the shapes it meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Counting(TorchDispatchMode):
    """Adds up in `total` what convolutions and matrix products inside do, backward passes included.

    A multiplication and the addition of its result are two operations. What else a network does,
    such as batch-norms and sums of maps, is not counted. PyTorch's own FlopCounterMode has the same
    formulas, but follows the modules of a network, which fails where the gradient of an input is
    asked for.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total: int = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run `func` and count it."""
        named = dict(kwargs or {})
        out = func(*args, **named)
        formula: Callable[..., int] | None = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **named, out_val=out)
        return out
