"""What the process of one path answers with."""

from __future__ import annotations

import json

import pytest
import torch
from settings import settings

from bench.__main__ import parser
from bench.config.experiment import experiment
from bench.config.parsing import plain
from bench.perf.choose import choose
from bench.perf.setup import ROUTES
from bench.perf.worker import Server


def test_the_peak_on_cuda_is_what_was_reserved_without_the_matrices_of_the_ceiling(monkeypatch):
    what = choose(parser().parse_args(["perf", "--quick"]), experiment(settings()))
    server = Server(json.loads(json.dumps(plain(what.setup(ROUTES["cpu"][0])))))
    matrices = server.bench.matrices
    side = what.settings.product
    assert [matrix.shape for matrix in matrices] == [(side, side)] * 3
    server.bench.device = torch.device("cuda")
    bare = 3 * 4 * side**2
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: 5_000_000 + bare)
    assert server.peak_mb() == pytest.approx(5.0)
    server.bench.device = torch.device("cpu")
    assert server.peak_mb() > 50  # of the whole process
