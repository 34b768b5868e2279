"""One training on several GPUs: ``torchrun`` starts a process for each, and these agree.

Every process draws its own pairs, and takes each step with the mean of all gradients, of the
network and of the critics: all have the same weights at any time. (torch's DistributedDataParallel
cannot differentiate twice, as the critics' gradient penalty must.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Processes:
    """The processes that train one network together."""

    rank: int
    """Which one this is, from 0."""
    count: int

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def average_gradients(self, network: nn.Module) -> None:
        """Put the mean over the processes in place of each gradient."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        mean = torch.cat([gradient.flatten() for gradient in gradients])  # one message, not many
        distributed.all_reduce(mean)
        mean /= self.count
        parts = torch.split(mean, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agreed(self, value: float) -> float:
        """The first process's value: clocks differ, decisions must not."""
        if self.count == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, src=0)
        return values[0]


def one_process() -> Processes:
    """Nobody to agree with."""
    return Processes(0, 1)


@contextmanager
def processes_of(device: str) -> Iterator[tuple[Processes, str]]:
    """Join the processes that ``torchrun`` started, if it did.

    Yields:
        The processes, and the device of this one.
    """
    count = _started()
    if count == 1:
        yield one_process(), device
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    # Its functions take the group as a default when they are imported, which the first optimizer
    # does. They would keep it, with its threads, to the end of Python, and a thread that lets go of
    # a tensor only then aborts the process.
    import_module("torch.distributed.nn.functional")

    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(distributed.get_rank(), count), device
    finally:
        distributed.destroy_process_group()


def _started() -> int:
    """How many processes ``torchrun`` started; 1 without it, as where a cluster sets but some."""
    names = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
    values = [os.environ.get(name, "") for name in names]
    return int(values[0]) if all(values) else 1
