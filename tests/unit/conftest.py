"""Fixtures shared by the unit tests."""

from __future__ import annotations

import pytest
from claimed import measurements


@pytest.fixture
def measured_folder(tmp_path):
    measurements(tmp_path, ratio=1.1, forgotten=-0.1)
    return tmp_path
