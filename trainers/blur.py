"""Synthetic blur: y = k * x + n with random-trajectory kernels.

The camera's path follows Boracchi and Foi, "Modeling the Performance of Image Restoration From
Motion Blur", IEEE Trans. Image Processing 21(8), 2012: a point with inertia, pulled back to the
centre, shaken by noise and now and then thrown off its course. Kernels here sum to 1, are centred
on their centroid (so that deblurring does not have to shift the face) and are never stretched in
value. A kernel's *size* is the longer side of the box around its path, in whole pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

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


def kernel(path: NDArray[np.complex128], size: int, exposure: float) -> NDArray[np.float32]:
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


def random_kernels(sizes: Sequence[int], rng: np.random.Generator) -> Tensor:
    """Draw one kernel for each size, as (N, 59, 59) float32, zero around each kernel."""
    paths = trajectories(len(sizes), rng)
    exposures = rng.choice(_EXPOSURES, len(sizes))
    side = 2 * LARGEST_SIZE + 1
    kernels = np.zeros((len(sizes), side, side), np.float32)
    for i, (path, size, exposure) in enumerate(zip(paths, sizes, exposures, strict=True)):
        edge = LARGEST_SIZE - size
        kernels[i, edge : side - edge, edge : side - edge] = kernel(path, size, exposure)
    return torch.from_numpy(kernels)


def convolve(images: Tensor, kernels: Tensor) -> Tensor:
    """Blur each image with its own kernel, extending it by reflection.

    Args:
        images: (N, 3, H, W) float32.
        kernels: (N, K, K) float32, K odd, K // 2 below H and W.

    Returns:
        (N, 3, H, W) float32.
    """
    edge = kernels.shape[-1] // 2
    padded = F.pad(images, (edge, edge, edge, edge), mode="reflect")
    height, width = padded.shape[-2:]
    spectrum = torch.fft.rfft2(padded) * torch.fft.rfft2(kernels, s=(height, width))[:, None]
    blurred: Tensor = torch.fft.irfft2(spectrum, s=(height, width))
    # The kernel starts at the corner, so the result lies `2 * edge` further right and down.
    return blurred[..., 2 * edge :, 2 * edge :]


def as_eight_bit(images: Tensor) -> Tensor:
    """Round images in [0, 1] to the 256 levels that a video stores."""
    return torch.round(images.clamp(0, 1) * 255) / 255


def compress(image: Tensor, quality: int) -> Tensor:
    """Compress (3, H, W) in [0, 1] as JPEG of a quality from 1 to 100, and decode it again."""
    pixels = (255 * image).round().byte().permute(1, 2, 0).cpu().numpy()
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return (torch.from_numpy(decoded).permute(2, 0, 1).float() / 255).to(image.device)


def degrade(images: Tensor, kernels: Tensor, noise: Tensor, generator: torch.Generator) -> Tensor:
    """Make the blurred partner: convolve, add Gaussian noise, round to 8 bits.

    Args:
        images: (N, 3, H, W) float32 in [0, 1].
        kernels: (N, K, K); see `convolve`.
        noise: (N,) standard deviation on the [0, 1] scale.
        generator: Source of the noise.
    """
    blurred = convolve(images, kernels)
    grain = torch.randn(blurred.shape, generator=generator, device=blurred.device)
    return as_eight_bit(blurred + noise[:, None, None, None] * grain)
