"""Resizing for the detector: a picture to the levels of a pyramid, its windows to small squares.

Each result is the average of the whole source pixels that it touches, as in adaptive average
pooling: what the detector was published with, to the last bit that matters. One table of sums
serves every level and every window, so a result costs four look-ups however large its source is.
That is as fast as OpenCV's resizing, which gives other averages and so other boxes.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import ByteImage

Batch = NDArray[np.float32]
"""(N, 3, H, W), scaled as MTCNN's networks take it: ``(value - 127.5) / 128``."""
Windows = NDArray[np.int64]
"""(N, 4) of x0, y0, x1, y1 in whole pixels inside the picture, right and bottom exclusive."""

Sums = NDArray[np.int32]
"""(..., 4): red, green, blue and one unused, which makes a pixel 16 bytes."""


class SumTable:
    """A picture's sums from its top-left corner, to average any part of it.

    Sums of large pictures overflow; differences are right all the same, because whole numbers wrap
    around and no part that is averaged into one pixel holds 8 million.
    """

    def __init__(self, rgb: ByteImage) -> None:
        """Take (H, W, 3) uint8."""
        self._height, self._width = rgb.shape[:2]
        four = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2RGBA)
        self._sums: Sums = np.asarray(cv2.integral(four, sdepth=cv2.CV_32S), np.int32)

    def level(self, height: int, width: int) -> Batch:
        """The whole picture at the given size, (1, 3, height, width)."""
        top, bottom = _spans(0, self._height, height)
        left, right = _spans(0, self._width, width)
        rows = self._sums[bottom]  # (height, W + 1, 4)
        rows -= self._sums[top]
        pixels = _as_items(rows)
        sums = _as_sums(pixels.take(right, axis=1))
        sums -= _as_sums(pixels.take(left, axis=1))
        return _averages(sums[None], (bottom - top)[None], (right - left)[None])

    def crops(self, windows: Windows, side: int) -> Batch:
        """Windows resized to squares, (N, 3, side, side)."""
        left, right = _spans(windows[:, :1], windows[:, 2:3], side)  # (N, side)
        top, bottom = _spans(windows[:, 1:2], windows[:, 3:], side)
        pixels = _as_items(self._sums).ravel()
        above, below = ((rows * (self._width + 1))[:, :, None] for rows in (top, bottom))
        before, after = left[:, None], right[:, None]
        sums = _as_sums(pixels.take(below + after))  # (N, side, side, 4)
        sums -= _as_sums(pixels.take(above + after))
        sums -= _as_sums(pixels.take(below + before))
        sums += _as_sums(pixels.take(above + before))
        return _averages(sums, bottom - top, right - left)


def _as_items(sums: Sums) -> NDArray[np.complex128]:
    """Pixels as single items of 16 bytes: numpy gathers those several times faster."""
    return sums.view(np.complex128)[..., 0]


def _as_sums(items: NDArray[np.complex128]) -> Sums:
    return items[..., None].view(np.int32)


def _spans(
    first: Windows | int, last: Windows | int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Begin and end, (..., count), of the source pixels that each of `count` results averages."""
    length = np.asarray(last, np.int64) - first
    steps = np.arange(count)
    return first + steps * length // count, first - (steps + 1) * length // -count


def _averages(sums: Sums, heights: NDArray[np.int64], widths: NDArray[np.int64]) -> Batch:
    """Sums (N, h, w, 4) over spans of the given sizes, (N, h) and (N, w), as scaled averages."""
    counts = heights[:, None, :, None] * widths[:, None, None]  # (N, 1, h, w)
    weights = np.float32(1 / 128) / counts.astype(np.float32)
    averages = np.empty((len(sums), 3, *sums.shape[1:3]), np.float32)
    channels = sums[..., :3].transpose(0, 3, 1, 2)
    np.multiply(channels, weights, out=averages, dtype=np.float32, casting="unsafe")
    averages -= np.float32(127.5 / 128)
    return averages
