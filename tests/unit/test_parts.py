"""A folder in small files: whole again on the other side, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench.parts import pack, unpack
from bench.runtime.errors import BenchError


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "trades" / "seed0"
    (folder / "verdicts" / "best").mkdir(parents=True)
    (folder / "state").mkdir()
    # Noise, since what can be compressed would fit into one part.
    noise = torch.randint(256, (50_000,), generator=torch.Generator().manual_seed(0))
    (folder / "best.safetensors").write_bytes(bytes(noise.tolist()))
    (folder / "verdicts" / "best" / "clean.csv").write_text("index,label\n0,1\n")
    (folder / "train.json").write_text("{}")
    (folder / "state" / "training.safetensors").write_bytes(b"half-way")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_folder_comes_out_as_it_went_in_without_its_state(run, tmp_path):
    files = pack(run, tmp_path / "out", largest=20_000)
    assert [path.name for path in files] == [
        "trades-seed0.part000",
        "trades-seed0.part001",
        "trades-seed0.part002",
        "trades-seed0.json",
    ]
    assert all(path.stat().st_size <= 20_000 for path in files)
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(files)
    made = unpack(files[-1], tmp_path / "back" / "seed0")
    before = contents(run)
    del before["state/training.safetensors"]
    assert contents(made) == before
    assert [path.name for path in made.parent.iterdir()] == ["seed0"]


def test_equal_folders_give_equal_parts_whenever_they_were_written(run, tmp_path):
    first = contents_of(pack(run, tmp_path / "one", largest=20_000))
    (run / "train.json").touch()
    (run / "train.json").chmod(0o600)
    assert contents_of(pack(run, tmp_path / "two", largest=20_000)) == first


def contents_of(files: list[Path]) -> list[bytes]:
    return [path.read_bytes() for path in files]


def test_packing_again_leaves_no_part_of_before(run, tmp_path):
    pack(run, tmp_path / "out", largest=20_000)
    (run / "best.safetensors").unlink()
    files = pack(run, tmp_path / "out", largest=20_000)
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(files)
    assert "best.safetensors" not in contents(unpack(files[-1], tmp_path / "back"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda part: part.unlink(), r"trades-seed0\.part001: this part is missing"),
        (lambda part: part.write_bytes(b"cut"), r"trades-seed0\.part001: damaged on its way"),
    ],
)
def test_a_part_that_is_missing_or_damaged_is_named(run, tmp_path, damage, said):
    files = pack(run, tmp_path / "out", largest=20_000)
    damage(files[1])
    with pytest.raises(BenchError, match=said):
        unpack(files[-1], tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_nothing_is_overwritten(run, tmp_path):
    files = pack(run, tmp_path / "out")
    with pytest.raises(BenchError, match="something is there already"):
        unpack(files[-1], run)


@pytest.mark.parametrize("text", ["[]", '{"parts": 3}', "{}"])
def test_another_file_is_no_list_of_parts(tmp_path, text):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(BenchError, match="no list of parts"):
        unpack(tmp_path / "other.json", tmp_path / "back")


def test_parts_that_are_no_archive_are_refused_and_leave_nothing(tmp_path):
    from bench.runtime.files import sha256

    part = tmp_path / "x.part000"
    part.write_bytes(b"<html>")
    (tmp_path / "x.json").write_text(json.dumps({"parts": {part.name: sha256(part)}}))
    with pytest.raises(BenchError, match="no archive"):
        unpack(tmp_path / "x.json", tmp_path / "back")
    assert {path.name for path in tmp_path.iterdir()} == {"x.part000", "x.json"}


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BenchError, match="no such folder to pack"):
        pack(tmp_path / "nothing", tmp_path / "out")
