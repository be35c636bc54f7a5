"""What lies beside the images of a folder is left out by rule, told, or refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pictures import picture, pixels_of, write_tree

from bench.config.schema import Data
from bench.data.dataset import Dataset
from bench.data.listing import listing_digest
from bench.data.sources import read
from bench.runtime.errors import BenchError, ConfigError

LEFT = ("._0.png", ".DS_Store", "Thumbs.db", "desktop.ini", ".ipynb_checkpoints/0-checkpoint.png")
LEFT += ("@eaDir/0.png/thumb.jpg", "__MACOSX/cat/._0.png", "#recycle/old.png")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_tree(tmp_path, {"train/cat/0": 1, "train/dog/0": 2, "test/cat/0": 3, "test/dog/0": 4})
    return tmp_path


def read_folder(path: Path, name: str = "mine") -> Dataset:
    return read("folder", path=path, name=name)


def digest_of(path: Path) -> str:
    return listing_digest(Data(source="folder", name="mine", path=str(path)))


def put(path: Path, content: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_a_folder_is_read_in_sorted_order(images: Path) -> None:
    write_tree(images, {"train/ant/0": 5, "train/dog/1": 7, "test/ant/0": 8})
    dataset = read_folder(images)
    assert dataset.classes == ("ant", "cat", "dog")
    assert dataset.train.labels.tolist() == [0, 1, 2, 2]
    for number, shade in enumerate([5, 1, 2, 7]):
        assert torch.equal(dataset.train.pixels[number], pixels_of(shade))
    assert torch.equal(dataset.test.pixels[2], pixels_of(4))


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda root: picture(1, (8, 8)).save(root / "train/dog/big.png"), "train/dog/big.png: 8"),
        (lambda root: write_tree(root, {"test/bee/0": 1}), "bee"),
        (lambda root: (root / "train/bee").mkdir(), "train/bee: "),
        (lambda root: (root / "test/cat/0.png").unlink(), "test/cat: "),
        (lambda root: shutil.rmtree(root / "test"), "test"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(
    images: Path, harm: Callable[[Path], None], named: str
) -> None:
    harm(images)
    with pytest.raises(BenchError) as caught:
        read_folder(images)
    assert named in str(caught.value)


@pytest.mark.parametrize("folder", ["", "train", "test", "train/cat", "test/dog"])
@pytest.mark.parametrize("name", LEFT)
def test_what_programs_leave_is_no_image_no_class_and_no_reason_to_read_again(
    images: Path, folder: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, digest = read_folder(images), digest_of(images)
    put(images / folder / name)
    again = read_folder(images)
    assert (again.classes, again.fingerprint) == (("cat", "dog"), dataset.fingerprint)
    assert digest_of(images) == digest
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "entry",
    [
        *("train/cat/more/1.png", "train/cat/x.avif", "test/dog/x.npy", "train/cat/README"),
        *("train/0.png", "test/labels.npy", "train/cat/0.png~"),
    ],
)
def test_what_may_be_an_image_and_is_not_read_is_refused(images: Path, entry: str) -> None:
    digest = digest_of(images)
    put(images / entry)
    assert digest_of(images) != digest
    named = images / entry.replace("more/1.png", "more")
    with pytest.raises(BenchError) as caught:
        read_folder(images)
    assert str(caught.value).startswith(f"{named}: ")


@pytest.mark.parametrize(
    ("entry", "where"),
    [
        *(("train/cat/notes.TXT", "train/cat"), ("train/labels.csv", "train")),
        *(("val/cat/0.png", ""), ("images.zip", "")),
    ],
)
def test_what_else_is_not_read_is_told(
    images: Path, entry: str, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = digest_of(images)
    put(images / entry)
    assert len(read_folder(images).train) == 2
    name = Path(entry).relative_to(where).parts[0]
    assert capsys.readouterr().err == f"{images / where}: not read: {name}\n"
    assert digest_of(images) == digest


@pytest.mark.parametrize("suffix", ["PNG", "bmp", "tif", "tiff", "ppm", "Webp", "gif"])
def test_images_of_every_suffix_count(images: Path, suffix: str) -> None:
    how = {"lossless": True} if suffix == "Webp" else {}
    grey = picture(9).convert("L")
    grey.save(images / "train" / "cat" / f"1.{suffix}", **how)
    train = read_folder(images).train
    assert train.labels.tolist() == [0, 0, 1]
    assert train.pixels[1, 0].flatten().tolist() == list(grey.tobytes())


@pytest.mark.parametrize("name", ["train/cat/1.JPG", "test/cat/1.jpeg"])
def test_one_jpeg_in_either_part_makes_a_folder_lossy(images: Path, name: str) -> None:
    picture(9).save(images / name)
    dataset = read_folder(images)
    assert len(dataset.train) + len(dataset.test) == 5
    assert dataset.origin
    assert not dataset.origin.lossless


def test_a_link_is_the_image_that_it_names_and_a_link_to_nothing_is_named(images: Path) -> None:
    os.symlink(images / "test" / "cat" / "0.png", images / "train" / "dog" / "link.png")
    assert torch.equal(read_folder(images).train.pixels[2], pixels_of(3))
    os.remove(images / "test" / "cat" / "0.png")
    put(images / "test" / "cat" / "1.png")
    assert digest_of(images)
    with pytest.raises(BenchError, match=r"train.dog.link\.png: "):
        read_folder(images)


@pytest.mark.parametrize(("size", "suffix"), [((32, 32), "jpg"), ((32, 32), "png"), (None, "png")])
def test_other_images_under_the_name_of_a_published_data_set_are_refused(
    tmp_path: Path, size: tuple[int, int] | None, suffix: str
) -> None:
    for part in ("train", "test"):
        for label in range(10):
            path = tmp_path / part / str(label) / f"0.{suffix}"
            path.parent.mkdir(parents=True)
            (picture(label, size) if size else picture(label)).save(path)
    why = "JPEG" if suffix == "jpg" else "train has 10 images" if size else r"\(3, 4, 6\)"
    with pytest.raises(ConfigError, match=rf"data\.name: 'cifar10' .*{why}"):
        read_folder(tmp_path, "cifar10")
    assert len(read_folder(tmp_path, "cifar10-mine").train) == 10
