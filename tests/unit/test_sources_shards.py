"""The parquet files of a data set are there once each, and their labels mean the same classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_sources_parquet import write_parquet

from bench.config.schema import Data, Needs
from bench.data.dataset import Dataset
from bench.data.job import prepare
from bench.data.sources import read
from bench.data.sources.parquet import shards
from bench.runtime.errors import BenchError

PUSHED = "-0123456789abcdef"


def read_parquet(path: Path) -> Dataset:
    return read("parquet", path=path, name="tiny")


def named(path: Path, *names: str) -> None:
    for name in names:
        (path / f"{name}.parquet").touch()


@pytest.mark.parametrize(
    "names",
    [
        ("train-0", "train-1", "train-extra"),
        ("train-00000-of-00002", "train-00001-of-00002"),
        (f"train-00000-of-00002{PUSHED}", "train-00001-of-00002-bbbb2222"),
        ("train-00000-of-00001",),
    ],
)
def test_a_complete_set_is_read_in_the_order_of_names(tmp_path: Path, names: list[str]) -> None:
    named(tmp_path, *names, "test-0", "validation-0", "._train-00000-of-00009")
    assert [file.stem for file in shards(tmp_path, "train")] == sorted(names)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (("train-0-of-1-aaaa1111", "train-0-of-1-bbbb2222"), "none"),
        (("train-0-of-1", "train-0-of-1 (1)"), "none"),
        (("train-00000-of-00003", "train-00002-of-00003-cccc3333"), "[1]"),
        (("train-1-of-2",), "[0]"),
        (("train-1-of-2", "train-2-of-2"), "[0]"),
        (("train-0-of-1", "train-0-of-2", "train-1-of-2"), "none"),
        (("train-0-of-1", "train-more"), "none"),
        ((f"train-00000-of-00002{PUSHED}",), "[1]"),
    ],
)
def test_a_file_twice_or_missing_or_of_another_set_is_refused(
    tmp_path: Path, names: list[str], missing: str
) -> None:
    named(tmp_path, *names)
    with pytest.raises(BenchError) as caught:
        shards(tmp_path, "train")
    assert str(caught.value).startswith(f"{tmp_path}: its train files ")
    assert f"missing: {missing}" in str(caught.value)


@pytest.mark.parametrize("copy", ["train-1", "test-1"])
def test_copies_of_a_file_are_refused_unless_they_are_meant(tmp_path: Path, copy: str) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1, 2], [0, 1])
    write_parquet(tmp_path / "test-0.parquet", [3, 4], [0, 1])
    assert len(read_parquet(tmp_path).train) == 2
    shutil.copy(tmp_path / "train-0.parquet", tmp_path / f"{copy}.parquet")
    with pytest.raises(
        BenchError, match=r"a copy of train-0.*data\.allow_duplicate_files"
    ) as found:
        read_parquet(tmp_path)
    assert str(found.value).startswith(f"{tmp_path / copy}.parquet: ")
    data = Data(source="parquet", name="tiny", path=str(tmp_path), allow_duplicate_files=True)
    about = prepare(data, Needs(), tmp_path / "out" / "data.safetensors")
    assert about.train_images + about.test_images == 6


ABC = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("train", "more", "test", "file", "said"),
    [
        (ABC, ABC, ABC[::-1], "test-0", "c, b, a"),
        (ABC, ABC[::-1], ABC, "train-1", "c, b, a"),
        (ABC, ABC, [*ABC, "d"], "test-0", "a, b, c, d"),
        (ABC, ABC, None, "test-0", "no class names"),
        (None, ABC, ABC, "train-1", "no class names"),
        (ABC, ABC, ABC, None, ""),
        (None, None, None, None, ""),
    ],
)
def test_class_names_of_all_files_agree(
    tmp_path: Path,
    train: list[str] | None,
    more: list[str] | None,
    test: list[str] | None,
    file: str | None,
    said: str,
) -> None:
    for shade, (name, names) in enumerate(
        (("train-0", train), ("train-1", more), ("test-0", test))
    ):
        write_parquet(tmp_path / f"{name}.parquet", [shade, 9], [0, 2], names=names)
    if file is None:
        assert read_parquet(tmp_path).classes == tuple(train or "012")
        return
    with pytest.raises(BenchError) as caught:
        read_parquet(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / file}.parquet: ")
    assert said in str(caught.value)


def test_labels_of_two_columns_are_not_mixed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1], [0])
    write_parquet(tmp_path / "test-0.parquet", [2], [0], label="fine_label")
    with pytest.raises(BenchError, match=r"test-0.*fine_label.*train-0\.parquet .*label"):
        read_parquet(tmp_path)


def test_parquet_files_of_no_part_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shade, part in enumerate(("train", "test", "validation")):
        write_parquet(tmp_path / f"{part}-0.parquet", [shade], [0])
    read_parquet(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: not read: validation-0.parquet\n"
