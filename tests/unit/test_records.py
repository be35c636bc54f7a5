from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.runtime.errors import BenchError
from bench.runtime.files import HOST, appearing, read_json, sha256, write_json, write_text

ROOT = Path(__file__).parents[2]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_not_seen_before_it_is_whole(tmp_path):
    path = tmp_path / "new" / "record.json"
    with appearing(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        assert partial.parent == path.parent
        assert partial.suffix == path.suffix
    assert path.read_text() == "half"
    assert names(path.parent) == ["record.json"]


def test_an_error_leaves_what_was_there_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    write_text(path, "old")

    def fail():
        with appearing(path) as partial:
            partial.write_text("half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["record.json"]


def killed_while_writing(path):
    code = f"""
import os, pathlib, signal
from bench.runtime.files import appearing
with appearing(pathlib.Path({str(path)!r})) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_left_is_removed_by_the_next_that_writes_the_file(tmp_path):
    killed_while_writing(tmp_path / "best.txt")
    (left,) = names(tmp_path)
    assert ".partial" in left
    write_text(tmp_path / "last.txt", "another file")
    assert left in names(tmp_path)
    write_text(tmp_path / "best.txt", "whole")
    assert names(tmp_path) == ["best.txt", "last.txt"]


def test_what_another_process_or_another_machine_is_writing_stays(tmp_path):
    path = tmp_path / "best.txt"
    alive = tmp_path / f".best.{os.getppid()}.{HOST}.partial.txt"
    elsewhere = tmp_path / ".best.999999999.elsewhere.partial.txt"
    gone = tmp_path / f".best.999999999.{HOST}.partial.txt"
    for file in (alive, elsewhere, gone):
        file.write_text("half")
    write_text(path, "whole")
    assert names(tmp_path) == sorted([alive.name, elsewhere.name, "best.txt"])


def test_two_files_of_one_stem_are_written_side_by_side(tmp_path):
    with appearing(tmp_path / "data.json") as one, appearing(tmp_path / "data.csv") as other:
        one.write_text("1")
        other.write_text("2")
    assert (tmp_path / "data.json").read_text() == "1"
    assert (tmp_path / "data.csv").read_text() == "2"


@pytest.mark.parametrize("text", ["", "a\nb\n", "a\r\nb", "β = 6, é"])
def test_text_is_written_as_the_same_bytes_everywhere(tmp_path, text):
    write_text(tmp_path / "text", text)
    assert (tmp_path / "text").read_bytes() == text.encode("utf-8")


def test_json_comes_back_and_keeps_the_order_of_its_keys(tmp_path):
    value = {"b": 1, "a": [0.1 + 0.2, None, True, "β"], "c": {}}
    write_json(tmp_path / "new" / "value.json", value)
    assert read_json(tmp_path / "new" / "value.json") == value
    assert list(read_json(tmp_path / "new" / "value.json")) == ["b", "a", "c"]
    assert (tmp_path / "new" / "value.json").read_text(encoding="utf-8").endswith('"c": {}\n}\n')


def test_what_is_no_json_is_not_written_over_the_old_file(tmp_path):
    write_json(tmp_path / "value.json", {"old": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "value.json", {"new": object()})
    assert read_json(tmp_path / "value.json") == {"old": 1}
    assert names(tmp_path) == ["value.json"]


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe"])
def test_a_file_that_is_not_json_is_named_with_the_fix(tmp_path, content):
    path = tmp_path / "record.json"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"record\.json: not JSON"):
        read_json(path)


def test_a_missing_file_is_named_with_the_fix(tmp_path):
    with pytest.raises(BenchError, match=r"record\.json: "):
        read_json(tmp_path / "record.json")


def test_a_folder_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(BenchError, match=f"{tmp_path}: "):
        read_json(tmp_path)


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: None])
def test_a_file_that_the_user_named_has_its_own_fix(tmp_path, make):
    make(tmp_path / "mine")
    with pytest.raises(BenchError, match=r"mine: .*; name a list of parts$"):
        read_json(tmp_path / "mine", "name a list of parts")


def test_a_file_that_the_disk_does_not_give_back_is_named_with_a_fix(tmp_path, monkeypatch):
    def broken(*_: object, **__: object) -> str:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_text", broken)
    with pytest.raises(BenchError, match=r"record\.json: "):
        read_json(tmp_path / "record.json")


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 5000])
def test_a_checksum_is_that_of_the_bytes(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
