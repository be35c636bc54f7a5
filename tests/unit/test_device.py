from __future__ import annotations

import warnings

import pytest
import torch

from bench.config.experiment import Compute
from bench.numerics.device import convolutions, describe, peak_memory_mb, prepare
from bench.runtime.errors import BenchError

CPU = torch.device("cpu")


def tf32() -> tuple[bool, bool]:
    """Return whether convolutions and matrix products may use it."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("threads", [1, 2])
def test_a_cpu_job_gets_its_number_of_threads(threads):
    assert prepare(Compute(device="cpu", threads=threads)) == CPU
    assert torch.get_num_threads() == threads


def test_kernels_are_reproducible_and_never_chosen_by_timing():
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.deterministic = False
    prepare(Compute(device="cpu", threads=1))
    assert not torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.deterministic


def test_cuda_that_is_not_there_is_refused_with_a_way_on(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchError, match=r"compute\.device"):
        prepare(Compute(device="cuda"))


def test_cuda_that_is_there_is_given_and_keeps_the_threads(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    before = torch.get_num_threads()
    assert prepare(Compute(device="cuda", threads=None)) == torch.device("cuda")
    assert torch.get_num_threads() == before


# torch 2.9 to 2.11, aten/src/ATen/Context.cpp
TF32_WARNING = (
    "Please use the new API settings to control TF32 behavior, such as"
    " torch.backends.cudnn.conv.fp32_precision = 'tf32' or"
    " torch.backends.cuda.matmul.fp32_precision = 'ieee'. Old settings, e.g,"
    " torch.backends.cuda.matmul.allow_tf32 = True, torch.backends.cudnn.allow_tf32 = True,"
    " allowTF32CuDNN() and allowTF32CuBLAS() will be deprecated after Pytorch 2.9."
)


def test_a_job_does_not_print_that_its_tf32_settings_are_old():
    with warnings.catch_warnings(record=True) as printed:
        warnings.simplefilter("always")
        warnings.warn(TF32_WARNING, UserWarning, stacklevel=1)
        prepare(Compute(device="cpu", threads=1))
        warnings.warn(TF32_WARNING, UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
    assert [str(one.message) for one in printed] == [TF32_WARNING, "something else"]


def test_no_test_fails_because_torch_calls_its_tf32_settings_old():
    warnings.warn(TF32_WARNING, UserWarning, stacklevel=1)
    with pytest.raises(UserWarning, match="something else"):
        warnings.warn("something else", UserWarning, stacklevel=1)


def test_a_cpu_has_a_name_and_no_device_memory():
    assert describe(CPU) == "cpu"
    assert peak_memory_mb(CPU) is None


@pytest.mark.parametrize("wanted", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_only_convolutions_may_use_tf32_and_afterwards_all_is_as_before(wanted, before):
    with convolutions(tf32=before):
        with convolutions(tf32=wanted):
            assert tf32() == (wanted, False)
        assert tf32() == (before, False)


@pytest.mark.parametrize("before", [(True, True), (False, True), (True, False)])
def test_what_others_set_comes_back_also_after_an_error(before):
    backends, found = torch.backends, tf32()
    try:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = before
        with pytest.raises(RuntimeError, match="inside"), convolutions(tf32=True):
            raise RuntimeError("inside")
        assert tf32() == before
    finally:
        backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32 = found
