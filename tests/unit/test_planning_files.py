from __future__ import annotations

import os

import pytest

from bench.config.schema import Data
from bench.data.listing import listing_digest

FILES = {
    "folder": ["train/cat/1.png", "train/dog/2.png", "test/cat/1.png", "test/dog/1.png"],
    "parquet": ["train-0.parquet", "train-1.parquet", "test-0.parquet"],
}


@pytest.fixture(params=FILES)
def data(request, tmp_path):
    for name in FILES[request.param]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("image")
    return Data(source=request.param, name="mine", path=str(tmp_path))


def first(data):
    return f"{data.path}/{FILES[data.source][0]}"


def test_it_is_the_same_as_long_as_nothing_happens(data, tmp_path):
    (tmp_path / "notes.txt").write_text("not read")
    assert listing_digest(data) == listing_digest(data) != ""


def test_a_changed_or_a_touched_file_is_seen(data):
    before = listing_digest(data)
    with open(first(data), "a") as file:
        file.write("more")
    longer = listing_digest(data)
    os.utime(first(data), ns=(0, 0))
    assert len({before, longer, listing_digest(data)}) == 3


def test_a_new_a_lost_and_a_renamed_file_are_seen(data):
    path = first(data)
    digests = {listing_digest(data)}
    os.rename(path, path.replace("train", "test"))
    digests.add(listing_digest(data))
    os.remove(path.replace("train", "test"))
    digests.add(listing_digest(data))
    assert len(digests) == 3


def test_a_folder_that_is_not_there_is_left_to_the_job(tmp_path):
    assert listing_digest(Data(source="folder", name="mine", path=str(tmp_path / "none"))) == ""


def test_sources_without_files_of_the_users_have_no_listing(tmp_path):
    (tmp_path / "train-0.parquet").write_text("image")
    assert listing_digest(Data(source="cifar10", name="cifar10", path=str(tmp_path))) == ""
    assert listing_digest(Data(source="digits", name="digits")) == ""
