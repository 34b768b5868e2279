"""Confirming a face where it is expected, with the detector's last network alone.

O-Net was made to judge a rough square around a face, and to say where in it the face is. A face's
box in one frame is such a square for the next. That costs a small crop and a call of some tenths of
a millisecond, where the whole detector searches the whole picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import squared
from vidfacedeblur.faces.crop import visible, whole_pixels
from vidfacedeblur.faces.detect import ONET_SIDE, MtcnnDetector
from vidfacedeblur.types import Box, Canvas, Face

_LEAST = 12
"""Pixels of the smallest face that is followed."""


def confirm(
    detector: MtcnnDetector, canvas: Canvas, expected: Sequence[Box], *, min_score: float
) -> list[Face | None]:
    """Look for faces where they are expected.

    Args:
        detector: Whose last network judges.
        canvas: The picture.
        expected: Where a face should be, about: off by a fifth of its size at most.
        min_score: Least probability.

    Returns:
        For each, the face that is there, or None.
    """
    found: list[Face | None] = [None] * len(expected)
    places = [i for i, box in enumerate(expected) if _can_be_seen(box, canvas)]
    if not places:
        return found
    boxes = squared(np.array([expected[i] for i in places], np.float32))
    crops = np.stack([_crop(canvas, Box(*box)) for box in boxes.tolist()])
    for i, face in zip(places, detector.judge(boxes, crops, min_score), strict=True):
        found[i] = face
    return found


def _can_be_seen(box: Box, canvas: Canvas) -> bool:
    """Whether the box's middle is in the picture, and is large enough."""
    x, y = box.centre
    inside = 0 <= x < canvas.width and 0 <= y < canvas.height
    return inside and max(box.width, box.height) >= _LEAST


def _crop(canvas: Canvas, square: Box) -> NDArray[np.float32]:
    """What the square shows, (3, S, S), as the networks take it.

    What the picture's edge leaves of it is stretched, as the detector does.
    """
    side = max(1, round(square.width))
    inside = visible(whole_pixels(square, side, canvas), canvas)
    scaled = canvas.read_small(inside, ONET_SIDE).transpose(2, 0, 1)
    return (scaled * np.float32(255) - np.float32(127.5)) / np.float32(128)
