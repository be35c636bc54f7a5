"""A run is held against the weights that it started from."""

from __future__ import annotations

from pathlib import Path

from factory import edit_json
from planned import tiny, write_data, write_run

from bench.planning.verify import verify
from bench.results.staleness import Staleness
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


def test_a_run_is_as_stale_as_the_one_that_it_starts_from(tmp_path):
    of = tiny({"seeds": [0], "methods": METHODS})
    first, second = write_run(tmp_path, of, "standard"), write_run(tmp_path, of)
    write_data(tmp_path, of)
    edit_json(second / "train.json", needed_sha256={"start": sha256(first / "best.safetensors")})
    edit_json(first / "train.json", spec__training__batch_size=7)
    stale = Staleness(of, tmp_path)
    assert stale.training("standard", 0) == ["the config has another training.batch_size"]
    assert stale.training("trades", 0) == ["its start, standard, must be trained again"]
