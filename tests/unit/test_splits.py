from __future__ import annotations

import pytest
import torch

from bench.data.dataset import Dataset, Images
from bench.data.splits import choose, hold_out, take
from bench.runtime.errors import BenchError

LABELS = torch.tensor([0] * 50 + [1] * 30 + [3] * 17 + [4] * 3)


@pytest.fixture
def dataset() -> Dataset:
    def part(count: int) -> Images:
        pixels = torch.arange(count, dtype=torch.uint8).reshape(-1, 1, 1, 1)
        return Images(pixels, torch.arange(count) * 2 // count)

    return Dataset("ordered by class", ("a", "b"), part(60), part(20))


@pytest.mark.parametrize("count", [0, 1, 10, 37, 99, 100])
def test_every_label_keeps_its_share_and_the_count_is_exact(count: int) -> None:
    chosen = choose(LABELS, count, "test")
    assert chosen.dtype == torch.int64
    assert len(chosen) == count
    assert torch.equal(chosen, chosen.unique(sorted=True)), "sorted, each once"
    numbers = LABELS[chosen].bincount(minlength=5)
    exact = LABELS.bincount() * count / len(LABELS)
    assert ((numbers - exact).abs() < 1).all()


def test_purposes_choose_independently_and_each_always_the_same() -> None:
    first, again, other = (choose(LABELS, 40, name) for name in ("one", "one", "two"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_choice_is_not_simply_the_first_images() -> None:
    assert not torch.equal(choose(torch.zeros(100, dtype=torch.int64), 50, "x"), torch.arange(50))


@pytest.mark.parametrize("count", [-1, 101])
def test_choosing_out_of_range_is_an_error(count: int) -> None:
    with pytest.raises(ValueError, match="cannot choose"):
        choose(LABELS, count, "test")


@pytest.mark.parametrize("count", [0, 1, 10, 99])
def test_held_out_and_kept_images_are_a_partition(count: int) -> None:
    train, validation = hold_out(LABELS, count)
    assert len(validation) == count
    assert torch.equal(torch.cat([train, validation]).sort().values, torch.arange(100))
    assert torch.equal(train, train.sort().values)


def test_holding_out_does_not_depend_on_the_state_of_global_randomness() -> None:
    torch.manual_seed(1)
    _, first = hold_out(LABELS, 10)
    torch.manual_seed(2)
    _, second = hold_out(LABELS, 10)
    assert torch.equal(first, second)


@pytest.mark.parametrize("count", [-1, 100, 101])
def test_something_must_be_left_to_train_on(count: int) -> None:
    with pytest.raises(BenchError, match=rf"^training\.validation_images: .* {count} of 100 "):
        hold_out(LABELS, count)


def test_taking_nothing_less_keeps_all(dataset: Dataset) -> None:
    assert take(dataset, None, None).fingerprint == dataset.fingerprint


def test_a_subset_is_stratified_in_the_order_of_the_source_with_its_own_labels(
    dataset: Dataset,
) -> None:
    small = take(dataset, 12, 6)
    assert (small.name, small.classes) == (dataset.name, dataset.classes)
    for part, images in small.parts().items():
        whole = dataset.parts()[part]
        assert images.labels.bincount().tolist() == [len(images) // 2] * 2
        source = images.pixels.flatten().long()
        assert torch.equal(source, source.sort().values)
        assert torch.equal(images.labels, whole.labels[source])


def test_a_subset_knows_how_many_images_its_source_has(dataset: Dataset) -> None:
    assert take(dataset, None, None).source_sizes() == {"train": 60, "test": 20}
    smaller = take(take(dataset, 12, None), 6, 4)
    assert smaller.source_sizes() == {"train": 60, "test": 20}
    cut = Dataset(smaller.name, smaller.classes, smaller.train, smaller.test)
    assert cut.source_sizes() == {"train": 6, "test": 4}
    assert cut.fingerprint == smaller.fingerprint


def test_one_part_can_be_cut_alone(dataset: Dataset) -> None:
    small = take(dataset, None, 4)
    assert (len(small.train), len(small.test)) == (60, 4)


@pytest.mark.parametrize(
    ("train", "test", "said"),
    [(61, None, "61 train images"), (None, 21, "21 test images"), (0, None, "0 train images")],
)
def test_asking_for_more_than_there_is_says_how_many_there_are(
    dataset: Dataset, train: int | None, test: int | None, said: str
) -> None:
    with pytest.raises(BenchError, match=said):
        take(dataset, train, test)
