"""The plain data path: views of the same kind as ours, with frames that say what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from synthetic import MEMLOSS, some_data, some_spec

from bench.data.augment import Frame
from bench.data.dataset import to_unit
from bench.perf import loader, training
from bench.perf.bench import filled
from bench.perf.loader import LoaderRun, Pictures
from bench.training.metrics import Tally

CPU = torch.device("cpu")
CROP = 2


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("flip", [True, False])
def test_a_picture_is_the_view_that_its_frame_names(channels, flip):
    pixels_NCHW = some_data(channels=channels).train.pixels
    pictures = Pictures(pixels_NCHW, torch.arange(30, 0, -1), CROP, flip)
    assert len(pictures) == 30
    for place in range(30):
        view_CHW, top, left, mirrored, index = pictures[place]
        assert index == 30 - place
        frame = Frame(torch.tensor([top]), torch.tensor([left]), torch.tensor([mirrored]), CROP)
        ours_BCHW = to_unit(frame.apply(pixels_NCHW[index][None]))
        assert view_CHW.dtype == torch.float32
        assert torch.equal(view_CHW, ours_BCHW[0])


def test_every_corner_of_the_padding_and_both_sides_come_up():
    pictures = Pictures(some_data().train.pixels, torch.zeros(400, dtype=torch.int64), CROP, True)
    seen = {
        (top, left, mirrored) for _, top, left, mirrored, _ in map(pictures.__getitem__, range(400))
    }
    assert {top for top, _, _ in seen} == set(range(2 * CROP + 1))
    assert {left for _, left, _ in seen} == set(range(2 * CROP + 1))
    assert {mirrored for _, _, mirrored in seen} == {True, False}


def test_without_crop_and_mirroring_a_picture_is_the_image():
    pixels_NCHW = some_data().train.pixels
    view_CHW, top, left, mirrored, index = Pictures(pixels_NCHW, torch.tensor([7]), 0, False)[0]
    assert (top, left, mirrored, index) == (0, 0, False, 7)
    assert torch.equal(view_CHW, to_unit(pixels_NCHW[7]))


def test_an_epoch_gives_every_image_once_and_its_steps_train(monkeypatch):
    # Processes are PyTorch's affair, and slow to start.
    monkeypatch.setattr(loader, "WORKERS", 0)
    spec = some_spec("memloss", options=MEMLOSS)
    spec = replace(spec, training=replace(spec.training, engine="plain", selection="test"))
    run = LoaderRun(spec, some_data(), CPU)
    run.probe = None
    tally, seen = Tally(CPU), []
    for epoch in (1, 2):
        for step, index_B in enumerate(run.loaded()):
            images = run.images(epoch, step, index_B)
            assert torch.equal(images["clean"], run.clean(epoch, index_B)[1])
            assert ("memory" in images) == (epoch == 2)
            run.step(images, run.labels_N[index_B], tally)
            seen += index_B.tolist()
    assert sorted(seen[:44]) == sorted(seen[44:]) == list(range(44))
    assert seen[:44] != sorted(seen[:44])
    run.memory.check()


@pytest.mark.parametrize("engine", ["plain", "fast"])
def test_the_first_step_of_a_short_epoch_is_not_timed(monkeypatch, engine):
    monkeypatch.setattr(loader, "WORKERS", 0)
    spec = some_spec("memloss", options=MEMLOSS)
    shell = replace(spec.training, engine=engine, selection="test", batch_size=8)
    blocks: list[int] = []  # steps in each block that is timed

    @contextmanager
    def timed() -> Iterator[list[float]]:
        blocks.append(0)
        yield [float(len(blocks))]

    def count(*_: object) -> None:
        blocks[-1] += 1

    bench = SimpleNamespace(
        device=CPU,
        route=SimpleNamespace(engine=engine),
        run=lambda _, kind: filled(kind(replace(spec, training=shell), some_data(), CPU)),
        settings=SimpleNamespace(epoch_batches=3),
        timed=timed,
    )
    epoch = training.Epoch(bench, "memloss_v1")
    monkeypatch.setattr(training, "take", count)
    before = len(blocks)
    assert epoch.measure() == {"images": 3 * 8, "seconds": before + 2.0}
    assert blocks[before:] == [1, 3]
