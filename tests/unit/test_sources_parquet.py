from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from pictures import picture, pixels_of, png
from PIL import Image

from bench.config.schema import Data, Needs
from bench.data.dataset import Dataset
from bench.data.job import prepare
from bench.data.sources import cifar, parquet, read
from bench.data.sources.parquet import shards
from bench.runtime.errors import BenchError, ConfigError

PUSHED = "-0123456789abcdef"
REAL = Path(__file__).parents[3] / "shared" / "data" / "cifar10-jpeg"


def write_parquet(
    file: Path,
    shades: list[int],
    labels: list[int | None],
    *,
    image: str = "img",
    label: str = "label",
    names: list[str] | None = None,
    contents: list[bytes | None] | None = None,
) -> None:
    contents = contents or [png(picture(shade)) for shade in shades]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": content, "path": None} for content in contents]
    table = pa.table({image: pa.array(rows, kind), label: pa.array(labels, pa.int64())})
    if names is not None:
        feature = {"names": names, "_type": "ClassLabel"}
        features = {"info": {"features": {image: {"_type": "Image"}, label: feature}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, row_group_size=2)


def read_parquet(path: Path, name: str = "tiny", classes: list[str] | None = None) -> Dataset:
    # Equal files for both parts make short tests.
    return read("parquet", path=path, name=name, classes=classes, allow_copies=True)


def test_parquet_is_read_in_the_order_of_files_and_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [1, 2, 3], [0, 1, 2])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [4, 5], [1, 0])
    write_parquet(tmp_path / "test-00000-of-00001.parquet", [9], [2])
    dataset = read_parquet(tmp_path)
    assert dataset.name == "tiny"
    assert dataset.train.labels.tolist() == [0, 1, 2, 1, 0]
    for number, shade in enumerate([1, 2, 3, 4, 5]):
        assert torch.equal(dataset.train.pixels[number], pixels_of(shade))
    assert torch.equal(dataset.test.pixels[0], pixels_of(9))


@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "fine_label")])
def test_parquet_columns_may_have_their_other_names(tmp_path: Path, image: str, label: str) -> None:
    for part in ("train", "test"):
        file = tmp_path / f"{part}-0.parquet"
        write_parquet(file, [1, 2], [0, 1], image=image, label=label, names=["no", "yes"])
    assert read_parquet(tmp_path).classes == ("no", "yes")


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("cifar10-jpeg", list(range(10)), cifar.CLASSES),
        ("house-numbers", list(range(10)), tuple("0123456789")),
        ("cifar10-part", [0, 1, 2], ("0", "1", "2")),
    ],
)
def test_parquet_without_names_gets_cifar10s_for_cifar10_else_numbers(
    tmp_path: Path, name: str, labels: list[int | None], expected: tuple[str, ...]
) -> None:
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [0] * len(labels), labels)
    assert read_parquet(tmp_path, name).classes == expected


def test_given_class_names_replace_the_sources_own(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [1, 2], [0, 1], names=["no", "yes"])
    assert read_parquet(tmp_path, classes=["off", "on"]).classes == ("off", "on")
    with pytest.raises(BenchError, match="3 class names"):
        read_parquet(tmp_path, classes=["a", "b", "c"])


def white_jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (6, 4), (255, 255, 255)).save(stream, "jpeg")
    return stream.getvalue()


@pytest.mark.parametrize(("name", "part"), [("cifar10", "test"), ("cifar100", "train")])
def test_jpeg_images_do_not_pass_for_the_original_pixels(
    tmp_path: Path, name: str, part: str
) -> None:
    other = "train" if part == "test" else "test"
    write_parquet(tmp_path / f"{other}-0.parquet", [1, 2], [0, 1])
    contents: list[bytes | None] = [png(picture(1)), white_jpeg()]
    write_parquet(tmp_path / f"{part}-0.parquet", [], [0, 1], contents=contents)
    said = rf"data\.name: '{name}' .*{part}-0\.parquet, row 1 "
    with pytest.raises(ConfigError, match=said):
        read_parquet(tmp_path, name)
    dataset = read_parquet(tmp_path, f"{name}-mine")
    assert len(dataset.test) == 2
    assert dataset.origin
    assert not dataset.origin.lossless


def test_grey_and_jpeg_images_become_rgb(tmp_path: Path) -> None:
    grey = png(Image.new("L", (6, 4), 77))
    contents: list[bytes | None] = [grey, white_jpeg()]
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [], [0, 1], contents=contents)
    pixels = read_parquet(tmp_path).train.pixels
    assert pixels.shape == (2, 3, 4, 6)
    assert (pixels[0] == 77).all()
    assert pixels[1].float().mean() > 250


def test_a_missing_folder_or_part_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="absent"):
        read_parquet(tmp_path / "absent")
    write_parquet(tmp_path / "train-0.parquet", [1], [0])
    with pytest.raises(BenchError, match=r"test-\*\.parquet"):
        read_parquet(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path: Path, keep: float) -> None:
    for part in ("train", "test"):
        write_parquet(tmp_path / f"{part}-0.parquet", [1, 2, 3, 4], [0, 1, 0, 1])
    content = (tmp_path / "test-0.parquet").read_bytes()
    (tmp_path / "test-0.parquet").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(BenchError, match=r"test-0\.parquet: "):
        read_parquet(tmp_path)


@pytest.mark.parametrize(
    "table",
    [
        {"picture": [b"x"], "label": [0]},
        {"img": [{"bytes": b"x"}], "target": [0]},
        {"img": [b"x"], "label": [0]},
        {"img": [{"path": "x.png"}], "label": [0]},
        {"img": [{"bytes": b"x"}], "label": ["cat"]},
        {"img": [{"bytes": b"x"}], "label": [1.0]},
        {"img": [{"bytes": [137, 80]}], "label": [0]},
        {"img": [{"bytes": "x.png"}], "label": [0]},
    ],
)
def test_other_columns_are_listed(tmp_path: Path, table: dict[str, list[Any]]) -> None:
    for part in ("train", "test"):
        pq.write_table(pa.table(table), tmp_path / f"{part}-0.parquet")
    with pytest.raises(BenchError, match=r"-0\.parquet: ") as caught:
        read_parquet(tmp_path)
    for column in table:
        assert f"{column}: " in str(caught.value)


@pytest.mark.parametrize(
    ("contents", "labels", "said"),
    [
        ([png(picture(1)), png(picture(1, (4, 6)))], [0, 1], "row 1: 4 x 6 "),
        ([png(picture(1)), b"no image"], [0, 1], "row 1: "),
        ([png(picture(1)), png(picture(1))[:-30]], [0, 1], "row 1: "),
        ([png(picture(1)), None], [0, 1], "row 1: "),
        ([png(picture(1)), png(picture(1))], [0, None], "label"),
        ([png(picture(1)), png(picture(1))], [0, 2], "train labels"),
        ([png(picture(1)), png(picture(1))], [-1, 0], "train labels"),
    ],
)
def test_bad_rows_are_named(
    tmp_path: Path, contents: list[bytes | None], labels: list[int | None], said: str
) -> None:
    write_parquet(tmp_path / "train-0.parquet", [], labels, contents=contents, names=["no", "yes"])
    write_parquet(tmp_path / "test-0.parquet", [1], [0], names=["no", "yes"])
    with pytest.raises(BenchError, match=said):
        read_parquet(tmp_path)


def test_a_file_without_rows_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1], [0])
    write_parquet(tmp_path / "test-0.parquet", [], [])
    with pytest.raises(BenchError, match=r"test-0\.parquet: "):
        read_parquet(tmp_path)


# Files are there once each, and their labels mean the same classes


def read_strictly(path: Path) -> Dataset:
    """Read as a config does that allows no copies."""
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
    assert str(caught.value).startswith(f"{tmp_path}: ")
    assert f"missing: {missing}" in str(caught.value)


@pytest.mark.parametrize("copy", ["train-1", "test-1"])
def test_copies_of_a_file_are_refused_unless_they_are_meant(tmp_path: Path, copy: str) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1, 2], [0, 1])
    write_parquet(tmp_path / "test-0.parquet", [3, 4], [0, 1])
    assert len(read_strictly(tmp_path).train) == 2
    shutil.copy(tmp_path / "train-0.parquet", tmp_path / f"{copy}.parquet")
    with pytest.raises(
        BenchError, match=r"a copy of train-0.*data\.allow_duplicate_files"
    ) as found:
        read_strictly(tmp_path)
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
        assert read_strictly(tmp_path).classes == tuple(train or "012")
        return
    with pytest.raises(BenchError) as caught:
        read_strictly(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / file}.parquet: ")
    assert said in str(caught.value)


def test_labels_of_two_columns_are_not_mixed(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [1], [0])
    write_parquet(tmp_path / "test-0.parquet", [2], [0], label="fine_label")
    with pytest.raises(BenchError, match=r"test-0.*fine_label"):
        read_strictly(tmp_path)


def test_parquet_files_of_no_part_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for shade, part in enumerate(("train", "test", "validation")):
        write_parquet(tmp_path / f"{part}-0.parquet", [shade], [0])
    read_strictly(tmp_path)
    assert capsys.readouterr().err == f"{tmp_path}: not read: validation-0.parquet\n"


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the JPEG copy of CIFAR-10 is not beside the checkout"
)
def test_the_jpeg_copy_of_cifar10_is_read() -> None:
    files = parquet.shards(REAL, "test")
    images, lossy = parquet.read_part(files)
    assert lossy == f"{files[0]}, row 0 (JPEG)"
    assert images.pixels.shape == (10_000, 3, 32, 32)
    assert images.labels.bincount().tolist() == [1000] * 10
    assert parquet.shared_names(files) == cifar.CLASSES
    # The official test set starts with a cat, two ships and an airplane.
    assert images.labels[:4].tolist() == [3, 8, 8, 0]
