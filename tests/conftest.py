"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from factory import ResultsFactory

# Before anything imports torch: networks as tiny as these are slower on two threads than on one,
# and much slower where other work shares the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def results_factory(tmp_path: Path) -> ResultsFactory:
    """A writer of small fake results below a temporary results/digits."""
    return ResultsFactory(tmp_path / "results" / "digits")
