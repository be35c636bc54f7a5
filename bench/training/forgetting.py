"""What becomes of adversarial examples in later epochs, measured beside the training.

MemLoss is said to make a network forget fewer of them. So for some training images the adversarial
examples of the last epochs are kept, with whatever method, and the network is asked about them at
the end of every epoch. Nothing here has a part in the training.

Shape suffixes: P images that are followed, N images of the training set, B of a batch, C, H, W.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from bench.attacks.losses import cross_entropy, of_class
from bench.attacks.mode import evaluating
from bench.data.augment import Frame
from bench.data.dataset import to_unit
from bench.numerics.seeding import stream

FOLLOWED = 256  # training images
AGES = (0, 1, 2, 4, 8)  # epochs
QUANTILES = (10, 50, 90)  # percent
COLUMNS = (
    "replay_success_rate",
    "forgetting_rate",
    "replay_cosine",
    *(f"replay_loss_age{age}" for age in AGES),
    *(f"replay_weight_p{percent}" for percent in QUANTILES),
)


@dataclass(frozen=True, eq=False)
class Examples:
    """The adversarial examples of one epoch: perturbations float16 [P, C, H, W] in their frames."""

    delta: Tensor
    frame: Frame

    @classmethod
    def empty(cls, pixels_PCHW: Tensor, crop: int, *, rotated: bool) -> Examples:
        """Return what is to be filled for images like these."""
        corner_P = torch.zeros(len(pixels_PCHW), dtype=torch.int64, device=pixels_PCHW.device)
        angle = corner_P.clone() if rotated else None
        frame = Frame(corner_P, corner_P.clone(), corner_P == 1, crop, angle)
        return cls(torch.zeros_like(pixels_PCHW, dtype=torch.float16), frame)

    def put(self, places: Tensor, delta: Tensor, frame: Frame) -> None:
        """Fill in some of them."""
        self.delta[places] = delta.to(torch.float16)
        given = frame.tensors()
        for name, value in self.frame.tensors().items():
            value[places] = given[name]

    def images(self, pixels_PCHW: Tensor) -> Tensor:
        """Return them as float32 images in [0, 1]."""
        return (to_unit(self.frame.apply(pixels_PCHW)) + self.delta.float()).clamp(0, 1)

    def whole(self) -> tuple[Tensor, Tensor]:
        """Return the perturbations at their places in whole images, and which pixels they show."""
        delta_PCHW = self.delta.float()
        return self.frame.undo(delta_PCHW), self.frame.undo(torch.ones_like(delta_PCHW))


class ForgettingTracker:
    """Follows the adversarial examples of up to 256 training images, chosen by the seed.

    Parameters
    ----------
    pixels_NCHW, labels_N
        uint8 and int64, the training images and their classes, on the device of the training.
    index_N
        Those that are trained on, on the CPU.
    crop, rotated
        Padding of the random crop, and whether views are rotated.
    seed
        Of the run.
    """

    def __init__(
        self,
        pixels_NCHW: Tensor,
        labels_N: Tensor,
        index_N: Tensor,
        *,
        crop: int,
        seed: int,
        rotated: bool = False,
    ) -> None:
        chosen = torch.randperm(len(index_N), generator=stream(seed, "probe"))[:FOLLOWED]
        followed_P = index_N[chosen]
        # The place of each image among those that are followed, -1 for all others.
        self._place_N = torch.full((len(pixels_NCHW),), -1)
        self._place_N[followed_P] = torch.arange(len(followed_P))
        self.pixels_PCHW = pixels_NCHW[followed_P.to(pixels_NCHW.device)]
        self.labels_P = labels_N[followed_P.to(labels_N.device)]
        self._empty = partial(Examples.empty, self.pixels_PCHW, crop, rotated=rotated)
        self._made: dict[int, Examples] = {}
        self._fooled_P = torch.zeros_like(self.labels_P, dtype=torch.bool)
        self._rows: Sequence[Tensor] = ()
        self._places: Sequence[Tensor] = ()

    def expect(self, epoch: int, batches: Sequence[Tensor]) -> None:
        """Prepare for an epoch of these batches of image indices, on the CPU.

        Where the followed images are is known before the epoch, so that no step has to look for
        them on the device.
        """
        places = [self._place_N[index_B] for index_B in batches]
        rows = [(place_B >= 0).nonzero().flatten() for place_B in places]
        found = [place_B[row] for place_B, row in zip(places, rows, strict=True)]
        counts, device = [len(row) for row in rows], self.pixels_PCHW.device
        self._rows = torch.split(torch.cat(rows).to(device), counts)
        self._places = torch.split(torch.cat(found).to(device), counts)
        self._made = {then: made for then, made in self._made.items() if then >= epoch - AGES[-1]}

    @torch.no_grad()
    def see(self, epoch: int, step: int, frame: Frame, clean: Tensor, adversarial: Tensor) -> None:
        """Keep what the attack made of the followed images in the batch of `step`, from 0."""
        rows = self._rows[step]
        if len(rows):
            # Here, because a method may begin with epochs that attack nothing.
            if epoch not in self._made:
                self._made[epoch] = self._empty()
            delta = adversarial[rows] - clean[rows]
            self._made[epoch].put(self._places[step], delta, frame[rows])

    @torch.no_grad()
    def measure(
        self, network: nn.Module, epoch: int, batch_size: int = FOLLOWED
    ) -> dict[str, float | None]:
        """Return the `COLUMNS` at the end of `epoch`; None where nothing is as old as that.

        Shares are in percent, losses in nats. With x'(e) made in epoch e:

        - ``replay_success_rate``: share of x'(epoch - 1) that fool the network now;
        - ``forgetting_rate``: of the x'(epoch - 1) that did not fool it one epoch ago, the share
          that fool it now;
        - ``replay_cosine``: mean cosine of the perturbations of x'(epoch - 1) and x'(epoch), on the
          pixels that both show;
        - ``replay_loss_age<k>``: mean cross-entropy of x'(epoch - k);
        - ``replay_weight_p<q>``: quantile of 1.0000001 - p_y(x'(epoch - 1)), the weight of MemLoss
          V1.
        """
        found: dict[str, float | None] = dict.fromkeys(COLUMNS)
        fooled_before_P = self._fooled_P
        for age in AGES:
            if epoch - age not in self._made:
                continue
            images_PCHW = self._made[epoch - age].images(self.pixels_PCHW)
            with evaluating(network):
                logits_PK = torch.cat(
                    [network(part) for part in torch.split(images_PCHW, batch_size)]
                )
            fools_P = logits_PK.argmax(dim=1) != self.labels_P
            found[f"replay_loss_age{age}"] = float(cross_entropy(logits_PK, self.labels_P).mean())
            if age == 0:
                self._fooled_P = fools_P
            elif age == 1:
                found["replay_success_rate"] = 100 * float(fools_P.float().mean())
                known_P = ~fooled_before_P
                if known_P.any():
                    found["forgetting_rate"] = 100 * float(fools_P[known_P].float().mean())
                weight_P = 1.0000001 - of_class(logits_PK.softmax(dim=1), self.labels_P)
                for percent in QUANTILES:
                    quantile = torch.quantile(weight_P, percent / 100)
                    found[f"replay_weight_p{percent}"] = float(quantile)
                if epoch in self._made:
                    found["replay_cosine"] = self._cosine(epoch)
        return found

    def _cosine(self, epoch: int) -> float:
        now, then = self._made[epoch].whole(), self._made[epoch - 1].whole()
        both = now[1] * then[1]
        one_PF, other_PF = ((delta * both).flatten(1) for delta, _ in (now, then))
        return float(cosine_similarity(one_PF, other_PF, dim=1).mean())

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that the probe knows, for an exact resume; not copies."""
        state = {"fooled": self._fooled_P}
        for epoch, made in self._made.items():
            state[f"{epoch}/delta"] = made.delta
            state |= {f"{epoch}/{name}": value for name, value in made.frame.tensors().items()}
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` returned."""
        self._fooled_P.copy_(state["fooled"])
        for epoch in {int(name.partition("/")[0]) for name in state if "/" in name}:
            made = self._empty()
            made.delta.copy_(state[f"{epoch}/delta"])
            for name, value in made.frame.tensors().items():
                value.copy_(state[f"{epoch}/{name}"])
            self._made[epoch] = made
