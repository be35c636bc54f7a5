"""Fixtures shared by the unit tests."""

from __future__ import annotations

import pytest


@pytest.fixture
def measured_folder(tmp_path):
    from claimed import measurements  # here: most tests need none of what it imports

    measurements(tmp_path, ratio=1.1, forgotten=-0.1)
    return tmp_path
