"""Synthetic blur, on whatever device holds the images: y = k * x + n, and moving faces averaged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_MOST_TURN = 0.12
"""Radians that a moving face turns within the frames that are averaged, at most."""
_MOST_GROWTH = 0.06
"""Share of its size by which it grows or shrinks."""
_BEND_NODES = 5
"""Rows and columns of what moves on its own; between them it moves smoothly."""


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


def averaged_while_moving(
    images: Tensor,
    paths: NDArray[np.complex128],
    sizes: NDArray[np.int64],
    rng: np.random.Generator,
    *,
    still_share: float = 0.0,
    bend: float = 0.0,
) -> Tensor:
    """Blur each image as averaging 3 to 15 frames of a moving face does.

    The face follows a path, turning, growing and bending a little; its middle position is where it
    is in `images`.

    Args:
        images: (N, 3, H, W) float32.
        paths: (N, steps) complex positions, as `kernels.trajectories` gives them.
        sizes: (N,) longer side of the box around each path, in pixels.
        rng: Where chance comes from.
        still_share: Share of the images of which an oval about the middle moves alone, as a head
            does before a camera that stands still.
        bend: Parts of a face move on their own, as a turning head's and a speaking mouth's do, by
            up to this share of `sizes`.
    """
    poses = [_poses(path, int(size), rng) for path, size in zip(paths, sizes, strict=True)]
    lengths = torch.tensor([len(frames) for frames in poses])
    moving = np.where(rng.random(len(images))[:, None, None] < still_share, _ovals(images, rng), 1)
    layers = torch.cat((images, torch.from_numpy(moving).to(images)[:, None]), 1)
    frame_of = torch.arange(len(images)).repeat_interleave(lengths).to(images.device)
    amounts = np.concatenate([_bends(len(frames), rng) for frames in poses])
    bends = _fields(bend * (sizes - 1), rng, layers)[frame_of]
    bends *= torch.from_numpy(amounts).to(bends)[:, None, None, None]
    layers = _moved(layers[frame_of], torch.from_numpy(np.concatenate(poses)), bends)
    layers[:, 3:].clamp_(0, 1)
    layers[:, :3] *= layers[:, 3:]
    means = layers.new_zeros((len(images), *layers.shape[1:])).index_add_(0, frame_of, layers)
    means /= lengths.to(images)[:, None, None, None]
    # What the ovals leave free shows what lies there in the sharp image: an oval is larger than a
    # head, so that is mostly background.
    return (means[:, :3] + images * (1 - means[:, 3:])).clamp(0, 1)


def _ovals(images: Tensor, rng: np.random.Generator) -> NDArray[np.float32]:
    """Soft ovals about the middle of each image, (N, H, W), 1 within and 0 without."""
    count, (height, width) = len(images), images.shape[-2:]
    middle = rng.normal(0, 0.06, (2, count, 1, 1))
    half = rng.uniform((0.3, 0.36), (0.5, 0.6), (count, 2)).T[..., None, None]
    y = np.linspace(-0.5, 0.5, height)[None, :, None] - middle[0]
    x = np.linspace(-0.5, 0.5, width)[None, None] - middle[1]
    # About in pixels from the rim, inwards.
    depth = (1 - np.hypot(x / half[0], y / half[1])) * half[0] * width
    softness = rng.uniform(1, 6, (count, 1, 1))
    return np.asarray(np.clip(depth / softness + 0.5, 0, 1), np.float32)


def _poses(
    path: NDArray[np.complex128], size: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Affine maps, (L, 2, 3) in pixels about the image's centre; the middle one changes nothing."""
    length = int(rng.integers(3, 16))
    points = path[np.linspace(0, rng.integers(50, len(path)), length).astype(int)]
    extent = max(np.ptp(points.real), np.ptp(points.imag), 1e-9)
    middle = length // 2
    shift = (points - points[middle]) * ((size - 1) / extent)
    time = (np.arange(length) - middle) / length
    strength = min(1.0, size / 15)  # a face that hardly moves hardly turns
    angle = time * rng.uniform(-_MOST_TURN, _MOST_TURN) * strength
    scale = np.exp(time * rng.uniform(-_MOST_GROWTH, _MOST_GROWTH) * strength)
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    rows = [[cos, -sin, shift.real], [sin, cos, shift.imag]]
    return np.asarray(rows, np.float32).transpose(2, 0, 1)


def _bends(length: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """How far a face is bent in each frame, within -1 to 1; 0 in the middle one."""
    walk = np.cumsum(rng.normal(size=length))
    walk -= walk[length // 2]
    return np.asarray(walk / max(np.ptp(walk), 1e-9), np.float32)


def _fields(most: NDArray[np.floating[Any]], rng: np.random.Generator, images: Tensor) -> Tensor:
    """How each image bends, (N, H, W, 2) in pixels of x and y, up to so many."""
    nodes = rng.normal(size=(len(images), 2, _BEND_NODES, _BEND_NODES)).clip(-2, 2) / 2
    nodes *= (rng.uniform(0, 1, len(images)) * most)[:, None, None, None]
    coarse = torch.from_numpy(nodes).to(images)
    fields = F.interpolate(coarse, tuple(images.shape[-2:]), mode="bicubic")
    return fields.permute(0, 2, 3, 1)


def _moved(images: Tensor, poses: Tensor, bends: Tensor) -> Tensor:
    """Each image as its pose, (2, 3) in pixels about the image's centre, and its bend show it."""
    height, width = images.shape[-2:]
    maps = poses.to(images.device)
    # Pixels to the units of `affine_grid`, where the picture reaches from -1 to 1.
    maps[:, :, 2] /= maps.new_tensor([width / 2, height / 2])
    maps[:, 0, 1] *= height / width
    maps[:, 1, 0] *= width / height
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    grid += bends * bends.new_tensor([2 / width, 2 / height])
    return F.grid_sample(
        images, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
