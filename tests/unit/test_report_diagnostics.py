"""What report.html shows of diagnostics that did less than all they can."""

from __future__ import annotations

from pathlib import Path

import paged
import pytest

from bench.diagnostics.job import SURFACES

DIAGNOSED = ("models/trades/seed0/diagnostics", "models/trades/seed1/diagnostics")


@pytest.fixture
def folder(tmp_path) -> Path:
    return paged.experiment(tmp_path / "digits")


def test_where_no_loss_surface_was_asked_for_the_page_has_all_else(folder):
    before = set(paged.shown(folder).charts)
    for place in DIAGNOSED:
        # As `diagnostics.surfaces: 0` leaves it.
        (folder / place / "surfaces.csv").write_text(",".join(SURFACES) + "\n")
    assert before - set(paged.shown(folder).charts) == {"surface-2"}
