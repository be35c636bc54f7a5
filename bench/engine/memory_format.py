"""How the values of maps lie in memory."""

from __future__ import annotations

import torch
from torch import nn

# Channels of the widest convolution from which on a CPU is faster with channels together.
WIDE = 64


def layout(model: nn.Module) -> torch.memory_format:
    """Return the memory layout in which `model` is fastest on the device where it is."""
    widths = [part.out_channels for part in model.modules() if isinstance(part, nn.Conv2d)]
    on_cpu = next(model.parameters()).device.type == "cpu"
    if on_cpu and max(widths, default=0) < WIDE:
        return torch.contiguous_format
    return torch.channels_last
