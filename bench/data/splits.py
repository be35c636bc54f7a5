"""Which images serve for what. The choice is the same in every run, whatever the run's seed."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bench.data.dataset import Dataset, Images
from bench.numerics.seeding import stream
from bench.runtime.errors import BenchError


def choose(labels_N: Tensor, count: int, purpose: str) -> Tensor:
    """Choose images at random so that every label keeps its share.

    Parameters
    ----------
    labels_N
        int64 [N], from 0.
    count
        How many to choose, 0 to N.
    purpose
        Names the random stream: two purposes choose independently of each other.

    Returns
    -------
    Tensor
        int64 [count], sorted. Each label's number is its exact share, rounded up or down.
    """
    total = len(labels_N)
    if not 0 <= count <= total:
        raise ValueError(f"cannot choose {count} of {total} images")
    order_N = torch.randperm(total, generator=stream(0, "data", purpose))
    sizes_K = labels_N.bincount()
    quota_K, rest_K = sizes_K * count // total, sizes_K * count % total
    missing = count - int(quota_K.sum())
    quota_K[rest_K.argsort(descending=True, stable=True)[:missing]] += 1
    shuffled_N = labels_N[order_N]
    chosen = [order_N[shuffled_N == label][:quota] for label, quota in enumerate(quota_K.tolist())]
    return torch.cat(chosen).sort().values


def hold_out(labels_N: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Split training images into those to learn from and `count` to select a checkpoint on.

    Returns the indices of both, int64, each sorted; stratified by label.
    """
    if not 0 <= count < len(labels_N):
        raise BenchError(
            f"training.validation_images: cannot hold out {count} of {len(labels_N)} training "
            "images; ask for fewer"
        )
    validation = choose(labels_N, count, "validation")
    kept_N = torch.ones(len(labels_N), dtype=torch.bool)
    kept_N[validation] = False
    return kept_N.nonzero().squeeze(1), validation


def take(dataset: Dataset, train_images: int | None, test_images: int | None) -> Dataset:
    """Return a smaller dataset of the same name: a fixed, stratified choice in the source's order.

    It still knows how many images the source has, so that no result hides that it is of a part.

    Taking the first images would do for CIFAR, whose official order is random already, but a
    folder of images is ordered by class, so one rule that is right for every source serves all.
    """
    parts = dataset.parts()
    for part, count in (("train", train_images), ("test", test_images)):
        if count is None:
            continue
        images = parts[part]
        if not 1 <= count <= len(images):
            raise BenchError(
                f"dataset {dataset.name!r}: {count} {part} images are asked for, and it has "
                f"{len(images)}; ask for 1 to {len(images)}, or leave the key out for all"
            )
        index = choose(images.labels, count, f"subset {part}")
        parts[part] = Images(images.pixels[index], images.labels[index])
    sizes = dataset.source_sizes()
    return replace(
        dataset,
        train=parts["train"],
        test=parts["test"],
        of_train=sizes["train"],
        of_test=sizes["test"],
    )
