"""Who may read a file that appeared, whatever wrote it."""

from __future__ import annotations

import os

import pytest
import torch
from safetensors.torch import save_file

from bench.runtime.files import HOST, appearing, appearing_folder, write_json


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_weights_and_records_have_the_mode_that_the_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with appearing(tmp_path / "best.safetensors") as partial:
            save_file({"weight": torch.zeros(1)}, partial)
        write_json(tmp_path / "train.json", {})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"best.safetensors": mode, "train.json": mode}


def test_a_folder_appears_whole_and_what_a_killed_process_left_is_removed(tmp_path):
    killed = tmp_path / f".out.{2**22 + 1}.{HOST}.partial"
    killed.mkdir()
    (killed / "half").touch()
    with appearing_folder(tmp_path / "out") as partial:
        (partial / "whole").touch()
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "whole"]
    with pytest.raises(ValueError, match="cut"), appearing_folder(tmp_path / "next"):
        raise ValueError("cut")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
