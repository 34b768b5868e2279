"""Finds the face of a portrait with the pipeline's own detector, for packs and evaluation sets."""

from __future__ import annotations

from collections.abc import Callable

from vidfacedeblur.engines import choose, mtcnn_specs, open_network
from vidfacedeblur.faces import MtcnnDetector, crop_square
from vidfacedeblur.types import Box, ByteImage, Face

_MIN_SCORE = 0.9
_MIN_FACE = 48
"""Pixels; smaller faces have too little detail to learn from."""


def square_finder(margin: float) -> Callable[[ByteImage], Box | None]:
    """Return a function that gives the square around the face nearest a picture's middle.

    Args:
        margin: Added on each side, as a share of the box's longer side.
    """
    choice = choose("auto", "cpu")
    detector = MtcnnDetector(*(open_network(spec, choice) for spec in mtcnn_specs()))

    def find(picture: ByteImage) -> Box | None:
        faces = detector.detect(picture, min_face=_MIN_FACE, min_score=_MIN_SCORE)
        if not faces:
            return None
        height, width = picture.shape[:2]

        def distance(face: Face) -> float:
            x, y = (face.box.x0 + face.box.x1) / 2, (face.box.y0 + face.box.y1) / 2
            return float((x - width / 2) ** 2 + (y - height / 2) ** 2)

        return crop_square(min(faces, key=distance).box, margin=margin)

    return find
