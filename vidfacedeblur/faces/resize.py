"""Area resizing as torch's adaptive average pooling does it, without torch."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray


@functools.lru_cache(maxsize=512)
def _bins(before: int, after: int) -> NDArray[np.float32]:
    """(after, before) matrix whose rows average the source samples of one result."""
    index = np.arange(after)
    first = index * before // after
    last = -((index + 1) * before // -after)  # rounded up
    place = np.arange(before)
    within = (place >= first[:, None]) & (place < last[:, None])
    return (within / within.sum(axis=1, keepdims=True)).astype(np.float32)


def adaptive_average(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (H, W, 3) uint8 to `size` (width, height): each result averages whole source pixels.

    Returns:
        (height, width, 3) float32 in 0..255.
    """
    height, width = image.shape[:2]
    rows, columns = _bins(height, size[1]), _bins(width, size[0])
    narrowed = np.tensordot(rows, image.astype(np.float32), axes=(1, 0))  # (h, W, 3)
    return np.ascontiguousarray(np.einsum("hwc,vw->hvc", narrowed, columns, optimize=True))
