"""A short campaign of faults; tests/faults/campaign.py runs a long one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "faults"))
from campaign import campaign

pytestmark = pytest.mark.slow


def test_after_a_kill_every_byte_is_an_undisturbed_runs(tmp_path):
    assert campaign(1, 0, tmp_path, ("SIGKILL of the whole process group",)).total() == 1
