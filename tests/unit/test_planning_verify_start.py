"""A run is held against the weights that it started from."""

from __future__ import annotations

from pathlib import Path

from factory import edit_json
from planned import tiny, write_data, write_run

from bench.planning.verify import verify
from bench.runtime.files import sha256

CONFIG = Path("config/tiny.yaml")
METHODS = {"trades": {"training": {"start": "standard"}}, "standard": {}}


def test_a_run_whose_start_has_other_weights_now_is_named(tmp_path):
    of = tiny({"seeds": [0], "methods": METHODS})
    first = write_run(tmp_path, of, "standard")
    second = write_run(tmp_path, of)
    write_data(tmp_path, of)
    edit_json(second / "train.json", needed_sha256={"start": sha256(first / "best.safetensors")})
    assert verify(of, CONFIG, tmp_path) == []
    edit_json(second / "train.json", needed_sha256={"start": "f" * 64})
    (finding,) = verify(of, CONFIG, tmp_path)
    assert finding.where == str(second / "train.json")
    assert finding.what == "its start was not the weights that standard has now"
