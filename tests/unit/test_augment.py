from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bench.data.augment import Frame, Views
from bench.numerics.seeding import stream


def random_images(count: int, dtype: torch.dtype = torch.uint8) -> Tensor:
    rng = torch.Generator().manual_seed(count)
    # Rows and columns differ so that swapping them shows; no 0, which is what padding is.
    pixels = torch.randint(1, 256, (count, 3, 5, 7), generator=rng, dtype=torch.uint8)
    return pixels if dtype == torch.uint8 else pixels.to(dtype) / 255


def cropped_and_mirrored(pixels: Tensor, top: int, left: int, mirrored: bool, crop: int) -> Tensor:
    """One image, pixel by pixel, as torchvision pads, crops and then mirrors."""
    channels, height, width = pixels.shape
    padded = torch.zeros(channels, height + 2 * crop, width + 2 * crop, dtype=pixels.dtype)
    padded[:, crop : crop + height, crop : crop + width] = pixels
    view = torch.zeros_like(pixels)
    for row in range(height):
        for column in range(width):
            source = width - 1 - column if mirrored else column
            view[:, row, column] = padded[:, top + row, left + source]
    return view


def every_frame(crop: int) -> Frame:
    """All positions, each mirrored and not."""
    offsets = torch.arange(2 * crop + 1)
    grid = torch.cartesian_prod(offsets, offsets, torch.tensor([0, 1]))
    return Frame(grid[:, 0], grid[:, 1], grid[:, 2] == 1, crop)


def same(one: Frame, other: Frame) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("top", "left", "mirrored")
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("crop", [0, 1, 4, 6])
def test_views_are_those_of_the_explicit_loop(crop: int, dtype: torch.dtype) -> None:
    frame = every_frame(crop)
    images = random_images(len(frame.top), dtype)
    views = frame.apply(images)
    assert views.dtype == dtype
    for number, view in enumerate(views):
        top, left = int(frame.top[number]), int(frame.left[number])
        expected = cropped_and_mirrored(
            images[number], top, left, bool(frame.mirrored[number]), crop
        )
        assert torch.equal(view, expected)


def test_undoing_brings_back_what_was_seen_and_0_elsewhere() -> None:
    frame = every_frame(2)
    images = random_images(len(frame.top), torch.float32)
    seen = frame.undo(frame.apply(torch.ones_like(images)))
    assert torch.equal(frame.undo(frame.apply(images)), images * seen)
    rows = 5 - (frame.top - 2).abs()
    columns = 7 - (frame.left - 2).abs()
    assert torch.equal(seen[:, 0].sum(dim=(1, 2)).long(), rows * columns)


def test_carrying_is_undoing_and_applying_wherever_the_image_is_seen() -> None:
    count = len(every_frame(2).top)
    old = every_frame(2)
    new = old[torch.randperm(count, generator=torch.Generator().manual_seed(0))]
    images = random_images(count, torch.float32)
    inside = new.apply(torch.ones_like(images))
    carried = old.carry(old.apply(images), new)
    assert torch.equal(carried * inside, new.apply(old.undo(old.apply(images))))


def test_carrying_to_the_same_frame_changes_nothing_not_even_on_the_padding() -> None:
    frame = every_frame(2)
    values = random_images(len(frame.top), torch.float32)
    assert torch.equal(frame.carry(values, frame), values)


def test_without_crop_and_flip_the_views_are_the_images() -> None:
    images = random_images(20)
    frame = Views(seed=0, count=20, crop=0, flip=False).frame(3, torch.arange(20))
    assert torch.equal(frame.apply(images), images)


def test_an_image_has_its_frame_in_whatever_batch_it_comes() -> None:
    views = Views(seed=5, count=40, crop=4, flip=True)
    whole = views.frame(2, torch.arange(40))
    index = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    for batch in index.split(7):
        assert same(views.frame(2, batch), whole[batch])
    assert same(Views(seed=5, count=40, crop=4, flip=True).frame(2, index), whole[index])


def test_frames_survive_any_number_of_other_epochs() -> None:
    views, index = Views(seed=1, count=30, crop=3, flip=True), torch.arange(30)
    first = {epoch: views.frame(epoch, index) for epoch in range(5)}
    for epoch in (4, 0, 3, 0, 1, 2, 4):
        assert same(views.frame(epoch, index), first[epoch])


def test_an_epoch_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(seed: int, *names: str | int) -> torch.Generator:
        drawn.append(names)
        return stream(seed, *names)

    monkeypatch.setattr("bench.data.augment.stream", counted)
    views, index = Views(seed=1, count=30, crop=3, flip=True), torch.arange(30)
    for batch in index.split(5):
        views.frame(7, batch)
    assert len(drawn) == len(set(drawn))


def test_epochs_and_seeds_have_frames_of_their_own() -> None:
    index = torch.arange(100)
    frames = [
        Views(seed, count=100, crop=4, flip=True).frame(epoch, index)
        for seed in (0, 1)
        for epoch in (1, 2)
    ]
    for number, frame in enumerate(frames):
        assert not torch.equal(frame.top, frame.left)
        for other in frames[number + 1 :]:
            for name in ("top", "left", "mirrored"):
                assert not torch.equal(getattr(frame, name), getattr(other, name))


def test_every_offset_occurs_and_about_half_are_mirrored() -> None:
    frame = Views(seed=0, count=4000, crop=4, flip=True).frame(1, torch.arange(4000))
    # Expected 444 each and 2000 mirrored; the bounds are more than six standard deviations away.
    for offsets in (frame.top, frame.left):
        assert offsets.bincount(minlength=9).shape == (9,)
        assert offsets.bincount().min() > 300
    assert 1800 < int(frame.mirrored.sum()) < 2200


def test_switching_mirroring_off_leaves_the_crops() -> None:
    index = torch.arange(50)
    both = Views(seed=2, count=50, crop=4, flip=True).frame(1, index)
    crops = Views(seed=2, count=50, crop=4, flip=False).frame(1, index)
    assert torch.equal(both.top, crops.top)
    assert torch.equal(both.left, crops.left)
    assert both.mirrored.any()
    assert not crops.mirrored.any()


def test_drawing_frames_leaves_global_randomness_alone() -> None:
    state = torch.get_rng_state()
    Views(seed=0, count=10, crop=4, flip=True).frame(1, torch.arange(10))
    assert torch.equal(torch.get_rng_state(), state)


def test_rotations_are_torchvisions_up_to_the_rounding_of_a_pixel() -> None:
    from torchvision.transforms import functional

    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    views = Views(seed=1, count=6, crop=4, flip=True, rotation=15)
    frame = views.frame(1, torch.arange(6))
    assert frame.angle is not None
    assert frame.angle.abs().max() <= 1500
    plain = Views(seed=1, count=6, crop=4, flip=True).frame(1, torch.arange(6)).apply(images)
    turned = torch.stack(
        [
            functional.rotate(view, float(angle) / 100)
            for view, angle in zip(plain, frame.angle, strict=True)
        ]
    )
    assert (frame.apply(images) == turned).float().mean() > 0.995


def test_what_is_moved_between_rotated_frames_stays_at_its_place() -> None:
    places = torch.arange(1, 32 * 32 + 1).reshape(1, 1, 32, 32).expand(8, 1, 32, 32)
    views = Views(seed=1, count=8, crop=4, flip=True, rotation=15)
    old, new = (views.frame(epoch, torch.arange(8)) for epoch in (1, 2))
    moved, seen = old.carry(old.apply(places), new), new.apply(places)
    both = (moved > 0) & (seen > 0)
    rows = (moved - 1).div(32, rounding_mode="floor") - (seen - 1).div(32, rounding_mode="floor")
    columns = (moved - 1) % 32 - (seen - 1) % 32
    assert both.float().mean() > 0.6
    assert rows[both].abs().max() <= 1
    assert columns[both].abs().max() <= 1
