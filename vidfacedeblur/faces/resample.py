"""Resizing for the detector: whole pictures to the levels of a pyramid, windows to small squares.

Two ways. `ExactSampler` averages each output pixel's source pixels in whole numbers, as adaptive
average pooling does, which the networks were published with; one table of sums serves every level
and every window. `FastSampler` uses OpenCV on bytes.
"""

from __future__ import annotations

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import ByteImage

Batch = NDArray[np.float32]
"""(N, 3, H, W), scaled as MTCNN's networks take it."""
Windows = NDArray[np.int64]
"""(N, 4) of x0, y0, x1, y1 in whole pixels inside the picture, right and bottom exclusive."""

_MEAN, _SCALE = 127.5, 1 / 128


class Sampler(Protocol):
    """A picture that can be had smaller, whole or in part."""

    def level(self, height: int, width: int) -> Batch:
        """The whole picture at the given size, (1, 3, height, width). Ask for large ones first."""

    def crops(self, windows: Windows, side: int) -> Batch:
        """Windows resized to squares, (N, 3, side, side)."""


class ExactSampler:
    """Averages of whole source pixels, exact."""

    def __init__(self, rgb: ByteImage) -> None:
        self._height, self._width = rgb.shape[:2]
        # Sums of 8.4 million pixels and more overflow 32 bits; doubles stay exact.
        wide = rgb.shape[0] * rgb.shape[1] * 255 >= 2**31
        self._sums = cv2.integral(rgb, sdepth=cv2.CV_64F if wide else cv2.CV_32S)

    def level(self, height: int, width: int) -> Batch:
        top, bottom = _spans(np.array([0]), np.array([self._height]), height)
        left, right = _spans(np.array([0]), np.array([self._width]), width)
        rows = self._sums[bottom[0]] - self._sums[top[0]]  # (height, W + 1, 3)
        sums = rows[:, right[0]] - rows[:, left[0]]
        return _averages(sums[None], bottom - top, right - left)

    def crops(self, windows: Windows, side: int) -> Batch:
        left, right = _spans(windows[:, 0], windows[:, 2], side)  # (N, side)
        top, bottom = _spans(windows[:, 1], windows[:, 3], side)
        top_, bottom_, left_, right_ = (
            top[:, :, None],
            bottom[:, :, None],
            left[:, None],
            right[:, None],
        )
        sums = self._sums[bottom_, right_] - self._sums[top_, right_]
        sums -= self._sums[bottom_, left_] - self._sums[top_, left_]  # (N, side, side, 3)
        return _averages(sums, bottom - top, right - left)


class FastSampler:
    """OpenCV's area averages of bytes; each level is made from the one before."""

    def __init__(self, rgb: ByteImage) -> None:
        self._rgb = np.ascontiguousarray(rgb)
        self._last = self._rgb

    def level(self, height: int, width: int) -> Batch:
        self._last = cv2.resize(self._last, (width, height), interpolation=cv2.INTER_AREA)
        return _blob([self._last])

    def crops(self, windows: Windows, side: int) -> Batch:
        size = (side, side)
        return _blob(
            [
                cv2.resize(self._rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
                for x0, y0, x1, y1 in windows.tolist()
            ]
        )


def _blob(images: list[ByteImage]) -> Batch:
    blob: Batch = cv2.dnn.blobFromImages(images, _SCALE, mean=(_MEAN, _MEAN, _MEAN))
    return blob


def _spans(first: Windows, last: Windows, count: int) -> tuple[Windows, Windows]:
    """Begin and end, (N, count), of the source pixels that each output pixel averages."""
    length = (last - first)[:, None]
    steps = np.arange(count)
    begin = steps * length // count
    end = -(-(steps + 1) * length // count)
    return first[:, None] + begin, first[:, None] + end


def _averages(sums: NDArray[np.generic], heights: Windows, widths: Windows) -> Batch:
    """Sums (N, h, w, 3) over spans of the given sizes (N, h) and (N, w), as scaled averages."""
    average = sums.astype(np.float32)
    average /= heights[:, :, None, None].astype(np.float32)
    average /= widths[:, None, :, None].astype(np.float32)
    average -= np.float32(_MEAN)
    average *= np.float32(_SCALE)
    return np.ascontiguousarray(average.transpose(0, 3, 1, 2))
