"""Fixtures shared by the unit tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def measured_folder(tmp_path):
    from claimed import measurements  # here: most tests need none of what it imports

    measurements(tmp_path, ratio=1.1, forgotten=-0.1)
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an epoch, which no test may change, and in its folder the data."""
    from synthetic import settings_kept, some_data, some_spec

    from bench.data.dataset import save
    from bench.training.job import train

    folder = tmp_path_factory.mktemp("trained") / "run"
    data = folder / "data.safetensors"
    save(some_data(), data)
    with settings_kept():
        train(some_spec(epochs=1), experiment="tiny", label="trades", data=data, folder=folder)
    return folder


@pytest.fixture
def trained_run(trained_once: Path, tmp_path: Path) -> Path:
    """The folder of a trained run and its data."""
    return Path(shutil.copytree(trained_once, tmp_path / "run"))
