"""The memory of MemLoss: last epoch's perturbation of every training image (arXiv 2510.09105).

Shape suffixes: B images of a batch, N images of the training set, C channels, H rows, W columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import torch
from torch import Tensor

from bench.data.augment import Frame
from bench.data.dataset import describe, to_unit
from bench.runtime.errors import BenchError

Storage = Literal["int8", "float16", "float32"]
Alignment = Literal["as_seen", "realigned", "clean_crop"]
DTYPES: dict[Storage, torch.dtype] = {
    "int8": torch.int8,
    "float16": torch.float16,
    "float32": torch.float32,
}
LEVELS = 127
EMPTY = -1


class Memory:
    """One perturbation x' - x for each training image, replaced whenever the image comes by.

    Perturbations are kept instead of images because they span 2 * eps only, so 8 bits are enough:

    - ``int8``: ``round(delta / eps * 127)``. Off by at most eps / 254, which is 0.0315/255 at
      eps 8/255. 1 byte a value, 154 MB for CIFAR-10.
    - ``float16``: off by at most eps / 2048 (0.004/255 at eps 8/255). 2 bytes a value.
    - ``float32``: off by the rounding of ``x + (x' - x)``, about 1e-7. 4 bytes a value.

    Parameters
    ----------
    pixels_NCHW
        uint8, the training images that all indices speak of. Entries live on their device.
    eps
        Radius of the attack in the Linf norm, in units of pixel value; 0 is allowed.
    storage
        How perturbations are kept, see above.
    rotated
        Whether views are rotated.
    alignment
        What `recall` returns. ``as_seen``: the image in its old crop and mirroring with its old
        perturbation, as in the authors' code. ``realigned``: the image as it is seen now with
        the perturbation moved to its place there. ``clean_crop``: the old crop without the
        perturbation, the control for what a second crop alone does.
    """

    def __init__(
        self,
        pixels_NCHW: Tensor,
        eps: float,
        storage: Storage = "int8",
        alignment: Alignment = "as_seen",
        *,
        rotated: bool = False,
    ) -> None:
        if storage not in DTYPES or alignment not in get_args(Alignment):
            raise ValueError(f"unknown storage {storage!r} or alignment {alignment!r}")
        self.pixels_NCHW = pixels_NCHW
        self.eps, self.storage, self.alignment = eps, storage, alignment
        self._kept_NCHW = torch.zeros_like(pixels_NCHW, dtype=DTYPES[storage])
        # Where each entry's view lay: row and column of its corner, 1 where it is mirrored, and
        # the angle of its rotation, if there are any.
        shape = (len(pixels_NCHW), 4 if rotated else 3)
        self._frame_NF = torch.full(shape, EMPTY, dtype=torch.int16, device=pixels_NCHW.device)
        self._missed = torch.full((), EMPTY, device=pixels_NCHW.device)

    @torch.no_grad()
    def store(
        self, index_B: Tensor, frame: Frame, clean_BCHW: Tensor, adversarial_BCHW: Tensor
    ) -> None:
        """Replace the entries of the images `index_B`, each there at most once.

        `clean_BCHW` are the views in `frame`, as floats in [0, 1].
        """
        index_B = index_B.to(self._kept_NCHW.device)
        delta_BCHW = (adversarial_BCHW - clean_BCHW).clamp(-self.eps, self.eps)
        if self.storage == "int8":
            delta_BCHW = (delta_BCHW * (LEVELS / self.eps if self.eps else 0.0)).round()
        self._kept_NCHW[index_B] = delta_BCHW.to(self._kept_NCHW)
        places_BF = torch.stack([value.to(frame.top) for value in frame.tensors().values()], dim=1)
        self._frame_NF[index_B] = places_BF.to(self._frame_NF)

    @torch.no_grad()
    def recall(self, index_B: Tensor, frame_now: Frame, clean_now_BCHW: Tensor) -> Tensor:
        """Return the replayed images x'' without waiting for the device; see `check`.

        Parameters
        ----------
        index_B
            int64, which images.
        frame_now, clean_now_BCHW
            The frame in which they are seen now, and the views in it; only ``realigned`` uses
            them.

        Returns
        -------
        Tensor
            float32 [B, C, H, W] in [0, 1]. With ``as_seen`` within eps of the old view.
        """
        index_B = index_B.to(self._kept_NCHW.device)
        top_B, left_B, mirrored_B, *angle = self._frame_NF[index_B].to(torch.int64).unbind(dim=1)
        missed_B = torch.where(top_B == EMPTY, index_B, EMPTY)
        self._missed = torch.maximum(self._missed, missed_B.max())
        frame_old = Frame(
            top_B, left_B, mirrored_B == 1, frame_now.crop, angle[0] if angle else None
        )
        if self.alignment == "realigned":
            delta_BCHW = frame_old.carry(self._delta(index_B), frame_now)
            return (clean_now_BCHW + delta_BCHW).clamp(0, 1)
        clean_old_BCHW = to_unit(frame_old.apply(self.pixels_NCHW[index_B]))
        if self.alignment == "clean_crop":
            return clean_old_BCHW
        return (clean_old_BCHW + self._delta(index_B)).clamp(0, 1)

    def check(self) -> None:
        """Raise RuntimeError if an image was recalled that had never been stored; it is named."""
        index = int(self._missed)
        if index != EMPTY:
            raise RuntimeError(f"image {index} was never stored in the memory of perturbations")

    def _delta(self, index_B: Tensor) -> Tensor:
        kept_BCHW = self._kept_NCHW[index_B].to(torch.float32)
        if self.storage == "int8":
            kept_BCHW = kept_BCHW * (self.eps / LEVELS)
        # Rounding to float16 can end just outside the ball.
        return kept_BCHW.clamp(-self.eps, self.eps)

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the memory knows, for an exact resume; not copies."""
        return {"perturbation": self._kept_NCHW, "frame": self._frame_NF}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        for name, own in self.state_dict().items():
            given = state.get(name)
            if given is None or given.shape != own.shape or given.dtype != own.dtype:
                found = "nothing" if given is None else describe(given)
                raise BenchError(
                    f"the saved memory has {found} as its {name}, this run needs {describe(own)}; "
                    "delete the saved state to start afresh"
                )
            own.copy_(given)
