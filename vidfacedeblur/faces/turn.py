"""Turning a crop so that its face is upright for the network, and what was changed back again.

Networks have seen upright faces; `examples/benchmarks/rolled.py` measures what it costs them when a
face lies. A quarter turn moves pixels and resamples nothing. Any other is resampled twice, but only
to look at it, and to bring the difference back; the crop itself stays as the camera recorded it.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vidfacedeblur.types import Face, FloatImage

_SMALL = 10.0
"""Degrees that a face may be off a quarter turn and is not turned further."""


def roll(face: Face) -> float:
    """Degrees by which a face must be turned counter-clockwise to be upright; 0 if not known.

    From its eyes. Near a quarter turn it is that; near none it is 0.
    """
    if not face.landmarks:
        return 0.0
    (left, top), (right, bottom) = face.landmarks[:2]
    angle = math.degrees(math.atan2(bottom - top, right - left))
    nearest = 90.0 * round(angle / 90)
    return nearest if abs(angle - nearest) <= _SMALL else angle


def turned(image: FloatImage, angle: float) -> FloatImage:
    """A square turned counter-clockwise by `angle` degrees about its middle, reflected outside."""
    if angle == 0:
        return image
    if angle % 90 == 0:
        return np.ascontiguousarray(np.rot90(image, round(angle / 90)))
    return _resampled(image, angle, cv2.BORDER_REFLECT)


def changed_as(
    image: FloatImage, before: FloatImage, after: FloatImage, angle: float
) -> FloatImage:
    """What a crop becomes if turning it gave `before`, and that became `after`.

    Args:
        image: The crop, (S, S, 3).
        before: `turned(image, angle)`.
        after: The same, changed.
        angle: Degrees.
    """
    if angle % 90 == 0:
        return turned(after, -angle)
    change = _resampled(after - before, -angle, cv2.BORDER_CONSTANT)
    return np.asarray(np.clip(image + change, 0, 1), np.float32)


def _resampled(image: FloatImage, angle: float, outside: int) -> FloatImage:
    middle = (len(image) - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle, 1)
    size = image.shape[1::-1]
    turned = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_CUBIC, borderMode=outside)
    return np.asarray(turned, np.float32)
