from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor

from bench.data.augment import Views
from bench.data.dataset import to_unit
from bench.data.memory import DTYPES, Alignment, Memory, Storage
from bench.runtime.errors import BenchError

COUNT = 24
EPS = 8 / 255
# The documented errors, and the rounding of float32 sums near 1.
BOUNDS = {"int8": EPS / 254 + 2e-7, "float16": EPS / 2048 + 2e-7, "float32": 2e-7}
PIXELS = torch.randint(
    256, (COUNT, 3, 5, 7), generator=torch.Generator().manual_seed(0), dtype=torch.uint8
)


class Run:
    """What a training loop does with the memory, with chance in place of an attack."""

    def __init__(
        self,
        storage: Storage = "int8",
        alignment: Alignment = "as_seen",
        *,
        eps: float = EPS,
        crop: int = 2,
    ) -> None:
        self.views = Views(seed=3, count=COUNT, crop=crop, flip=crop > 0)
        self.memory = Memory(PIXELS, eps, storage, alignment)
        self.eps = eps
        self.rng = torch.Generator().manual_seed(1)

    def clean(self, epoch: int, index: Tensor) -> Tensor:
        return to_unit(self.views.frame(epoch, index).apply(PIXELS[index]))

    def attack(self, clean: Tensor) -> Tensor:
        noise = 2 * torch.rand(clean.shape, generator=self.rng) - 1
        # Beyond the ball before clipping, so that many pixels end on its very edge.
        delta = (1.5 * self.eps * noise).clamp(-self.eps, self.eps)
        return (clean + delta).clamp(0, 1)

    def epoch(self, epoch: int) -> Tensor:
        """Store all images in shuffled batches; return the adversarial ones in image order."""
        made = torch.zeros(COUNT, 3, 5, 7)
        for index in torch.randperm(COUNT, generator=self.rng).split(5):
            clean = self.clean(epoch, index)
            made[index] = self.attack(clean)
            self.memory.store(index, self.views.frame(epoch, index), clean, made[index])
        return made

    def recall(self, epoch: int, index: Tensor) -> Tensor:
        frame = self.views.frame(epoch, index)
        return self.memory.recall(index, frame, self.clean(epoch, index))


EVERY = torch.arange(COUNT)
SHUFFLED = torch.randperm(COUNT, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize("storage", get_args(Storage))
def test_each_image_gets_its_own_last_adversarial_image_back(storage: Storage) -> None:
    run = Run(storage)
    made = run.epoch(1)
    for index in SHUFFLED.split(7):
        assert (run.recall(2, index) - made[index]).abs().max() <= BOUNDS[storage]


def test_entries_are_one_epoch_old_while_they_are_being_replaced() -> None:
    run = Run("float32")
    before = run.epoch(1)
    for epoch in (2, 3, 4):
        now = torch.zeros_like(before)
        for index in torch.randperm(COUNT, generator=run.rng).split(5):
            recalled = run.recall(epoch, index)
            assert (recalled - before[index]).abs().max() <= BOUNDS["float32"]
            clean = run.clean(epoch, index)
            now[index] = run.attack(clean)
            run.memory.store(index, run.views.frame(epoch, index), clean, now[index])
        before = now


def test_images_stored_in_different_epochs_are_recalled_each_in_its_own_frame() -> None:
    run = Run("float32")
    first = run.epoch(1)
    late = EVERY[::3]
    clean = run.clean(2, late)
    second = run.attack(clean)
    run.memory.store(late, run.views.frame(2, late), clean, second)
    expected = first.clone()
    expected[late] = second
    assert (run.recall(4, SHUFFLED) - expected[SHUFFLED]).abs().max() <= BOUNDS["float32"]


# The nearest float16 is below 8/255 and above 0.031.
@pytest.mark.parametrize("eps", [EPS, 0.031])
@pytest.mark.parametrize("storage", get_args(Storage))
def test_a_remembered_image_is_within_eps_of_its_old_view_and_in_the_image_range(
    storage: Storage, eps: float
) -> None:
    run = Run(storage, eps=eps)
    run.epoch(1)
    recalled = run.recall(2, EVERY)
    assert (recalled - run.clean(1, EVERY)).abs().max() <= eps + 1e-6
    assert recalled.min() >= 0
    assert recalled.max() <= 1
    assert recalled.dtype == torch.float32


@pytest.mark.parametrize("storage", get_args(Storage))
def test_realigned_is_as_seen_exactly_when_both_frames_agree(storage: Storage) -> None:
    seen, aligned = Run(storage, "as_seen"), Run(storage, "realigned")
    for run in (seen, aligned):
        run.epoch(1)
    assert torch.equal(aligned.recall(1, SHUFFLED), seen.recall(1, SHUFFLED))


def test_realigned_moves_the_perturbation_of_each_pixel_with_the_pixel() -> None:
    run = Run("float32", "realigned")
    clean, frame = run.clean(1, EVERY), run.views.frame(1, EVERY)
    delta = EPS * (2 * torch.rand(clean.shape, generator=run.rng) - 1)
    run.memory.store(EVERY, run.views.frame(1, EVERY), clean, clean + delta)
    now = run.views.frame(2, EVERY)
    grey = torch.full_like(clean, 0.5)
    moved = run.memory.recall(EVERY, now, grey) - 0.5
    in_place = now.undo(torch.ones_like(delta)) * frame.undo(delta)
    assert (now.undo(moved) - in_place).abs().max() <= 2e-7


def test_realigned_stays_within_eps_of_the_present_view() -> None:
    run = Run("int8", "realigned")
    run.epoch(1)
    clean = run.clean(2, EVERY)
    recalled = run.recall(2, EVERY)
    assert (recalled - clean).abs().max() <= EPS + 1e-6
    assert recalled.min() >= 0
    assert recalled.max() <= 1


def test_the_control_is_the_old_crop_without_the_perturbation() -> None:
    run = Run(alignment="clean_crop")
    run.epoch(1)
    assert torch.equal(run.recall(2, SHUFFLED), run.clean(1, SHUFFLED))


def test_8_bits_are_off_by_less_than_a_tenth_of_a_grey_level() -> None:
    run = Run("int8", crop=0)
    clean = torch.full((COUNT, 3, 5, 7), 0.5)
    delta = torch.linspace(-EPS, EPS, clean.numel()).reshape(clean.shape)
    run.memory.store(EVERY, run.views.frame(1, EVERY), clean, clean + delta)
    kept = run.memory.recall(EVERY, run.views.frame(1, EVERY), run.clean(1, EVERY))
    inside = (PIXELS >= 8) & (PIXELS <= 247)
    error = (kept - to_unit(PIXELS) - delta)[inside].abs()
    assert error.max() <= BOUNDS["int8"] < 0.1 / 255
    assert error.max() > EPS / 600, "finer than 8 bits can be"


@pytest.mark.parametrize("storage", get_args(Storage))
def test_entries_take_the_space_that_is_said(storage: Storage) -> None:
    kept = Run(storage).memory.state_dict()["perturbation"]
    assert kept.dtype == DTYPES[storage]
    assert kept.shape == PIXELS.shape


@pytest.mark.parametrize("storage", get_args(Storage))
def test_without_a_budget_the_memory_holds_the_old_views(storage: Storage) -> None:
    run = Run(storage, eps=0.0)
    run.epoch(1)
    assert torch.equal(run.recall(2, EVERY), run.clean(1, EVERY))


@pytest.mark.parametrize("alignment", get_args(Alignment))
def test_an_image_that_was_never_stored_is_named(alignment: Alignment) -> None:
    run = Run(alignment=alignment)
    stored = EVERY[EVERY != 17]
    clean = run.clean(1, stored)
    run.memory.store(stored, run.views.frame(1, stored), clean, clean)
    run.recall(2, stored)
    run.memory.check()
    run.recall(2, EVERY)
    run.recall(2, stored)
    with pytest.raises(RuntimeError, match="image 17 "):
        run.memory.check()


@pytest.mark.parametrize("storage", get_args(Storage))
def test_a_restored_memory_recalls_the_same_bits(storage: Storage) -> None:
    run, resumed = Run(storage), Run(storage)
    run.epoch(1)
    state = {name: tensor.clone() for name, tensor in run.memory.state_dict().items()}
    resumed.memory.load_state_dict(state)
    assert torch.equal(resumed.recall(2, SHUFFLED), run.recall(2, SHUFFLED))
    run.epoch(2)
    assert not torch.equal(resumed.recall(3, EVERY), run.recall(3, EVERY))


@pytest.mark.parametrize("change", ["storage", "images", "missing"])
def test_a_state_of_another_run_is_refused(change: str) -> None:
    state = Run("int8").memory.state_dict()
    if change == "storage":
        state["perturbation"] = state["perturbation"].to(torch.float16)
    elif change == "images":
        state["perturbation"] = state["perturbation"][1:]
    else:
        del state["frame"]
    with pytest.raises(BenchError, match="saved memory"):
        Run("int8").memory.load_state_dict(state)


def test_storing_keeps_no_graph() -> None:
    run = Run("float32")
    clean = run.clean(1, EVERY)
    run.memory.store(EVERY, run.views.frame(1, EVERY), clean, clean.clone().requires_grad_())
    assert not run.recall(2, EVERY).requires_grad
    assert not any(tensor.requires_grad for tensor in run.memory.state_dict().values())


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="'int4'"):
        Memory(PIXELS, EPS, "int4")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'aligned'"):
        Memory(PIXELS, EPS, "int8", "aligned")  # type: ignore[arg-type]
