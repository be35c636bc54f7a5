"""A CUDA device for machines without one: its tensors lie on the CPU and say that they do not.

What a CPU forgives and a CUDA device does not is an error here: operations on tensors of two
devices, random numbers from a generator of the other device, and, where a test asks for it, waiting
for the device. CUDA graphs are recorded and replayed, and convolutions round to TF32 where they are
allowed to. Apart from that, values are those of the CPU. Not pretended are kernels, their speed,
the allocator, and the order in which streams run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
OPS = torch.ops.aten
PEAK = 123_000_000  # bytes
# They bring values to the host, or need one there to know the shape of what they return.
READING = {
    OPS._local_scalar_dense.default,
    OPS.equal.default,
    OPS.nonzero.default,
    OPS.masked_select.default,
    OPS._unique2.default,
}
COPYING = {OPS.copy_.default, OPS._to_copy.default}
INDEXING = {OPS.index.Tensor, OPS.index_put.default, OPS.index_put_.default}
CONVOLVING = {OPS.convolution.default, OPS.convolution_backward.default}
# Functions that ask the driver themselves, and one that makes tensors where PyTorch takes its
# input to be.
MADE = {torch.tensor, torch.as_tensor}
WHOLE = {torch.quantile}


class OnDevice(Tensor):
    """A tensor that says that it is on the device; `held` has its values, on the CPU.

    Only Python is told so. PyTorch itself takes it for one on the CPU, because its backward pass
    would ask the driver about any other device.
    """

    held: Tensor
    device = property(lambda self: CUDA)  # type: ignore[assignment]
    is_cuda = property(lambda self: True)  # type: ignore[assignment]
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OnDevice:
        made = Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, op: Any, *_: Any) -> Any:
        raise AssertionError(f"{op} on the pretended device after it was given back")

    def __repr__(self, **_: Any) -> str:
        return f"OnDevice({self.held!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied: Tensor = OnDevice(self.held.clone())
        if isinstance(self, nn.Parameter):
            copied = nn.Parameter(copied, self.requires_grad)
        memo[id(self)] = copied
        return copied

    def to(self, *args: Any, **kwargs: Any) -> Tensor:
        for value in (*args, *kwargs.values()):
            asked = value.device if isinstance(value, Tensor) else value
            if isinstance(asked, str | torch.device) and torch.device(asked).type == "cpu":
                return self.cpu().to(*args, **kwargs)
        return super().to(*args, **kwargs)

    def cpu(self, *_: Any) -> Tensor:
        Device.lent[-1].wait("cpu")
        return self.held.clone()

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError("a tensor on cuda has no numpy array")

    def data_ptr(self) -> int:
        return self.held.data_ptr()

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, other: OnDevice) -> None:
        self.held = other.held


class Generator(torch.Generator):
    """A generator that says on which device it is."""

    where: torch.device
    device = property(lambda self: self.where)  # type: ignore[assignment]

    def __new__(cls, device: Any = CPU) -> Generator:
        made = super().__new__(cls)
        made.where = CUDA if torch.device(device).type == "cuda" else CPU
        return made


class Functions(TorchFunctionMode):
    """Runs functions that look at devices before they come to `Device`."""

    def __torch_function__(
        self, function: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        generator = given.get("generator")
        if generator is not None:
            drawn = args[0].device if isinstance(args[0], Tensor) else given.get("device") or CPU
            where = generator.device.type
            assert torch.device(drawn).type == where, f"{function}: a generator on {where}"
        if function is Tensor.to and len(args) > 1 and isinstance(args[1], OnDevice):
            return function(args[0], CUDA, args[1].dtype, *args[2:], **given)
        if function in MADE and torch.device(given.get("device") or CPU).type == "cuda":
            del given["device"]
            return function(*args, **given).to(CUDA)
        if function in WHOLE and isinstance(args[0], OnDevice):
            return OnDevice(function(args[0].held, *args[1:], **given))
        return function(*args, **given)


class Device(TorchDispatchMode):
    """Runs every operation on the CPU, and says which of them a CUDA device would not run."""

    lent: ClassVar[list[Device]] = []

    def __init__(self) -> None:
        super().__init__()
        self.refusing = False
        self.recorded: list[Callable[[], None]] | None = None

    def wait(self, why: object) -> None:
        """Let the host wait for the device, unless that is refused."""
        assert self.recorded is None, f"{why}: a CUDA graph cannot record waiting"
        assert not self.refusing, f"{why}: the host waits for the device"

    def refuse(self, mode: str) -> None:
        """Make waiting for the device an error, or no more; `torch.cuda.set_sync_debug_mode`."""
        self.refusing = {"error": True, "default": False}[mode]

    def __torch_dispatch__(
        self, op: Any, _types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        tensors = [leaf for leaf in _leaves((args, given)) if isinstance(leaf, Tensor)]
        here = any(isinstance(tensor, OnDevice) for tensor in tensors)
        asked = given.get("device")
        # PyTorch asks for the CPU where it asks for the device of its input.
        there = here or (asked is not None and torch.device(asked).type == "cuda")
        self._check(op, args, tensors, here=here, there=there)
        own = given if asked is None else {**given, "device": CPU}
        # A recording reads what lies there when it is replayed, wherever the tensors are by then.
        held, held_own = _mapped(_held, args), _mapped(_held, own)
        coarse = here and op in CONVOLVING and torch.backends.cudnn.allow_tf32

        def run() -> Any:
            return op(*(_mapped(_rounded, held) if coarse else held), **held_own)

        result = run()
        if not there:
            return result
        if self.recorded is not None:
            self.recorded.append(_again(run, result))
        return return_and_correct_aliasing(op, args, given, _mapped(_lifted, result))

    def _check(self, op: Any, args: Any, tensors: list[Tensor], *, here: bool, there: bool) -> None:
        strangers = [t for t in tensors if not isinstance(t, OnDevice) and t.dim()]
        if op in COPYING:
            if there and strangers:
                self.wait(op)
            return
        if op in INDEXING and here:
            chosen = [index for index in args[1] if index is not None]
            # How many a mask chooses is known on the device only.
            if any(i.dtype == torch.bool or not isinstance(i, OnDevice) for i in chosen):
                self.wait(op)
            strangers = [t for t in strangers if not any(t is index for index in chosen)]
        if here and op in READING:
            self.wait(op)
        assert not (here and strangers), f"{op}: tensors on cuda and on cpu"


# PyTorch's own functions for this take longer than the operations.
def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def _mapped(change: Callable[[Any], Any], value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)([_mapped(change, one) for one in value])
    if isinstance(value, dict):
        return {key: _mapped(change, one) for key, one in value.items()}
    return change(value)


def _held(value: Any) -> Any:
    return value.held if isinstance(value, OnDevice) else value


def _rounded(value: Any) -> Any:
    """Return values in TF32, which has 10 of float32's 23 bits."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32:
        return value
    return ((value.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


def _lifted(value: Any) -> Any:
    return OnDevice(value) if isinstance(value, Tensor) else value


def _again(run: Callable[[], Any], result: Any) -> Callable[[], None]:
    """Return what runs an operation once more and leaves its result where it was."""

    def again() -> None:
        for old, new in zip(_leaves(result), _leaves(run()), strict=True):
            # A view, and what was changed in place, is there already.
            if isinstance(old, Tensor) and old.data_ptr() != new.data_ptr():
                old.copy_(new)

    return again


class Graph:
    """In place of `torch.cuda.CUDAGraph`: the operations that were recorded, in their order."""

    def __init__(self) -> None:
        self.operations: list[Callable[[], None]] = []

    def replay(self) -> None:
        with torch._C._DisableTorchDispatch():
            for operation in self.operations:
                operation()


class Stream:
    """In place of `torch.cuda.Stream`: there is one only."""

    def wait_stream(self, _other: Stream) -> None:
        pass


@contextmanager
def pretended_cuda() -> Iterator[Device]:
    """Lend a CUDA device that is not there; see the head of this file."""
    device, autocast = Device(), torch.autocast

    @contextmanager
    def recording(graph: Graph) -> Iterator[None]:
        device.recorded = graph.operations
        try:
            yield
        finally:
            device.recorded = None

    def cast(kind: str, dtype: torch.dtype, *, enabled: bool) -> torch.autocast:
        # That of the CPU does nothing to what is on the device.
        return autocast("cpu", dtype, enabled=enabled and kind == "cuda")

    replaced = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "default_generators": (Generator(CUDA),),
        "get_device_name": lambda *_: "Pretended",
        "get_device_capability": lambda *_: (9, 0),
        "synchronize": lambda *_: device.wait("synchronize"),
        "set_sync_debug_mode": device.refuse,
        "empty_cache": lambda: None,
        "reset_peak_memory_stats": lambda *_: None,
        "max_memory_allocated": lambda *_: PEAK,
        "max_memory_reserved": lambda *_: PEAK,
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda _: nullcontext(),
        "CUDAGraph": Graph,
        "graph": recording,
    }
    torch._C._ensureCUDADeviceGuardSet()
    with pytest.MonkeyPatch.context() as patch, device, Functions():
        for name, value in replaced.items():
            patch.setattr(torch.cuda, name, value)
        patch.setattr(torch._C, "_cuda_getDevice", lambda: 0, raising=False)
        patch.setattr(Tensor, "pin_memory", lambda tensor, *_: tensor)
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "autocast", cast)
        # cuDNN's operations have no counterpart on a CPU.
        patch.setattr(torch.backends.cudnn, "enabled", False)
        # Weights that move to the device become tensors of another class.
        torch.__future__.set_swap_module_params_on_conversion(True)
        Device.lent.append(device)
        try:
            yield device
        finally:
            Device.lent.pop()
            torch.__future__.set_swap_module_params_on_conversion(False)
