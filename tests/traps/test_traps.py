"""Networks that look robust and are not fail a check that names why, and sound ones pass all."""

from __future__ import annotations

import pytest
from examined import examined, named
from networks import HONEST, TRAPS

from bench.diagnostics.job import failed


@pytest.mark.parametrize("name", TRAPS)
def test_the_cause_of_a_trap_is_named(name):
    found = examined(TRAPS[name])
    assert failed(found.outcomes)
    assert named(found) == TRAPS[name].cause


@pytest.mark.parametrize("name", HONEST)
def test_a_sound_network_passes_every_check(name):
    assert failed(examined(HONEST[name]).outcomes) == []
