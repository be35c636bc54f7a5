"""A short campaign of faults; tests/faults/campaign.py runs a long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from campaign import CONFIG, campaign

pytestmark = pytest.mark.slow


def test_after_a_kill_every_byte_is_an_undisturbed_runs(tmp_path):
    config = CONFIG.replace("  trades: {beta: 6}\n", "")
    faults = ["SIGKILL of the whole process group"]
    ((_, noticed),) = campaign(1, 4, tmp_path, faults=faults, config=config)
    assert "locked" in noticed  # else it ended before the signal came
