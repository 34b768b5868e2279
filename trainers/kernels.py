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
_STEPS = 500
_EXPOSURES = (0.1, 0.5, 1.0)
"""Share of the path during which the shutter is open."""
_PERSISTENCE = (0.01, 0.009, 0.008, 0.007, 0.005, 0.003)
"""Scales the chance of a sudden turn and the strength of the shake."""


def trajectories(count: int, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Draw camera paths, (count, 500) complex positions, in no particular unit."""
    persistence = rng.choice(_PERSISTENCE, count)
    pull = rng.uniform(0, 0.7, count) * persistence
    shake = rng.uniform(0, 10, count) * persistence
    turn_chance = rng.uniform(0, 0.2, count) * persistence
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


def motion(path: NDArray[np.complex128], size: int, exposure: float) -> NDArray[np.float32]:
    """Turn one camera path into a blur kernel.

    Args:
        path: (steps,) complex positions.
        size: Longer side of the box around the drawn path, in pixels; 1 gives no blur.
        exposure: Share of the path that is drawn, from its beginning, above 0 to 1.

    Returns:
        (2 * size + 1, 2 * size + 1), sum 1, centroid in the middle.
    """
    points = path[: max(2, round(exposure * len(path)))]
    extent = max(np.ptp(points.real), np.ptp(points.imag), 1e-9)
    points = (points - points.mean()) * ((size - 1) / extent)
    side = 2 * size + 1
    x, y = points.real + size, points.imag + size  # the mean lands on the middle pixel
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    fx, fy = x - left, y - top
    drawn = np.zeros((side, side))
    for dx, dy, weight in (
        (0, 0, (1 - fx) * (1 - fy)),
        (1, 0, fx * (1 - fy)),
        (0, 1, (1 - fx) * fy),
        (1, 1, fx * fy),
    ):
        np.add.at(drawn, (top + dy, left + dx), weight)
    return np.asarray(drawn / drawn.sum(), np.float32)


def defocus(size: int) -> NDArray[np.float32]:
    """A disc of the given diameter in pixels, (2 * size + 1, 2 * size + 1), sum 1."""
    places = np.arange(-size, size + 1)
    distance = np.hypot(places[:, None], places[None])
    disc = np.clip(size / 2 - distance + 0.5, 0, 1)  # a pixel on the rim counts in part
    return np.asarray(disc / disc.sum(), np.float32)


def random_kernels(
    sizes: Sequence[int], rng: np.random.Generator, *, kinds: Sequence[Kind] = ("motion",)
) -> Tensor:
    """Draw one kernel for each size, as (N, 59, 59) float32, zero around each kernel.

    Args:
        sizes: Whole pixels, 1 to 29.
        rng: Where chance comes from.
        kinds: One for each size, or one for all.
    """
    paths = trajectories(len(sizes), rng)
    exposures = rng.choice(_EXPOSURES, len(sizes))
    side = 2 * LARGEST_SIZE + 1
    kernels = np.zeros((len(sizes), side, side), np.float32)
    kinds = list(kinds) * len(sizes) if len(kinds) == 1 else kinds
    for i, (kind, size) in enumerate(zip(kinds, sizes, strict=True)):
        drawn = _draw(kind, size, paths[i], exposures[i], rng)
        edge = LARGEST_SIZE - len(drawn) // 2
        kernels[i, edge : side - edge, edge : side - edge] = drawn
    return torch.from_numpy(kernels)


def _draw(
    kind: Kind,
    size: int,
    path: NDArray[np.complex128],
    exposure: float,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    if kind == "motion" or size == 1:
        return motion(path, size, exposure)
    if kind == "defocus":
        return defocus(size)
    lens = int(rng.integers(1, size // 2 + 1))  # diameter; the rest is the path's
    return _blurred(motion(path, size - lens, exposure), defocus(lens))


def _blurred(kernel: NDArray[np.float32], lens: NDArray[np.float32]) -> NDArray[np.float32]:
    """One kernel after the other."""
    side = len(kernel) + len(lens) - 1
    spectrum = np.fft.rfft2(kernel, (side, side)) * np.fft.rfft2(lens, (side, side))
    both = np.maximum(np.fft.irfft2(spectrum, (side, side)), 0)
    return np.asarray(both / both.sum(), np.float32)
