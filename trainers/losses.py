"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor


def charbonnier(restored: Tensor, sharp: Tensor, *, eps: float = 1e-3) -> Tensor:
    """Mean of sqrt(d^2 + eps^2): L1 with a rounded tip (Charbonnier et al., ICIP 1994)."""
    return torch.sqrt((restored - sharp) ** 2 + eps**2).mean()


def frequency(restored: Tensor, sharp: Tensor) -> Tensor:
    """Mean absolute difference of the orthonormal 2-D spectra of (N, C, H, W) images.

    Weighs lost detail as heavily as lost brightness (Cho et al., ICCV 2021, MIMO-UNet).
    """
    difference = torch.fft.rfft2(restored - sharp, norm="ortho")
    return torch.view_as_real(difference).abs().mean()


def restoration(restored: Tensor, sharp: Tensor, *, frequency_weight: float) -> Tensor:
    """Charbonnier loss plus `frequency_weight` times the frequency loss, on [-1, 1] images."""
    loss = charbonnier(restored, sharp)
    if frequency_weight:
        loss = loss + frequency_weight * frequency(restored, sharp)
    return loss
