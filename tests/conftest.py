"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from factory import ResultsFactory


@pytest.fixture
def results_factory(tmp_path: Path) -> ResultsFactory:
    """A writer of small fake results below a temporary results/digits."""
    return ResultsFactory(tmp_path / "results" / "digits")
