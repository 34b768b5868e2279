"""Interlaced pictures: two fields, recorded one after the other, each in every other line.

Where something moved between them their lines do not fit together, which no network takes for what
it is. There each field is deblurred alone, stretched to the height of both, and its change goes
back into its own lines.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidfacedeblur.types import FloatImage

_COMBED = {True: 0.9, False: 1.05}
"""How much more lines differ from the next than from the next but one, where they are combed; less
will do where the picture says that it is interlaced. Still faces have 0.6, noise alone has 1."""
_UNLIKE_COLUMNS = 1.3
"""How much more so than columns. Of whole pictures, noisy and blurred ones too, 1.2 at most;
dithering, as of GIFs, is the same both ways."""


def is_combed(image: FloatImage, *, interlaced: bool) -> bool:
    """Whether something moved between the fields of (H, W, 3).

    Args:
        image: Untouched by any resizing.
        interlaced: Whether the picture says that it has fields; many do not say so.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.float32)
    lines, columns = _unrest(grey), _unrest(np.ascontiguousarray(grey.T))
    return lines > max(_COMBED[interlaced], _UNLIKE_COLUMNS * columns)


def _unrest(grey: FloatImage) -> float:
    """How much lines differ from the next, against the next but one; 0 where nothing differs."""
    if len(grey) < 3:
        return 0.0
    next_one = cv2.norm(grey[1:], grey[:-1], cv2.NORM_L1) / (len(grey) - 1)
    next_but_one = cv2.norm(grey[2:], grey[:-2], cv2.NORM_L1) / (len(grey) - 2)
    return next_one / max(next_but_one, 1e-6)


def field_of(image: FloatImage, field: int, side: int) -> FloatImage:
    """One field of (H, W, 3), 0 or 1 for its first line, stretched to (side, side, 3)."""
    return np.clip(_stretched(image[field::2], side, side), 0, 1)


def into_field(change: FloatImage, field: int, side: int) -> FloatImage:
    """What a field's change is on the lines of a square: (side, side, 3), 0 on the others'."""
    lines = np.zeros((side, side, 3), np.float32)
    lines[field::2] = _stretched(change, len(lines[field::2]), side)
    return lines


def _stretched(image: FloatImage, height: int, width: int) -> FloatImage:
    """One direction after the other: averages where it shrinks, cubic where it grows."""
    for high, wide in ((height, image.shape[1]), (height, width)):
        shrinks = high < image.shape[0] or wide < image.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
        if (high, wide) != image.shape[:2]:
            image = np.asarray(cv2.resize(image, (wide, high), interpolation=how), np.float32)
    return image
