"""What is cut from pictures: faces, found by the pipeline's own detector, or everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vidfacedeblur.faces import MtcnnDetector, crop_square, read_region, resized, whole_pixels
from vidfacedeblur.types import Box, ByteImage, Face, FloatImage, Frame
from vidfacedeblur.video import open_canvas

_MIN_FACE = 48
"""Pixels, roughly: the scale at which the search begins. Much smaller faces have too little detail
to learn from."""
_MIN_SCORE = 0.9
_BACKGROUNDS = 2
"""Squares without a face that are taken from one picture."""

Find = Callable[[ByteImage], Sequence[Box]]
"""Gives the squares to cut from (H, W, 3) uint8 RGB, in pixels."""


def all_faces(detector: MtcnnDetector, margin: float) -> Find:
    """Return a function that gives the square around each face of a frame.

    Args:
        detector: Finds the faces.
        margin: Added on each side, as a share of the box's longer side.
    """

    def find(picture: ByteImage) -> list[Box]:
        faces = detector.detect(picture, min_face=_MIN_FACE, min_score=_MIN_SCORE)
        return [crop_square(face.box, margin=margin) for face in faces]

    return find


def main_face(detector: MtcnnDetector, margin: float) -> Find:
    """Return a function that gives the square around the face nearest a portrait's middle."""

    def find(picture: ByteImage) -> list[Box]:
        faces = detector.detect(picture, min_face=_MIN_FACE, min_score=_MIN_SCORE)
        height, width = picture.shape[:2]

        def distance(face: Face) -> float:
            x, y = (face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2
            return float((x - width / 2) ** 2 + (y - height / 2) ** 2)

        return [crop_square(f.box, margin=margin) for f in sorted(faces, key=distance)[:1]]

    return find


def backgrounds(detector: MtcnnDetector, side: int) -> Find:
    """Return a function that gives squares of a frame that touch no face.

    Each is one to two times `side` pixels long, and lies where chance, always the same for the same
    picture, puts it.
    """
    faces = all_faces(detector, 0.0)

    def find(picture: ByteImage) -> list[Box]:
        taken = faces(picture)
        rng = np.random.default_rng(int(picture[::16, ::16].sum()))
        height, width = picture.shape[:2]
        found: list[Box] = []
        for _ in range(20):
            length = int(rng.integers(side, 2 * side + 1))
            if length > min(height, width):
                continue
            x, y = int(rng.integers(width - length + 1)), int(rng.integers(height - length + 1))
            square = Box(x, y, x + length, y + length)
            if not any(_touch(square, face) for face in taken):
                found.append(square)
            if len(found) == _BACKGROUNDS:
                break
        return found

    return find


def cut_square(picture: ByteImage, square: Box, side: int) -> FloatImage:
    """Cut a square out of (H, W, 3) uint8 RGB as the pipeline does: (side, side, 3) in [0, 1]."""
    canvas = open_canvas(Frame(0, picture))
    region = whole_pixels(square, max(2, round(square.width)), canvas)
    return np.clip(resized(read_region(canvas, region), side), 0, 1)


def _touch(a: Box, b: Box) -> bool:
    return a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1
