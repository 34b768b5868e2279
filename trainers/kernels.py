"""Blur kernels: camera paths, lenses out of focus, and both.

The camera's path follows Boracchi and Foi, "Modeling the Performance of Image Restoration From
Motion Blur", IEEE Trans. Image Processing 21(8), 2012: a point with inertia, pulled back to the
centre, shaken by noise and now and then thrown off its course. Kernels here sum to 1, are centred
on their centroid (so that deblurring does not have to shift the face) and are never stretched in
value. A kernel's *size* is the longer side of the box around its path, in whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Kind = Literal["motion", "defocus", "mixed"]
"""A camera's path; a round aperture out of focus; a path seen through such an aperture."""
KINDS: tuple[Kind, ...] = ("motion", "defocus", "mixed")

LARGEST_SIZE = 29
_SIDE = 2 * LARGEST_SIZE + 1
_DUST = 1e-12
"""Weights below this are what a Fourier transform leaves of nothing."""
_STEPS = 500
_EXPOSURES = (0.1, 0.5, 1.0)
"""Share of the path during which the shutter is open."""
_PERSISTENCE = (0.01, 0.009, 0.008, 0.007, 0.005, 0.003)
"""Scales the chance of a sudden turn and the strength of the shake."""


def trajectories(
    count: int, rng: np.random.Generator, *, curving: float | None = None
) -> NDArray[np.complex128]:
    """Draw camera paths, (count, 500) complex positions, in no particular unit.

    Args:
        count: How many.
        rng: Where chance comes from.
        curving: By how many of the published 2,000 steps the shake and the pull of each of the 500
            count: 4 curves as published, 1 less. None: each path its own, from 1 to 4.
    """
    persistence = rng.choice(_PERSISTENCE, count)
    pull = rng.uniform(0, 0.7, count) * persistence
    shake = rng.uniform(0, 10, count) * persistence
    turn_chance = rng.uniform(0, 0.2, count) * persistence
    steps = 4 ** rng.uniform(0, 1, count) if curving is None else curving
    pull, shake = pull * steps, shake * np.sqrt(steps)  # what is random adds up by its square
    speed = 60 / (_STEPS - 1)
    position = np.zeros(count, complex)
    velocity = speed * np.exp(1j * rng.uniform(0, 2 * np.pi, count))
    path = np.empty((count, _STEPS), complex)
    for step in range(_STEPS):
        path[:, step] = position
        noise = rng.standard_normal(count) + 1j * rng.standard_normal(count)
        turning = rng.random(count) < turn_chance * (2000 / _STEPS)
        angle = np.pi + rng.uniform(-0.5, 0.5, count)
        kick = np.where(turning, 2 * velocity * np.exp(1j * angle), 0)
        velocity = velocity + kick + speed * (shake * noise - pull * position)
        velocity *= speed / np.maximum(np.abs(velocity), 1e-12)
        position = position + velocity
    return path


def motion(
    paths: NDArray[np.complex128], sizes: NDArray[np.int64], exposures: NDArray[np.float64]
) -> Tensor:
    """Turn camera paths into blur kernels.

    Args:
        paths: (N, steps) complex positions.
        sizes: (N,) longer side of the box around each drawn path, in pixels, 1 to 29; 1 gives no
            blur.
        exposures: (N,) share of each path that is drawn, from its beginning, above 0 to 1.

    Returns:
        (N, 59, 59) float64, each of sum 1, its centroid in the middle.
    """
    ends = np.maximum(2, np.rint(exposures * paths.shape[1]))[:, None]
    open_ = np.arange(paths.shape[1]) < ends
    paths = paths - (paths * open_).sum(1, keepdims=True) / ends  # the mean: the middle pixel
    extent = np.maximum(_extent(paths.real, open_), _extent(paths.imag, open_))
    points = np.where(open_, paths * ((sizes - 1) / np.maximum(extent, 1e-9))[:, None], 0)
    x, y = points.real + LARGEST_SIZE, points.imag + LARGEST_SIZE
    return torch.from_numpy(_splat(x, y, open_ / ends))


def _splat(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw weighted points, (N, steps) each, shared among the four pixels around: (N, 59, 59)."""
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    fx, fy = x - left, y - top
    places = np.arange(len(x))[:, None] * _SIDE**2 + top * _SIDE + left
    drawn = np.zeros(len(x) * _SIDE**2 + _SIDE + 1)
    for step, share in (
        (0, (1 - fx) * (1 - fy)),
        (1, fx * (1 - fy)),
        (_SIDE, (1 - fx) * fy),
        (_SIDE + 1, fx * fy),
    ):
        drawn += np.bincount((places + step).ravel(), (weight * share).ravel(), len(drawn))
    return drawn[: len(x) * _SIDE**2].reshape(len(x), _SIDE, _SIDE)


def _extent(values: NDArray[np.float64], open_: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance from the least to the greatest of each row, where the shutter is open."""
    highest = np.where(open_, values, -np.inf).max(1)
    return np.asarray(highest - np.where(open_, values, np.inf).min(1))


def discs(diameters: Tensor) -> Tensor:
    """Discs of N diameters in pixels, (N, 59, 59) float64, each of sum 1; of 1, a single pixel."""
    places = torch.arange(-LARGEST_SIZE, LARGEST_SIZE + 1, dtype=torch.float64)
    distance = torch.hypot(places[:, None], places[None])
    # A pixel on the rim counts in part.
    drawn = (diameters[:, None, None] / 2 - distance + 0.5).clamp(0, 1)
    return drawn / drawn.sum((1, 2), keepdim=True)


def random_kernels(
    sizes: Sequence[int],
    rng: np.random.Generator,
    *,
    kinds: Sequence[Kind] = ("motion",),
    paths: NDArray[np.complex128] | None = None,
) -> Tensor:
    """Draw one kernel for each size, as (N, 59, 59) float32, zero around each kernel.

    Args:
        sizes: Whole pixels, 1 to 29.
        rng: Where chance comes from.
        kinds: One for each size, or one for all.
        paths: Camera paths to use, (N, steps); drawn anew if not given.
    """
    drawn = trajectories(len(sizes), rng) if paths is None else paths
    exposures = rng.choice(_EXPOSURES, len(sizes))
    kind = np.array(list(kinds) * len(sizes) if len(kinds) == 1 else kinds, object)
    whole = np.asarray(sizes, np.int64)
    kind[whole == 1] = "motion"
    lenses = np.ones_like(whole)  # diameters; the rest of a mixed kernel's size is the path's
    mixed = kind == "mixed"
    lenses[mixed] = rng.integers(np.minimum(2, whole[mixed] // 2), whole[mixed] // 2 + 1)
    # One kernel spread over the other is as large as both together, less one.
    along = np.where(mixed, whole - lenses + 1, np.where(kind == "defocus", 1, whole))
    lenses[kind == "defocus"] = whole[kind == "defocus"]
    kernels = motion(drawn, along, exposures)
    through = torch.from_numpy(np.flatnonzero(lenses > 1))
    if len(through):
        kernels[through] = _seen_through(kernels[through], discs(torch.from_numpy(lenses)[through]))
    return kernels.float()


def _seen_through(kernels: Tensor, lenses: Tensor) -> Tensor:
    """One kernel after the other, (N, 59, 59) each."""
    whole = (2 * _SIDE - 1, 2 * _SIDE - 1)
    spectrum = torch.fft.rfft2(kernels, whole) * torch.fft.rfft2(lenses, whole)
    middle = slice(LARGEST_SIZE, LARGEST_SIZE + _SIDE)
    both = torch.fft.irfft2(spectrum, whole)[:, middle, middle].clamp(min=0)
    both[both < _DUST] = 0
    through: Tensor = both / both.sum((1, 2), keepdim=True)
    return through
