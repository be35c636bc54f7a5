"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from factory import ResultsFactory

# Before anything imports torch: networks as tiny as these are slower on two threads than on one,
# and much slower where other work shares the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where a job has two threads, one that waits leaves its core to the other test process.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


SLOW = ("workflow", "end_to_end", "gpu", "slurm", "traps")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what runs whole jobs as slow."""
    for item in items:
        # A job that is killed is a process, and each time that it goes on another.
        if item.path.parent.name in SLOW or item.name.startswith("test_killed_at_random"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def settings_of_the_process_kept() -> Iterator[None]:
    """What a job sets for its whole process does not reach the next test."""
    from synthetic import settings_kept  # imports torch: after the environment was set

    with settings_kept():
        yield


@pytest.fixture
def results_factory(tmp_path: Path) -> ResultsFactory:
    """A writer of small fake results below a temporary results/digits."""
    return ResultsFactory(tmp_path / "results" / "digits")
