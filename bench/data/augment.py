"""Random crops and mirrorings that every run of a seed shares, image by image.

Shape suffixes: B images of a batch, N images of the training set, C channels, H rows, W columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.numerics.seeding import stream


@dataclass(frozen=True, eq=False)
class Frame:
    """Where the views of a batch lie: a window of each zero-padded image, then mirrored or not.

    Parameters
    ----------
    top, left
        int64 [B], 0 to 2 * crop: the window's corner inside the padded image.
    mirrored
        bool [B]: whether the window is mirrored left to right.
    crop
        Pixels of padding on each side. The window has the size of the image.
    """

    top: Tensor
    left: Tensor
    mirrored: Tensor
    crop: int

    def __getitem__(self, index_B: Tensor) -> Frame:
        """Return the frame of the images `index_B` of this one."""
        return Frame(self.top[index_B], self.left[index_B], self.mirrored[index_B], self.crop)

    def to(self, device: torch.device) -> Frame:
        """Return the frame on `device`."""
        return Frame(self.top.to(device), self.left.to(device), self.mirrored.to(device), self.crop)

    def apply(self, pixels_BCHW: Tensor) -> Tensor:
        """Return the views of whole images, 0 where the padding shows; any dtype.

        The same as torchvision's ``RandomCrop(padding=crop)`` and ``RandomHorizontalFlip`` with
        the drawn numbers given.
        """
        return self._whole().carry(pixels_BCHW, self)

    def undo(self, values_BCHW: Tensor) -> Tensor:
        """Return what belongs to the views at its place in whole images, 0 where none looked."""
        return self.carry(values_BCHW, self._whole())

    def carry(self, values_BCHW: Tensor, to: Frame) -> Tensor:
        """Move what belongs to the views of this frame to the same places in the frame `to`.

        Places are those of the padded images, so equal frames give equal values, padding
        included. Places that this frame does not show are 0.
        """
        device = values_BCHW.device
        old, new = self.to(device), to.to(device)
        batch, channels, height, width = values_BCHW.shape
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


def _within(position: Tensor, size: int) -> Tensor:
    return (position >= 0) & (position < size)


class Views:
    """The frame of every training image in every epoch, fixed by the seed.

    A whole epoch is drawn at once on the CPU, so an image has the same frame in whatever batch
    and on whatever device it is used. Images are padded by `crop` zeros on each side and cropped,
    and half of them are mirrored where `flip` says so.
    """

    def __init__(self, seed: int, count: int, crop: int, flip: bool) -> None:
        self.seed, self.count, self.crop, self.flip = seed, count, crop, flip
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
        return Frame(corner_N2[:, 0], corner_N2[:, 1], mirrored_N & self.flip, self.crop)
