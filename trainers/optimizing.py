"""How weights follow gradients: the rate, the optimizers, and the average that ships."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from vidfacedeblur.trainers.recipe import Optimizer


def rate(optimizer: Optimizer, share: float) -> float:
    """Learning rate at a share of the run."""
    peak = optimizer.learning_rate
    if share < optimizer.warmup:
        return peak * min(1.0, max(share, 1e-3) / optimizer.warmup)
    along = (share - optimizer.warmup) / (1 - optimizer.warmup)
    if optimizer.decay == "cosine":
        return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along)))
    if optimizer.decay == "linear":
        return peak * min(1.0, 2 - 2 * along)
    return peak


def make_optimizer(settings: Optimizer, network: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that a recipe names, over all of a network's weights."""
    weights, lr = network.parameters(), settings.learning_rate
    betas = (settings.beta1, settings.beta2)
    if settings.kind == "rmsprop":
        return torch.optim.RMSprop(weights, lr=lr)
    on_gpu = next(network.parameters()).is_cuda or None  # one kernel for all weights there
    if settings.kind == "adam":
        return torch.optim.Adam(weights, lr=lr, betas=betas, fused=on_gpu)
    decay = settings.weight_decay
    return torch.optim.AdamW(weights, lr=lr, betas=betas, weight_decay=decay, fused=on_gpu)


class Average:
    """Exponential moving average of a network's weights and running statistics."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's weights; faster at the beginning of a run."""
        decay = min(self.decay, (1 + step) / (10 + step))
        theirs = network.state_dict()
        numbers = [name for name, value in theirs.items() if value.is_floating_point()]
        counts = [name for name, value in theirs.items() if not value.is_floating_point()]
        # All at once: a kernel for each tensor would take a GPU longer than a training step.
        torch._foreach_lerp_(
            [self.state[name] for name in numbers], [theirs[name] for name in numbers], 1 - decay
        )
        if counts:
            torch._foreach_copy_(
                [self.state[name] for name in counts], [theirs[name] for name in counts]
            )


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Take on a state, which may be from another kind of device, but not how steps are computed."""
    # Before it is loaded: a fused optimizer keeps its counts of steps on the GPU, others do not.
    groups = [
        {**theirs, "fused": own.get("fused")}
        for theirs, own in zip(state["param_groups"], optimizer.param_groups, strict=True)
    ]
    optimizer.load_state_dict({**state, "param_groups": groups})
