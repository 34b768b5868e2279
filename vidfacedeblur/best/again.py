"""A face that was hidden and is seen again: pictures of one person belong together.

A tracker gives a face that was away for long a new number. Here two tracks are taken for one
person's where the second begins near where the first ended, with a face of about the same size that
looks the same. That needs no recogniser, and is none: who comes back somewhere else stays two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.types import Box, ByteImage, Face, Region

AWAY = 75
"""Frames for which a face may be hidden: three seconds, mostly."""
_NEAR = 1.0
"""How far from where it was it may come back, in its own widths."""
_SIZE = 1.3
"""How much it may have grown or shrunk."""
_ALIKE = 0.7
"""Correlation of two pictures from which on they may show one person. In the clips this was tried
on, the same faces have 0.76 to 0.92 after being hidden, and those that come near where another was
0.36 to 0.66; alone it would not do, as strangers elsewhere reach 0.9."""

EVERY = 5
"""Sightings from one look that is kept to the next ..."""
LOOKS = 24
"""... and how many of a track are, the last ones."""
_SIDE = 32
_PLACES = np.array([(0.30, 0.36), (0.70, 0.36), (0.50, 0.56), (0.35, 0.76), (0.65, 0.76)]) * _SIDE
"""Where the five landmarks are put before faces are compared."""

Look = NDArray[np.float32]
"""(32, 32), of length 1."""


def is_near(before: Box, after: Box) -> bool:
    """Whether a face may have come back where another was, both as they were seen."""
    (x0, y0), (x1, y1) = before.centre, after.centre
    larger, smaller = max(before.width, after.width), min(before.width, after.width)
    return math.hypot(x1 - x0, y1 - y0) < _NEAR * larger and larger < _SIZE * smaller


def looks_alike(some: Sequence[Look], others: Sequence[Look]) -> bool:
    """Whether any two of two tracks' looks could be of one person."""
    return any(float(np.sum(a * b)) >= _ALIKE for a in some for b in others)


def look_of(face: Face, region: Region, image: ByteImage) -> Look | None:
    """A face upright and small, in grey, without its brightness and contrast.

    Args:
        face: In pixels of the picture.
        region: What of the picture `image` shows.
        image: (S, S, 3) RGB.

    Returns:
        None where its landmarks are not known, or nothing is to be seen.
    """
    if face.landmarks is None or len(face.landmarks) != 5:
        return None
    points = np.array(face.landmarks) - (region.x0, region.y0)
    found = cv2.estimateAffinePartial2D(points, _PLACES, method=cv2.LMEDS)
    move = cast("NDArray[np.float64] | None", found[0])  # its stub knows no None
    if move is None:
        return None
    grey = image.astype(np.float32).mean(axis=-1)
    # Smoothed first: the small picture would else be made of single samples of the large one.
    shrinks = 1 / max(1e-6, math.hypot(move[0, 0], move[1, 0]))
    smooth = cv2.GaussianBlur(grey, (0, 0), max(0.1, shrinks / 3))
    small = cv2.warpAffine(smooth, move, (_SIDE, _SIDE), borderMode=cv2.BORDER_REPLICATE)
    flat = np.asarray(small, np.float32) - small.mean()
    length = float(np.linalg.norm(flat))
    return flat / np.float32(length) if length > 0 else None
