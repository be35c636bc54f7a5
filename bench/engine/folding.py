"""A network in evaluation mode with its batch-norms folded into the convolutions before them.

In evaluation mode batch-norm multiplies each channel by a constant and adds another, which the
convolution before it can do at no cost:

    W' = W * g / sqrt(v + e)        b' = beta + (b - m) * g / sqrt(v + e)

with mean m, variance v, weight g and bias beta of the batch-norm. A gradient attack on the folded
network is the same attack up to rounding, without a pass over every map for every batch-norm.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import cast

import torch
from torch import Tensor, fx, nn


class FoldedNetwork(nn.Module):
    """A copy of `model` for attacks: evaluation mode, frozen, folded where batch-norms allow it.

    The copy has weights of its own. `refresh` brings them up to date after `model` has changed.

    Parameters
    ----------
    model
        Given back untouched. One that cannot be traced, because its forward pass depends on values,
        is copied unfolded, which is as right and only slower.
    dtype
        What the copy computes in; logits are float32 in any case.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.dtype = dtype
        own = copy.deepcopy(model).eval()
        self.network, self._pairs = _folded(own)
        self.network.requires_grad_(False).to(dtype)
        self.eval()
        self.refresh(model)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] to float32 logits [B, K]."""
        logits: Tensor = self.network(images.to(self.dtype))
        return logits.to(torch.float32)

    @torch.no_grad()
    def refresh(self, model: nn.Module) -> None:
        """Take over the weights and statistics of `model`, which the copy was made from."""
        folded = set()
        for convolution, norm in self._pairs:
            weight, bias = folded_weights(
                cast(nn.Conv2d, model.get_submodule(convolution)),
                cast(nn.BatchNorm2d, model.get_submodule(norm)),
            )
            own = cast(nn.Conv2d, self.network.get_submodule(convolution))
            own.weight.copy_(weight)
            cast(Tensor, own.bias).copy_(bias)
            folded |= {f"{convolution}.weight", f"{convolution}.bias"}
        theirs = model.state_dict()
        for name, own_value in self.network.state_dict().items():
            if name not in folded:
                own_value.copy_(theirs[name])

    @torch.no_grad()
    def copy(self, other: FoldedNetwork) -> None:
        """Take over the weights of `other`, a copy of the same network, as they are folded there.

        Rounded to another precision they are what `refresh` gives, without folding once more.
        """
        theirs = other.network.state_dict()
        for name, own_value in self.network.state_dict().items():
            own_value.copy_(theirs[name])


def folded_weights(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return W' and b' of a convolution that does its batch-norm's work too."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale_C = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift_C = norm.bias - norm.running_mean * scale_C
    if convolution.bias is not None:
        shift_C = shift_C + convolution.bias * scale_C
    return convolution.weight * scale_C[:, None, None, None], shift_C


def _folded(model: nn.Module) -> tuple[nn.Module, list[tuple[str, str]]]:
    """Return `model` without the batch-norms that could be folded, and the names of the pairs."""
    try:
        traced = fx.symbolic_trace(model)
    except Exception:
        # Tracing fails in as many ways as a forward pass can be written.
        return model, []
    modules = dict(traced.named_modules())
    calls = Counter(node.target for node in traced.graph.nodes if node.op == "call_module")
    pairs = []
    for node in list(traced.graph.nodes):
        if node.op != "call_module" or not _foldable(modules[node.target]):
            continue
        before = node.args[0] if node.args else None
        if (
            not isinstance(before, fx.Node)
            or before.op != "call_module"
            or type(modules[str(before.target)]) is not nn.Conv2d
            or len(before.users) > 1
            or calls[before.target] > 1
        ):
            continue
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
        convolution = modules[str(before.target)]
        convolution.bias = nn.Parameter(torch.zeros_like(convolution.weight[:, 0, 0, 0]))
        pairs.append((str(before.target), str(node.target)))
    traced.recompile()
    traced.delete_all_unused_submodules()
    return traced, pairs


def _foldable(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats
