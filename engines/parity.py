"""Whether an engine computes what torch computes: compared before anything it made is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from vidfacedeblur.engines.batches import Batch, Outputs
from vidfacedeblur.engines.spec import NetworkSpec

Run = Callable[[Batch], Outputs]


def samples(spec: NetworkSpec, *, side: int | None = None) -> Iterator[Batch]:
    """Inputs to compare on: smooth, nearly flat and noisy crops, of three batches and two sizes.

    Not exactly flat: instance norm of a constant divides rounding errors by almost nothing, so that
    two correct engines differ there, and no camera makes such a crop.

    Args:
        spec: The network.
        side: The only size to try; None tries the smallest useful one and a larger one.
    """
    least = max(64, spec.least)
    fixed = side or spec.side
    sides = (fixed,) if fixed else (least, least + 32)
    generator = torch.Generator().manual_seed(0)
    kinds = (_smooth, _flat, _noise)
    for size in sides:
        for count, kind in enumerate(kinds, start=1):
            shape = (min(count, spec.batch), 3, size, size)
            yield kind(shape, generator).numpy()


def worst_difference(spec: NetworkSpec, run: Run, *, side: int | None = None) -> float:
    """Largest absolute difference from torch over all samples; infinite if one is not finite."""
    return max(
        _largest(ours - theirs)
        for sample in samples(spec, side=side)
        for ours, theirs in zip(run(sample), reference(spec, sample), strict=True)
    )


def worst_psnr(spec: NetworkSpec, run: Run, *, side: int | None = None) -> float:
    """Least PSNR in dB of the first output against torch, on a scale of 2, over all samples."""
    return min(
        decibels(run(sample)[0] - reference(spec, sample)[0]) for sample in samples(spec, side=side)
    )


def decibels(difference: NDArray[np.float32]) -> float:
    """PSNR of an error on values from -1 to 1; at most 120, and -inf if it is not finite."""
    error = float(np.mean(np.square(difference, dtype=np.float64)))
    return 10 * math.log10(4 / max(error, 4e-12)) if math.isfinite(error) else -math.inf


@torch.inference_mode()
def reference(spec: NetworkSpec, batch: Batch) -> Outputs:
    """What the torch module makes of a batch, in float32 on the CPU."""
    outputs = spec.module.cpu()(torch.from_numpy(batch))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(output.numpy() for output in outputs)


def _largest(difference: NDArray[np.float32]) -> float:
    worst = float(np.abs(difference).max())
    return worst if math.isfinite(worst) else math.inf


def _smooth(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    coarse = torch.rand(*shape[:2], 8, 8, generator=generator) * 2 - 1
    grown = F.interpolate(coarse, shape[2:], mode="bicubic", align_corners=False)
    return grown.clamp(-1, 1)


def _flat(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return 0.1 + 0.02 * _noise(shape, generator)


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator) * 2 - 1
