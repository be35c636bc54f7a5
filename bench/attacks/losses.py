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
    return targeted_margin(logits_BK, labels_B, strongest_rival(logits_BK, labels_B))


def targeted_margin(logits_BK: Tensor, labels_B: Tensor, targets_B: Tensor) -> Tensor:
    """Return z_t - z_y of each image [B], t its target: above 0 where the model is wrong."""
    return of_class(logits_BK, targets_B) - of_class(logits_BK, labels_B)


def of_class(values_BK: Tensor, classes_B: Tensor) -> Tensor:
    """Return the value of one class of each image, [B]."""
    return values_BK.gather(1, classes_B[:, None]).squeeze(1)


def strongest_rival(values_BK: Tensor, labels_B: Tensor) -> Tensor:
    """Return the class with the highest value among all but the label's, [B] int64."""
    return _without(values_BK, labels_B).argmax(dim=1)


def strongest_rivals(values_BK: Tensor, labels_B: Tensor, most: int) -> Tensor:
    """Return the classes with the highest values among all but the label's, highest first.

    They are [B, T] int64 with T = `most`, or K - 1 where that is fewer.
    """
    count = min(most, values_BK.shape[1] - 1)
    return _without(values_BK, labels_B).topk(count, dim=1).indices


def _without(values_BK: Tensor, labels_B: Tensor) -> Tensor:
    return values_BK.detach().scatter(1, labels_B[:, None], -torch.inf)
