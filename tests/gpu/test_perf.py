"""What the speed benchmark says of a CUDA device's memory."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from synthetic import some_spec

from bench.config.experiment import Compute
from bench.config.parsing import plain
from bench.perf.choose import QUICK
from bench.perf.setup import ROUTES, Setup
from bench.perf.worker import Server
from bench.planning.sizes import Size

pytestmark = [pytest.mark.gpu, pytest.mark.real]


def test_peak_memory_is_that_of_the_task_and_not_of_the_ceiling():
    side = 4096
    setup = Setup(
        route=ROUTES["cuda"][0],
        compute=Compute(device="cuda", tf32=True),
        settings=replace(QUICK, product=side),
        size=Size(train=80, test=20, shape=(1, 8, 8), classes=10),
        eps=0.1,
        specs={"trades": some_spec("trades")},
    )
    server = Server(json.loads(json.dumps(plain(setup))))
    for _ in range(2):
        server.answer({"prepare": "attack", "method": "trades"})
        assert server.answer({"measure": "attack"})["peak_mb"] < 3 * 4 * side**2 / 1e6
