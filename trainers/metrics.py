"""PSNR and SSIM, each in the one definition that this project uses everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image, after rounding to 8 bits.

    Args:
        a: (N, C, H, W) in [0, 1].
        b: The same shape and range.

    Returns:
        (N,), at most 99, which identical images give.
    """
    error = (_levels(a) - _levels(b)).square().mean(dim=(1, 2, 3))
    return (10 * torch.log10(255**2 / error.clamp_min(1e-12))).clamp_max(99)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image: Gaussian 11x11, sigma 1.5, mean over RGB, valid area.

    Wang et al., IEEE Trans. Image Processing 13(4), 2004, with K1 0.01 and K2 0.03, after
    rounding to 8 bits.

    Args:
        a: (N, C, H, W) in [0, 1], H and W at least 11.
        b: The same shape and range.

    Returns:
        (N,), at most 1.
    """
    x, y = _levels(a) / 255, _levels(b) / 255
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x = _smooth(x * x) - mean_x**2
    var_y = _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    bottom = (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return (top / bottom).mean(dim=(1, 2, 3))


def _levels(images: Tensor) -> Tensor:
    return torch.round(images.double().clamp(0, 1) * 255)


def _smooth(images: Tensor) -> Tensor:
    offsets = torch.arange(-5, 6, dtype=images.dtype, device=images.device)
    weights = torch.exp(-(offsets**2) / (2 * 1.5**2))
    weights = weights / weights.sum()
    channels = images.shape[1]
    row = weights.view(1, 1, 1, 11).expand(channels, 1, 1, 11)
    column = weights.view(1, 1, 11, 1).expand(channels, 1, 11, 1)
    return F.conv2d(F.conv2d(images, row, groups=channels), column, groups=channels)
