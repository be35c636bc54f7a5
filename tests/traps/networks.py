"""The trap set: networks that look robust and are not, and sound ones that look odd.

Each has weights that `python tests/traps/make_weights.py` made, and is then changed or not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from architectures import (
    Around,
    Convolutional,
    Function,
    InPrecision,
    InTrainMode,
    group_norm,
    no_norm,
    noisy,
    perceptron,
    quantised,
    resized,
    squashed,
    thermometer,
    winners_take_all,
)
from safetensors.torch import load_model
from torch import nn
from torch.nn import functional as F

from bench.data.dataset import Images
from bench.data.sources.digits import read

WEIGHTS = Path(__file__).parent / "weights"
EPS = 0.2


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How weights are made: `images` prepares those of the digits; `rate` is the highest."""

    network: Callable[[], nn.Module]
    method: Literal["standard", "pgd_at", "trades", "fgsm_at"]
    eps: float = EPS
    epochs: int = 12
    rate: float = 0.2
    images: Callable[[Images], Images] = lambda images: images


def three_classes(images: Images) -> Images:
    chosen = images.labels < 3
    return Images(images.pixels[chosen], images.labels[chosen])


def colour(images: Images) -> Images:
    """Return 10x12 pixels of three equal channels."""
    framed = F.pad(images.pixels, (2, 2, 1, 1))
    return Images(framed.expand(-1, 3, -1, -1).contiguous(), images.labels)


def normalized() -> nn.Module:
    return Around(Convolutional(), before=lambda images: (images - 0.3) / 0.37)


def pooled() -> nn.Module:
    return Around(Convolutional(), before=nn.MaxPool2d(3, stride=1, padding=1))


def unnormalized() -> nn.Module:
    network = Convolutional(norm=no_norm)
    for convolution in network.convolutions:
        nn.init.kaiming_normal_(convolution.weight)
    return network


RECIPES = {
    "standard": Recipe(network=Convolutional, method="standard"),
    "pgd_at": Recipe(network=Convolutional, method="pgd_at"),
    "winners": Recipe(network=lambda: Convolutional(winners_take_all(0.2)), method="pgd_at"),
    "quantised": Recipe(
        network=lambda: Convolutional(quantised(3, straight_through=True)), method="standard"
    ),
    "squashed": Recipe(
        network=lambda: Around(Convolutional(), before=squashed(1000)), method="standard"
    ),
    "noisy": Recipe(network=lambda: Around(Convolutional(), before=noisy(0.2)), method="standard"),
    "resized": Recipe(
        network=lambda: Around(Convolutional(), before=resized(12)), method="pgd_at", eps=0.1
    ),
    "fgsm_at": Recipe(
        network=lambda: Convolutional(width=16), method="fgsm_at", eps=0.3, epochs=20
    ),
    "silu": Recipe(network=lambda: Convolutional(F.silu), method="pgd_at"),
    "elu": Recipe(network=lambda: Convolutional(F.elu), method="trades"),
    "softplus": Recipe(network=lambda: Convolutional(F.softplus), method="pgd_at"),
    "leaky": Recipe(network=lambda: Convolutional(F.leaky_relu, width=12), method="pgd_at"),
    "group_norm": Recipe(
        network=lambda: Convolutional(norm=group_norm), method="pgd_at", eps=0.1, rate=0.1
    ),
    "no_norm": Recipe(network=unnormalized, method="trades", eps=0.1, rate=0.2, epochs=20),
    "perceptron": Recipe(network=perceptron, method="pgd_at", eps=0.1, rate=0.1),
    "three_classes": Recipe(
        network=lambda: Convolutional(classes=3), method="trades", images=three_classes
    ),
    "colour": Recipe(
        network=lambda: Convolutional(channels=3), method="trades", eps=0.1, images=colour, epochs=8
    ),
    "max_pool": Recipe(network=pooled, method="pgd_at", eps=0.1),
    "normalized": Recipe(network=normalized, method="pgd_at", eps=0.1),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network of the set: weights, what is done with them, and the radius it is attacked with.

    `cause` is the name of the cause that diagnostics must give, "" for an honest network.
    """

    weights: str
    change: Callable[[nn.Module], nn.Module] = lambda network: network
    eps: float = EPS
    cause: str = ""

    def network(self) -> nn.Module:
        network = RECIPES[self.weights].network()
        load_model(network, WEIGHTS / f"{self.weights}.safetensors")
        return self.change(network)

    def images(self, count: int) -> Images:
        """Return the first `count` test images of its kind."""
        test = RECIPES[self.weights].images(read(Path(), "digits").test)
        return Images(test.pixels[:count], test.labels[:count])


def scaled(factor: float) -> Callable[[nn.Module], nn.Module]:
    return partial(Around, after=lambda logits: factor * logits)


def with_activation(activation: Function) -> Callable[[nn.Module], nn.Module]:
    def changed(network: nn.Module) -> nn.Module:
        network.activation = activation
        return network

    return changed


def in_float16(network: nn.Module) -> nn.Module:
    """Logits four times as large are still far from saturating float32."""
    return InPrecision(scaled(4)(network), torch.float16)


TRAPS = {
    "logit scale 100": Case(weights="standard", change=scaled(100), cause="saturated softmax"),
    "activations of 3 bits": Case(
        weights="quantised", change=with_activation(quantised(3)), cause="rounding"
    ),
    "20 % winners take all": Case(weights="winners", cause="discontinuous function"),
    "steep sigmoid": Case(weights="squashed", cause="saturated activation"),
    "noise 0.2": Case(weights="noisy", eps=0.1, cause="random inference"),
    "random resizing": Case(weights="resized", eps=0.1, cause="random inference"),
    "overfitted FGSM": Case(weights="fgsm_at", eps=0.3, cause="single-step overfitting"),
    "thermometer": Case(
        weights="standard",
        change=partial(Around, before=thermometer),
        cause="no path for gradients",
    ),
    "float16": Case(weights="standard", change=in_float16, cause="half precision"),
    "train mode": Case(weights="standard", change=InTrainMode, cause="batch statistics"),
}
HONEST = {
    "SiLU": Case(weights="silu"),
    "ELU, TRADES": Case(weights="elu"),
    "softplus": Case(weights="softplus"),
    "leaky ReLU, wider": Case(weights="leaky"),
    "group norm": Case(weights="group_norm", eps=0.1),
    "no norm": Case(weights="no_norm", eps=0.1),
    "perceptron": Case(weights="perceptron", eps=0.1),
    "three classes": Case(weights="three_classes"),
    "three channels": Case(weights="colour", eps=0.1),
    "max pooling": Case(weights="max_pool", eps=0.1),
    "normalization inside": Case(weights="normalized", eps=0.1),
    "temperature 0.5": Case(weights="pgd_at", change=scaled(2)),
    "temperature 2": Case(weights="pgd_at", change=scaled(0.5)),
    "bfloat16": Case(weights="pgd_at", change=partial(InPrecision, dtype=torch.bfloat16)),
    "not robust": Case(weights="standard"),
}
