"""What the loop gives to the memory and gets back from it, image by image."""

from __future__ import annotations

import pytest
import torch
from synthetic import EPS, MEMLOSS, some_data, some_spec
from torch import Tensor

from bench.training.metrics import EpochMetrics
from bench.training.run import Run
from bench.training.step import TrainingStep

CPU = torch.device("cpu")
# How far a remembered perturbation may be off, by the way it is kept.
EXACT = {"float32": 1e-6, "float16": EPS / 2048 + 1e-6, "int8": EPS / 254 + 1e-6}


def quiet(_step: int, _tally: EpochMetrics) -> None:
    pass


def recorded(
    monkeypatch: pytest.MonkeyPatch, epochs: int, **options: str
) -> list[dict[str, dict[int, Tensor]]]:
    """Train MemLoss and return, for each epoch and pass, the image that each index was seen as."""
    run = Run(some_spec("memloss", options=MEMLOSS | options, epochs=epochs), some_data(), CPU)
    history: list[dict[str, dict[int, Tensor]]] = [{} for _ in range(epochs)]
    original = run.step

    def step(epoch: int, number: int, index_B: Tensor, metrics: EpochMetrics) -> TrainingStep:
        made = original(epoch, number, index_B, metrics)
        for name, images_BCHW in made.images.items():
            seen = history[epoch - 1].setdefault(name, {})
            for index, image in zip(index_B.tolist(), images_BCHW, strict=True):
                assert index not in seen, "an image came twice in one epoch"
                seen[index] = image.clone()
        return made

    monkeypatch.setattr(run, "step", step)
    for epoch in range(1, epochs + 1):
        run.epoch(epoch, quiet)
    for seen in (seen for epoch in history for seen in epoch.values()):
        assert set(seen) == set(run.index_N.tolist())
    return history


def off(one: dict[int, Tensor], other: dict[int, Tensor]) -> float:
    return max(float((one[index] - other[index]).abs().max()) for index in one)


@pytest.mark.parametrize("storage", EXACT)
def test_x_second_is_what_the_attack_made_of_that_image_one_epoch_ago(monkeypatch, storage):
    first, *later = recorded(monkeypatch, 3, storage=storage)
    assert set(first) == {"clean", "adversarial"}
    before = first
    for epoch in later:
        assert off(epoch["memory"], before["adversarial"]) <= EXACT[storage]
        # It is neither this epoch's x' nor another image's.
        assert off(epoch["memory"], epoch["adversarial"]) > 0.1
        indices = list(epoch["memory"])
        shifted = dict(zip(indices, (before["adversarial"][i] for i in indices[1:]), strict=False))
        assert min(off({i: epoch["memory"][i]}, {i: shifted[i]}) for i in shifted) > 0.1
        before = epoch


def test_an_entry_is_replaced_in_every_epoch(monkeypatch):
    _, second, third = recorded(monkeypatch, 3, storage="float32")
    stale = [i for i in third["memory"] if torch.equal(third["memory"][i], second["memory"][i])]
    assert stale == []


def test_the_placebo_recalls_last_epochs_clean_view(monkeypatch):
    first, second = recorded(monkeypatch, 2, alignment="clean_crop")
    assert off(second["memory"], first["clean"]) == 0


def test_realigned_stays_in_the_ball_of_the_view_that_it_meets(monkeypatch):
    first, second = recorded(monkeypatch, 2, alignment="realigned", storage="float32")
    assert 0 < off(second["memory"], second["clean"]) <= EPS + 1e-6
    assert off(second["memory"], first["adversarial"]) > EPS


def test_as_seen_is_mostly_outside_the_ball_of_the_view_that_it_meets(monkeypatch):
    _, second = recorded(monkeypatch, 2, alignment="as_seen")
    assert off(second["memory"], second["clean"]) > EPS


@pytest.mark.parametrize("variant", ["v1", "v2", "v3"])
def test_the_first_epoch_is_trades_to_the_last_bit(variant):
    memloss = Run(some_spec("memloss", options=MEMLOSS | {"variant": variant}), some_data(), CPU)
    trades = Run(some_spec("trades", options={"beta": 3.0}), some_data(), CPU)
    assert memloss.epoch(1, quiet) == trades.epoch(1, quiet)
    ours, theirs = memloss.model.state_dict(), trades.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    assert memloss.epoch(2, quiet) != trades.epoch(2, quiet)
    ours, theirs = memloss.model.state_dict(), trades.model.state_dict()
    assert not all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_placebo_and_a_memory_differ_in_nothing_but_x_second(monkeypatch):
    real = recorded(monkeypatch, 2, alignment="as_seen")
    placebo = recorded(monkeypatch, 2, alignment="clean_crop")
    for name in ("clean", "adversarial"):
        assert off(real[0][name], placebo[0][name]) == 0
    assert off(real[1]["clean"], placebo[1]["clean"]) == 0
    assert off(real[1]["memory"], placebo[1]["memory"]) > 0
