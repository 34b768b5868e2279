"""Whether a network leaves a checkerboard in what it restores."""

from __future__ import annotations

import torch
from torch import Tensor


def grid_ratio(difference: Tensor) -> float:
    """How far a checkerboard stands out of (restored - sharp), as 1 where there is none.

    Networks that upsample leave patterns of period 2, 4 and so on, if any. The power at those
    frequencies is compared with the median of the power around each, and the largest ratio counts.

    Args:
        difference: (N, C, H, W), H and W multiples of 8, 64 or more.
    """
    power = torch.fft.fft2(difference.double()).abs().square().mean((0, 1))
    height, width = power.shape
    ratios = []
    for row in range(0, height, height // 4):
        for column in range(0, width, width // 4):
            if row or column:
                # On an axis lies the power of all upright and level edges: compare along it.
                rows = (torch.arange(-6, 7) * (row > 0) + row) % height
                columns = (torch.arange(-6, 7) * (column > 0) + column) % width
                around = power[rows][:, columns]
                ratios.append(float(power[row, column] / around.median().clamp_min(1e-20)))
    return max(ratios)
