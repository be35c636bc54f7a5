from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bench.data.dataset import Dataset, Images, load, save, to_unit
from bench.runtime.errors import BenchError
from bench.runtime.files import HOST


def images(count: int, *, seed: int = 0, size: tuple[int, ...] = (3, 4, 5)) -> Images:
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(256, (count, *size), generator=rng, dtype=torch.uint8)
    return Images(pixels, torch.arange(count) % 3)


@pytest.fixture
def dataset() -> Dataset:
    return Dataset("tiny", ("ant", "bee", "cow"), images(7), images(4, seed=1))


def test_a_saved_dataset_comes_back_equal(dataset: Dataset, tmp_path: Path) -> None:
    save(dataset, tmp_path / "new folder" / "data.safetensors")
    back = load(tmp_path / "new folder" / "data.safetensors")
    assert (back.name, back.classes) == (dataset.name, dataset.classes)
    assert back.fingerprint == dataset.fingerprint
    for part, kept in dataset.parts().items():
        assert torch.equal(back.parts()[part].pixels, kept.pixels)
        assert torch.equal(back.parts()[part].labels, kept.labels)


def test_the_sizes_of_the_source_come_back(dataset: Dataset, tmp_path: Path) -> None:
    part = dataclasses.replace(dataset, of_train=50, of_test=40)
    save(part, tmp_path / "data")
    assert load(tmp_path / "data").source_sizes() == {"train": 50, "test": 40}


def test_equal_datasets_are_equal_files(dataset: Dataset, tmp_path: Path) -> None:
    contents = set()
    for turn in range(8):
        save(dataset, tmp_path / f"{turn}")
        contents.add((tmp_path / f"{turn}").read_bytes())
    assert len(contents) == 1
    assert len(list(tmp_path.iterdir())) == 8, "a partial file was left behind"


def test_what_a_killed_process_left_of_the_file_is_removed_by_the_next(
    dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / f".data.999999999.{HOST}.partial.safetensors").write_text("half")
    save(dataset, tmp_path / "data.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["data.safetensors"]


def test_a_dataset_of_views_into_one_tensor_can_be_saved(tmp_path: Path) -> None:
    pool = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 4, 5, 3).permute(0, 3, 1, 2)
    same = Images(pool, torch.tensor([0, 1]))
    save(Dataset("shared", ("a", "b"), same, same), tmp_path / "data")
    assert torch.equal(load(tmp_path / "data").test.pixels, pool)


def test_the_fingerprint_sees_pixels_labels_shapes_and_parts_but_no_names(
    dataset: Dataset,
) -> None:
    train, test = dataset.train, dataset.test
    renamed = Dataset("other", ("x", "y", "z"), train, test)
    assert renamed.fingerprint == dataset.fingerprint

    pixels = train.pixels.clone()
    pixels[6, 2, 3, 4] ^= 1
    labels = test.labels.clone()
    labels[0] = 2
    # The same bytes in the same order, as rows of another length.
    turned = [Images(part.pixels.reshape(-1, 3, 5, 4), part.labels) for part in (train, test)]
    variants = [
        dataclasses.replace(dataset, train=Images(pixels, train.labels)),
        dataclasses.replace(dataset, test=Images(test.pixels, labels)),
        Dataset("tiny", dataset.classes, *turned),
        Dataset("tiny", dataset.classes, test, train),
    ]
    prints = {variant.fingerprint for variant in variants} | {dataset.fingerprint}
    assert len(prints) == len(variants) + 1


def test_a_truncated_file_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "data.safetensors"
    save(dataset, path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BenchError, match=r"data\.safetensors: "):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data").write_bytes(content)
    with pytest.raises(BenchError, match="data: "):
        load(tmp_path / "data")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="not a dataset"):
        load(tmp_path)


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    save_file({"weights": torch.zeros(3)}, tmp_path / "weights")
    with pytest.raises(BenchError, match="weights: "):
        load(tmp_path / "weights")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="absent: "):
        load(tmp_path / "absent")


def test_pixels_changed_after_saving_are_noticed(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "data"
    save(dataset, path)
    tensors = load_file(path)
    tensors["train.pixels"][0, 0, 0, 0] ^= 1
    with safe_open(path, framework="pt") as file:
        about = file.metadata()
    save_file(tensors, path, about)
    with pytest.raises(BenchError, match="data: "):
        load(path)


def test_a_file_whose_labels_have_no_class_is_named(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "data"
    save(dataset, path)
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["dataset"])
    save_file(load_file(path), path, {"dataset": json.dumps(about | {"classes": ["ant"]})})
    with pytest.raises(BenchError, match=f"^{path}: .*labels"):
        load(path)


@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_without_a_class_is_refused(label: int) -> None:
    bad = Images(images(2).pixels, torch.tensor([0, label]))
    with pytest.raises(BenchError, match="test labels"):
        Dataset("tiny", ("ant", "bee", "cow"), images(3), bad)


def test_parts_of_two_sizes_are_refused() -> None:
    with pytest.raises(BenchError, match=r"\(3, 4, 5\).*\(3, 5, 4\)"):
        Dataset("tiny", ("ant", "bee", "cow"), images(3), images(3, size=(3, 5, 4)))


@pytest.mark.parametrize(
    ("pixels", "labels"),
    [
        (torch.zeros(2, 3, 4, 5), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 4, 5, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)),
        (torch.zeros(2, 3, 4, 5, dtype=torch.uint8), torch.zeros(2)),
        (torch.zeros(2, 3, 4, 5, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)),
        (torch.zeros(0, 3, 4, 5, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)),
    ],
)
def test_images_of_another_type_or_shape_are_refused(
    pixels: torch.Tensor, labels: torch.Tensor
) -> None:
    with pytest.raises(ValueError, match=r"must be|at least one"):
        Images(pixels, labels)


def test_the_unit_scale_keeps_every_8_bit_value() -> None:
    pixels = torch.arange(256, dtype=torch.uint8)
    values = to_unit(pixels)
    assert values.dtype == torch.float32
    assert values[0] == 0
    assert values[255] == 1
    assert torch.equal((values * 255).round().to(torch.uint8), pixels)
