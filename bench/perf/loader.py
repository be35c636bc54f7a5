"""The data path of the papers' released code: one picture at a time, through a DataLoader.

Shape suffixes: N images of the training set, B of a batch, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.data.augment import Frame
from bench.runtime.errors import BenchError
from bench.training.run import Run

try:
    from PIL import Image
    from torchvision.transforms import RandomCrop
    from torchvision.transforms import functional as F
except ImportError as error:
    raise BenchError(
        f"the plain path loads images as the papers' code does, with torchvision ({error}): install"
        " it, or leave epoch and data out of --only"
    ) from None

WORKERS = 2  # processes, as in torchvision's and the papers' examples


class Pictures(Dataset[Any]):
    """The training images as torchvision's CIFAR10 keeps them: an array, a picture on demand.

    Parameters
    ----------
    pixels_NCHW
        uint8.
    index_N
        Which images to give, in which order.
    crop, flip
        As in a training's configuration.
    """

    def __init__(self, pixels_NCHW: Tensor, index_N: Tensor, crop: int, flip: bool) -> None:
        arrays_NHWC = pixels_NCHW.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        # Pillow takes a grey picture without its axis of colours.
        self.arrays = arrays_NHWC[..., 0] if arrays_NHWC.shape[-1] == 1 else arrays_NHWC
        self.index, self.crop, self.flip = index_N.tolist(), crop, flip

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, place: int) -> tuple[Tensor, int, int, bool, int]:
        """Return a view, the frame it was seen in, and the image's index.

        These are the lines of ``RandomCrop(size, padding=crop)``, ``RandomHorizontalFlip()`` and
        ``ToTensor()``, which do not tell what they drew: the memory of perturbations has to know.
        """
        index = self.index[place]
        picture = Image.fromarray(self.arrays[index])
        wide, high = picture.size
        picture = F.pad(picture, [self.crop], 0, "constant")
        top, left, high, wide = RandomCrop.get_params(picture, (high, wide))
        picture = F.crop(picture, top, left, high, wide)
        mirrored = self.flip and bool(torch.rand(1) < 0.5)
        picture = F.hflip(picture) if mirrored else picture
        return F.to_tensor(picture), top, left, mirrored, index


class LoaderRun(Run):
    """A run whose views come from a DataLoader: go through `loaded` in place of `batches`."""

    def loaded(self) -> Iterator[Tensor]:
        """Give the image indices of every batch of an epoch, whose views `clean` then returns."""
        shell = self.spec.training
        loader = DataLoader(
            Pictures(self.pixels_NCHW, self.index_N, shell.crop, shell.flip),
            batch_size=shell.batch_size,
            shuffle=True,
            num_workers=WORKERS,
            pin_memory=self.device.type == "cuda",
        )
        for views_BCHW, top_B, left_B, mirrored_B, index_B in loader:
            frame = Frame(top_B, left_B, mirrored_B, shell.crop).to(self.device)
            self._given = frame, views_BCHW.to(self.device)
            yield index_B.to(self.device)

    def clean(self, epoch: int, index_B: Tensor) -> tuple[Frame, Tensor]:
        """See `Run.clean`; the epoch is the one that `loaded` is in."""
        return self._given
