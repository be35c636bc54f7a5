"""Random crops, mirrorings and rotations that every run of a seed shares, image by image.

Shape suffixes: B images of a batch, N images of the training set, C channels, H rows, W columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.numerics.seeding import stream


@dataclass(frozen=True, eq=False)
class Frame:
    """Where views lie: a window of each zero-padded image, then mirrored or not, then rotated.

    Parameters
    ----------
    top, left
        int64 [B], 0 to 2 * crop: the window's corner inside the padded image.
    mirrored
        bool [B]: whether the window is mirrored left to right.
    crop
        Pixels of padding on each side. The window has the size of the image.
    angle
        int64 [B], hundredths of a degree, counter-clockwise about the centre; None: not rotated.
    """

    top: Tensor
    left: Tensor
    mirrored: Tensor
    crop: int
    angle: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """Return what differs between images, by name."""
        found = {"top": self.top, "left": self.left, "mirrored": self.mirrored}
        return found if self.angle is None else {**found, "angle": self.angle}

    def __getitem__(self, index_B: Tensor) -> Frame:
        """Return the frame of the images `index_B` of this one."""
        chosen = {name: value[index_B] for name, value in self.tensors().items()}
        return Frame(crop=self.crop, **chosen)

    def to(self, device: torch.device) -> Frame:
        """Return the frame on `device`."""
        moved = {name: value.to(device) for name, value in self.tensors().items()}
        return Frame(crop=self.crop, **moved)

    def apply(self, pixels_BCHW: Tensor) -> Tensor:
        """Return the views of whole images, 0 where the padding shows; any dtype.

        The same as torchvision's ``RandomCrop(padding=crop)``, ``RandomHorizontalFlip`` and
        ``RandomRotation``, of the nearest pixel, with the drawn numbers given.
        """
        return self._whole().carry(pixels_BCHW, self)

    def undo(self, values_BCHW: Tensor) -> Tensor:
        """Return what belongs to the views at its place in whole images, 0 where none looked."""
        return self.carry(values_BCHW, self._whole())

    def carry(self, values_BCHW: Tensor, to: Frame) -> Tensor:
        """Move what belongs to the views of this frame to the same places in the frame `to`.

        Places are those of the padded images, so equal frames give equal values, padding
        included, unless they are rotated: each rotation takes the nearest pixel, and what comes
        back may be a pixel off, or be lost at the corners. Places that this frame does not show
        are 0.
        """
        device = values_BCHW.device
        old, new = self.to(device), to.to(device)
        batch, channels, height, width = values_BCHW.shape
        if old.angle is not None or new.angle is not None:
            return _carry_rotated(values_BCHW, old, new)
        row_H = torch.arange(height, device=device)
        column_W = torch.arange(width, device=device)
        row_BH = row_H + (new.top - new.crop - old.top + old.crop)[:, None]
        column_BW = torch.where(new.mirrored[:, None], width - 1 - column_W, column_W)
        column_BW = column_BW + (new.left - new.crop - old.left + old.crop)[:, None]
        shown_BHW = _within(row_BH, height)[:, :, None] & _within(column_BW, width)[:, None, :]
        column_BW = torch.where(old.mirrored[:, None], width - 1 - column_BW, column_BW)
        carried_BCHW = values_BCHW[
            torch.arange(batch, device=device)[:, None, None, None],
            torch.arange(channels, device=device)[None, :, None, None],
            row_BH.clamp(0, height - 1)[:, None, :, None],
            column_BW.clamp(0, width - 1)[:, None, None, :],
        ]
        return carried_BCHW.masked_fill(~shown_BHW[:, None], 0)

    def _whole(self) -> Frame:
        """Return the frame of the images as they are stored."""
        centre = torch.full_like(self.top, self.crop)
        return Frame(centre, centre, torch.zeros_like(self.mirrored), self.crop)


def _carry_rotated(values_BCHW: Tensor, old: Frame, new: Frame) -> Tensor:
    """Do what `Frame.carry` does, place by place: a rotation takes rows and columns together."""
    batch, channels, height, width = values_BCHW.shape
    device = values_BCHW.device
    row_BHW = torch.arange(height, device=device)[None, :, None].expand(batch, height, width)
    column_BHW = torch.arange(width, device=device).expand(batch, height, width)
    row_BHW, column_BHW = _rotated(row_BHW, column_BHW, new.angle)
    shown_BHW = _within(row_BHW, height) & _within(column_BHW, width)
    flipped_BHW = torch.where(new.mirrored[:, None, None], width - 1 - column_BHW, column_BHW)
    row_BHW = row_BHW + (new.top - new.crop - old.top + old.crop)[:, None, None]
    column_BHW = flipped_BHW + (new.left - new.crop - old.left + old.crop)[:, None, None]
    shown_BHW = shown_BHW & _within(row_BHW, height) & _within(column_BHW, width)
    column_BHW = torch.where(old.mirrored[:, None, None], width - 1 - column_BHW, column_BHW)
    back = None if old.angle is None else -old.angle
    row_BHW, column_BHW = _rotated(row_BHW, column_BHW, back)
    shown_BHW = shown_BHW & _within(row_BHW, height) & _within(column_BHW, width)
    carried_BCHW = values_BCHW[
        torch.arange(batch, device=device)[:, None, None, None],
        torch.arange(channels, device=device)[None, :, None, None],
        row_BHW.clamp(0, height - 1)[:, None],
        column_BHW.clamp(0, width - 1)[:, None],
    ]
    return carried_BCHW.masked_fill(~shown_BHW[:, None], 0)


def _rotated(row_BHW: Tensor, column_BHW: Tensor, angle_B: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the places from which a rotation by `angle_B` takes what it shows at these."""
    if angle_B is None:
        return row_BHW, column_BHW
    _, height, width = row_BHW.shape
    radians_B11 = (angle_B.to(torch.float64) * (math.pi / 18_000))[:, None, None]
    cosine, sine = radians_B11.cos(), radians_B11.sin()
    up_BHW, right_BHW = row_BHW - (height - 1) / 2, column_BHW - (width - 1) / 2
    row = cosine * up_BHW + sine * right_BHW + (height - 1) / 2
    column = cosine * right_BHW - sine * up_BHW + (width - 1) / 2
    return row.round().to(torch.int64), column.round().to(torch.int64)


def _within(position: Tensor, size: int) -> Tensor:
    return (position >= 0) & (position < size)


class Views:
    """The frame of every training image in every epoch, fixed by the seed.

    A whole epoch is drawn at once on the CPU, so an image has the same frame in whatever batch
    and on whatever device it is used. Images are padded by `crop` zeros on each side and cropped,
    half of them are mirrored where `flip` says so, and all are rotated by up to `rotation` degrees.
    """

    def __init__(self, seed: int, count: int, crop: int, flip: bool, rotation: float = 0.0) -> None:
        self.seed, self.count, self.crop, self.flip = seed, count, crop, flip
        self.rotation = rotation
        self._epoch = -1
        self._whole: Frame | None = None

    def frame(self, epoch: int, index_B: Tensor) -> Frame:
        """Return the frame in `epoch` of the images `index_B`, int64 [B], on their device."""
        # An epoch is drawn and moved to the device once.
        if self._whole is None or self._epoch != epoch:
            self._epoch, self._whole = epoch, self._draw(epoch)
        if self._whole.top.device != index_B.device:
            self._whole = self._whole.to(index_B.device)
        return self._whole[index_B]

    def _draw(self, epoch: int) -> Frame:
        # One stream each, so that crops do not depend on whether images are mirrored too.
        crops = stream(self.seed, "augment", epoch, "crop")
        flips = stream(self.seed, "augment", epoch, "flip")
        corner_N2 = torch.randint(2 * self.crop + 1, (self.count, 2), generator=crops)
        mirrored_N = torch.randint(2, (self.count,), generator=flips) == 1
        angle_N = None
        if self.rotation:
            turns, largest = stream(self.seed, "augment", epoch, "rotation"), 100 * self.rotation
            angle_N = torch.randint(
                -round(largest), round(largest) + 1, (self.count,), generator=turns
            )
        return Frame(corner_N2[:, 0], corner_N2[:, 1], mirrored_N & self.flip, self.crop, angle_N)
