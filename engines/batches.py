"""Batches of any length for networks that take them in steps, or in a few sizes only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]
"""(N, C, H, W)."""
Outputs = tuple[NDArray[np.float32], ...]
"""One array for each output of a network, batch first."""


def buckets(largest: int) -> tuple[int, ...]:
    """Batch sizes that are prepared for: the powers of two below `largest`, and itself."""
    return (*(2**i for i in range(largest.bit_length()) if 2**i < largest), largest)


def filled_up(batch: Batch, largest: int) -> Batch:
    """The batch with zeros behind it, up to the next bucket."""
    size = next(size for size in buckets(largest) if size >= len(batch))
    if size == len(batch):
        return batch
    return np.concatenate([batch, np.zeros((size - len(batch), *batch.shape[1:]), batch.dtype)])


def in_steps(run: Callable[[Batch], Outputs], batch: Batch, step: int) -> Outputs:
    """Run at most `step` of a batch at a time and join what comes out."""
    if len(batch) <= step:
        return run(batch)
    parts = [run(batch[i : i + step]) for i in range(0, len(batch), step)]
    return tuple(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
