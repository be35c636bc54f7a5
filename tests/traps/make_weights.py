"""Make the weights of the trap set, all or those named: `python tests/traps/make_weights.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

from networks import RECIPES, WEIGHTS, Recipe
from safetensors.torch import save_model

from bench.attacks.linf import ascend, uniform_noise
from bench.attacks.losses import cross_entropy, divergence
from bench.attacks.mode import evaluating, frozen
from bench.data.dataset import to_unit
from bench.data.sources.digits import read

BATCH = 64
STEPS = 7
BETA = 3.0


def trained(recipe: Recipe) -> nn.Module:
    """Return the network of `recipe`, trained by SGD with a one-cycle rate."""
    torch.manual_seed(0)
    network = recipe.network().train()
    digits = recipe.images(read(Path(), "digits").train)
    images, labels = to_unit(digits.pixels), digits.labels
    batches = len(images) // BATCH
    optimizer = torch.optim.SGD(
        network.parameters(), lr=recipe.rate, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        recipe.rate,
        total_steps=recipe.epochs * batches,
        pct_start=0.25,
        cycle_momentum=False,
    )
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(images))[: batches * BATCH].view(batches, BATCH):
            loss = objective(network, images[batch], labels[batch], recipe)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            schedule.step()
    return network


def objective(network: nn.Module, images: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Return the mean loss of one batch."""
    if recipe.method == "standard":
        return F.cross_entropy(network(images), labels)
    with evaluating(network), frozen(network):
        clean = network(images).detach()

        def loss(moved: Tensor) -> Tensor:
            logits = network(moved)
            if recipe.method == "trades":
                return divergence(clean, logits)
            return cross_entropy(logits, labels)

        if recipe.method == "fgsm_at":
            start, steps, step = images, 1, recipe.eps
        else:
            noise = uniform_noise(images.shape, eps=recipe.eps, generator=torch.default_generator)
            start, steps, step = (images + noise).clamp(0, 1), STEPS, recipe.eps / 4
        moved = ascend(loss, images, start, eps=recipe.eps, step=step, steps=steps)
    if recipe.method == "trades":
        logits = network(images)
        return F.cross_entropy(logits, labels) + BETA * divergence(logits, network(moved)).mean()
    return F.cross_entropy(network(moved), labels)


if __name__ == "__main__":
    torch.set_num_threads(1)
    WEIGHTS.mkdir(exist_ok=True)
    for name in sys.argv[1:] or RECIPES:
        save_model(trained(RECIPES[name]), str(WEIGHTS / f"{name}.safetensors"))
        print(name, flush=True)
