"""What data.json and train.json say of the images, so that no others pass for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from factory import edit_json
from pictures import write_tree
from summed import table
from synthetic import some_data, some_images

from bench.config.experiment import Data
from bench.config.schema import Needs
from bench.data import sources
from bench.data.dataset import Images, load, save
from bench.data.job import prepare
from bench.data.origin import channel_moments
from bench.data.published import Published
from bench.data.record import count_duplicates, data_record
from bench.data.sources import read
from bench.data.sources.found import Found
from bench.results.flags import TEST_IN_TRAIN
from bench.results.records import DataRecord
from bench.runtime.errors import ConfigError


def test_channel_moments_are_those_of_all_pixels() -> None:
    pixels = some_images(4100, seed=3, channels=3, side=4).pixels.numpy()
    means, deviations = channel_moments(pixels)
    unit = pixels.astype(np.float64) / 255
    assert means == pytest.approx(unit.mean((0, 2, 3)), abs=1e-6)
    assert deviations == pytest.approx(unit.std((0, 2, 3)), abs=1e-6)
    assert channel_moments(np.full((2, 1, 3, 3), 255, np.uint8)) == ((1.0,), (0.0,))


def test_equal_pixels_are_counted_whatever_the_labels() -> None:
    data = some_data(train=10, test=6)
    assert count_duplicates(data) == {"train_duplicates": 0, "train_test_duplicates": 0}
    train, test = data.train.pixels.clone(), data.test.pixels.clone()
    train[[4, 7]] = train[1].clone()
    test[[0, 1, 2]] = torch.stack((train[1], train[1], train[9]))
    again = replace(
        data, train=replace(data.train, pixels=train), test=replace(data.test, pixels=test)
    )
    assert count_duplicates(again) == {"train_duplicates": 2, "train_test_duplicates": 3}


def test_the_origin_is_of_the_source_and_duplicates_are_of_what_is_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shades = {f"train/{name}/{shade}": shade for name in "ab" for shade in (1, 2, 3)}
    write_tree(tmp_path, shades | {"test/a/0": 2, "test/b/0": 9, "test/b/1": 8})
    out = tmp_path / "out" / "data.safetensors"
    spec = Data(source="folder", name="mine", path=str(tmp_path), train_images=5)
    about = prepare(spec, Needs(), out)
    assert about.class_counts == {"train": (3, 3), "test": (1, 2)}
    assert (about.source, about.lossless) == ("folder", True)
    whole = read("folder", path=tmp_path, name="mine")
    moments = channel_moments(whole.train.pixels.numpy())
    assert (about.channel_mean, about.channel_std) == moments
    assert (about.train_duplicates, about.train_test_duplicates) == (2, 1)
    said = capsys.readouterr().err
    assert "1 of 3 test images are training images too" in said
    assert "2 training images are copies" in said
    assert DataRecord.read(out.with_suffix(".json"), "") == about
    # What training writes is read off the data file.
    assert data_record(load(out)) == about


def test_images_without_a_source_say_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    save(some_data(), path)
    assert load(path).origin is None
    record = data_record(load(path))
    assert (record.source, record.lossless, record.class_counts) == ("", None, {})
    assert (record.train_test_duplicates, record.channel_mean) == (0, ())


def test_the_digits_are_lossless_and_known() -> None:
    origin = read("digits", path=None, name="digits").origin
    assert origin
    assert (origin.source, origin.lossless, len(origin.channel_mean)) == ("digits", True, 1)
    assert sum(origin.class_counts["train"]) == 1497


def test_an_image_of_one_pixel_is_counted_too() -> None:
    one = Images(torch.zeros((2, 1, 1, 1), dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    data = replace(some_data(), train=one, test=one)
    assert count_duplicates(data) == {"train_duplicates": 1, "train_test_duplicates": 2}


def test_a_run_whose_test_images_are_training_images_is_flagged(results_factory) -> None:
    for seed, count in ((0, 0), (1, 3)):
        run = results_factory.run("trades", seed)
        edit_json(run / "train.json", data__train_test_duplicates=count)
    rows = table(results_factory.folder)
    flagged = rows["flags"].str.contains(TEST_IN_TRAIN)
    assert flagged.equals(rows["seed"].eq(1).astype(bool))


@pytest.mark.parametrize(
    ("labels", "names", "balanced", "refused"),
    [
        ([0, 1], "ab", True, False),
        ([0, 0], "ab", True, True),
        ([0, 0], "ab", False, False),
        ([0, 1], "abc", False, True),
    ],
)
def test_a_published_name_is_for_as_many_images_of_each_class(
    monkeypatch: pytest.MonkeyPatch, labels: list[int], names: str, balanced: bool, refused: bool
) -> None:
    known = Published(shape=(1, 8, 8), train=2, test=2, classes=2, balanced=balanced)
    monkeypatch.setattr(sources, "PUBLISHED", {"tiny": known})
    part = replace(some_images(2, seed=1), labels=torch.tensor(labels))
    found = Found(part, part, tuple(names))
    monkeypatch.setitem(sources.SOURCES, "digits", lambda *_: found)
    if refused:
        with pytest.raises(ConfigError, match=r"data\.name: 'tiny' "):
            read("digits", path=None, name="tiny")
    assert len(read("digits", path=None, name="tiny-mine" if refused else "tiny").train) == 2
