"""Where there is no CUDA device one is pretended, so that these tests run everywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from brief import brief_autoattack
from pretended import pretended_cuda

REAL = torch.cuda.is_available()


def pytest_report_header() -> list[str]:
    return [] if REAL else ["tests/gpu: no CUDA device; they run on a pretended one"]


@pytest.fixture(autouse=True)
def device(request: pytest.FixtureRequest) -> Iterator[None]:
    if not REAL and request.node.get_closest_marker("real"):
        pytest.skip("needs a CUDA device")
    if REAL:
        yield
        return
    with pretended_cuda(), pytest.MonkeyPatch.context() as patch:
        # There, a step takes some hundred times as long as here.
        few = {"n_iter": 10}
        brief_autoattack(
            patch, apgd=few, apgd_targeted=few, fab={"n_iter": 2}, square={"n_queries": 20}
        )
        yield
