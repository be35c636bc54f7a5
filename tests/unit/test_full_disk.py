"""A disk that is full or closed: one sentence, and every file that was there stays whole."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from synthetic import some_data, some_spec

from bench.cli.main import main
from bench.data.dataset import load, save
from bench.evaluation.reference import _fetch
from bench.models import checkpoint as weights
from bench.runtime.errors import BenchError
from bench.runtime.files import appearing, refusal, write_json
from bench.training.job import train


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """Let the system refuse to write beyond `size` bytes of any file, as a full disk would."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Digits, with a results folder of the test's own."""
    import yaml
    from settings import settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings()))
    return "tiny.yaml"


def line_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_refused_file_is_named_and_the_one_before_stays(tmp_path, monkeypatch, number):
    path = tmp_path / "record.json"
    write_json(path, {"old": 1})
    before = files(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(BenchError, match=r"record\.json: cannot be written: .*; ") as caught:
            write_json(path, {"new": 2})
    assert os.strerror(number) in str(caught.value)
    assert files(tmp_path) == before


def test_a_disk_that_does_not_even_give_up_the_partial_file_hides_no_error(tmp_path, monkeypatch):
    def closed(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "unlink", closed)
    with pytest.raises(ZeroDivisionError), appearing(tmp_path / "record.json"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", 28),
        ('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })', 28),
        ("Error while deserializing header: incomplete metadata", None),
    ],
)
def test_the_number_is_read_from_what_safetensors_says(text, number):
    from safetensors import SafetensorError

    said = refusal(SafetensorError(text))
    assert (said is None) if number is None else said.startswith(os.strerror(number))


def test_no_room_for_the_images_is_one_line_and_leaves_nothing(config, tmp_path, capsys):
    with no_file_above(10_000):
        line = line_of(capsys, "data", "--config", config)
    path = Path("results/tiny/data.safetensors")
    assert line.startswith(f"error: {path}: cannot be written: {os.strerror(errno.EFBIG)}; free")
    assert not files(tmp_path / "results")
    assert main(["data", "--config", config]) == 0
    whole = files(tmp_path / "results")
    with no_file_above(10_000):
        line_of(capsys, "data", "--config", config)
    assert files(tmp_path / "results") == whole
    load(path)


def test_a_results_folder_that_is_a_file_is_one_line(config, tmp_path, capsys):
    (tmp_path / "results").write_text("")
    line = line_of(capsys, "data", "--config", config)
    assert line.startswith("error: results/tiny/data.safetensors: ")


def test_no_room_for_the_state_keeps_the_epochs_before(tmp_path, monkeypatch):
    data, folder, spec = tmp_path / "data.safetensors", tmp_path / "seed0", some_spec(epochs=2)
    save(some_data(), data)
    train(spec, experiment="digits", label="mine", data=data, folder=tmp_path / "whole")
    writes = iter(range(100))

    def full(tensors: object, path: Path, *rest: object) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        if next(writes) == 1:
            path.write_bytes(b"half")
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        save_file(tensors, path, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("bench.training.state.save_file", full)
        message = r"state/training\.safetensors: "
        with pytest.raises(BenchError, match=message):
            train(spec, experiment="digits", label="mine", data=data, folder=folder)
    weights.load(folder / "last.safetensors")
    assert [path.name for path in (folder / "state").iterdir()] == ["training.safetensors"]
    assert not (folder / "train.json").exists()
    train(spec, experiment="digits", label="mine", data=data, folder=folder)
    for name in ("best", "last"):
        made, whole = (parent / f"{name}.safetensors" for parent in (folder, tmp_path / "whole"))
        assert made.read_bytes() == whole.read_bytes()


def test_a_download_for_which_there_is_no_room_is_no_lost_network(tmp_path, monkeypatch):
    import sys
    from types import ModuleType

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "model.pt"))

    utils = ModuleType("robustbench.utils")
    utils.download_gdrive_new = full
    monkeypatch.setitem(sys.modules, "robustbench", ModuleType("robustbench"))
    monkeypatch.setitem(sys.modules, "robustbench.utils", utils)
    with pytest.raises(OSError, match="No space left") as caught:
        _fetch("Rice2020Overfitting", {tmp_path / "model.pt": "abc"})
    assert caught.value.errno == errno.ENOSPC
