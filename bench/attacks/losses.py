"""Losses of logits, one value an image; attacks raise them and methods train on them.

Shape suffixes: B images, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return -log p_y of each image [B], in nats."""
    return F.cross_entropy(logits_BK, labels_B, reduction="none")


def divergence(p_logits_BK: Tensor, q_logits_BK: Tensor) -> Tensor:
    """Return KL(p || q) = sum_k p_k (log p_k - log q_k) of each image [B], in nats.

    Differentiable through both arguments.
    """
    log_p_BK = p_logits_BK.log_softmax(dim=1)
    log_q_BK = q_logits_BK.log_softmax(dim=1)
    return (log_p_BK.exp() * (log_p_BK - log_q_BK)).sum(dim=1)


def margin(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return max_{k != y} z_k - z_y of each image [B]: above 0 where the model is wrong.

    Source: Carlini and Wagner 2017, arXiv:1608.04644, without the confidence bound.
    """
    rivals_B = strongest_rival(logits_BK, labels_B)
    return of_class(logits_BK, rivals_B) - of_class(logits_BK, labels_B)


def of_class(values_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Return the value of one class of each image, [B]."""
    return values_BK.gather(1, classes_B[:, None]).squeeze(1)


def strongest_rival(values_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return the class with the highest value among all but the label's, [B] int64."""
    return values_BK.detach().scatter(1, labels_B[:, None], -torch.inf).argmax(dim=1)
