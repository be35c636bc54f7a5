"""The pretended CUDA device: what it refuses, and that it computes what the CPU does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from pretended import CUDA, Device, OnDevice, pretended_cuda
from synthetic import METHODS, MOVED_WEIGHTS, some_data, some_spec
from torch import Tensor

from bench.engine import memory_format
from bench.training.passes import untrained

pytestmark = pytest.mark.slow

MIXED = "tensors on cuda and on cpu"
WAITS = "the host waits for the device"
ENGINES = [
    ("eager", "float32"),
    ("folded", "float32"),
    ("folded", "bfloat16"),
    ("cuda_graph", "float32"),
    ("cuda_graph", "bfloat16"),
]


@pytest.fixture
def device() -> Iterator[Device]:
    with pretended_cuda() as lent:
        yield lent


@contextmanager
def refusing() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_tensors_of_two_devices_do_not_meet(device):
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    assert there.device == CUDA
    assert (there + 1).device == CUDA
    assert (there * torch.tensor(2.0)).tolist() == [2.0] * 3, "a number on the host is allowed"
    for mixed in (
        lambda: there + here,
        lambda: here.add_(there),
        lambda: torch.stack([here, there]),
    ):
        with pytest.raises(AssertionError, match=MIXED):
            mixed()
    with pytest.raises(AssertionError, match=MIXED):
        torch.nn.functional.cross_entropy(torch.ones(3, 2, device=CUDA), torch.zeros(3).long())
    with pytest.raises(TypeError, match="numpy"):
        there.numpy()


def test_random_numbers_come_from_a_generator_of_their_device(device):
    for here, there in (("cpu", "cuda"), ("cuda", "cpu")):
        with pytest.raises(AssertionError, match=f"a generator on {there}"):
            torch.rand(3, device=here, generator=torch.Generator(there))
    drawn = torch.rand(3, device="cuda", generator=torch.Generator("cuda").manual_seed(1))
    assert drawn.cpu().equal(torch.rand(3, generator=torch.Generator().manual_seed(1)))


READS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "truth": lambda x: bool(x[0] > 0),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "tolist": lambda x: x.tolist(),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "indices of the host": lambda x: x[torch.tensor([0, 1])],
    "numbers of the host": lambda x: torch.tensor([1.0, 2.0], device=x.device),
    "a tensor of the host": lambda x: torch.ones(2).to(x.device),
    "synchronize": lambda _: torch.cuda.synchronize(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_waiting_is_noticed_where_it_is_refused(device, read):
    values = torch.ones(3, device="cuda")
    read(values)
    with refusing(), pytest.raises(AssertionError, match=WAITS):
        read(values)
    read(values)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph), pytest.raises(AssertionError, match="cannot record"):
        read(values)


def test_what_stays_on_the_device_waits_for_nothing(device):
    values, rows = torch.ones(3, 2, device="cuda"), torch.zeros(2, dtype=torch.int64, device="cuda")
    with refusing():
        values[rows] = values[rows] + torch.zeros((), device="cuda")
        assert values.to(CUDA).to(torch.float16).shape == (3, 2)
        assert torch.where(values > 0, values, 0.0).device == CUDA


def test_a_recording_computes_with_what_lies_in_its_tensors_when_it_is_replayed(device):
    given, weight = torch.ones(2, device="cuda"), torch.full((2,), 3.0, device="cuda")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        moved = given.clone()
        moved[:1] += 1
        result = weight * moved
    assert result.tolist() == [6.0, 3.0]
    given.fill_(2.0)
    weight.mul_(10)
    assert result.tolist() == [6.0, 3.0], "nothing is computed before the replay"
    for _ in range(2):
        graph.replay()
        assert result.tolist() == [90.0, 60.0]


def test_a_tensor_is_of_no_use_after_its_device_was_given_back():
    with pretended_cuda():
        left = torch.ones(3, device="cuda")
    assert isinstance(left, OnDevice)
    with pytest.raises(AssertionError, match="given back"):
        left + 1


# Every method on one engine, and every engine with a memory of adversarial examples and without.
@pytest.mark.parametrize(
    ("method", "training", "engine", "precision"),
    [
        *((method, {}, "folded", "float32") for method in METHODS),
        ("trades", MOVED_WEIGHTS, "folded", "float32"),
        *((method, {}, *how) for method in ("trades", "memloss") for how in ENGINES),
    ],
)
def test_a_training_there_is_the_training_here(monkeypatch, method, training, engine, precision):
    # Narrow networks lie otherwise on a CPU, which moves last bits.
    monkeypatch.setattr(memory_format, "WIDE", 0)
    spec = some_spec(method, **training)
    spec = replace(spec, training=replace(spec.training, engine=engine, precision=precision))
    with pretended_cuda():
        there = untrained(spec, some_data(), CUDA)
        measured = [there.epoch(number, lambda *_: None) for number in (1, 2)]
        weights = {name: value.cpu() for name, value in there.network().state_dict().items()}
    # What a graph records is the attack of the folded engine.
    name = "folded" if engine == "cuda_graph" else engine
    spec = replace(spec, training=replace(spec.training, engine=name))
    here = untrained(spec, some_data(), torch.device("cpu"))
    assert measured == [here.epoch(number, lambda *_: None) for number in (1, 2)]
    for name, value in here.network().state_dict().items():
        assert torch.equal(weights[name], value), name
