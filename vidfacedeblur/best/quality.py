"""How well a face can be recognised in a frame: to choose the best of many pictures of it.

    quality = (sharpness / 0.56)^2 * (side / 128) * frontal * score^2 * inside

Each factor is at most 1 and unknown ones are left out. The sharpness is that of the face as it is
now; real faces have 0.23 when they are badly blurred and 0.56 when they are crisp, and squaring
lets it decide over the others. The side is the box's, the root of its area; recognisers take
about 112 pixels of a face, so a box of 128 is enough. The score is the detector's, which is above
0.99 for a face that is easily seen; 0.9 often means that something is in front of it.

    frontal = 1 / (1 + (2 * yaw)^2 + (10 * pitch)^2)

Yaw is how far the nose is from the middle of the eyes along the line through them: 0, and 1 above
an eye. Pitch is how far it is from its usual place between eyes and mouth, 0.52 of the way down,
beyond the 0.1 by which people differ. Both turn with the head, so that its roll changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass

from vidfacedeblur.types import Canvas, Face

_CRISP = 0.56
_ENOUGH = 128.0
"""Pixels."""
_NOSE = 0.52
_DIFFER = 0.1


@dataclass(frozen=True)
class Quality:
    """The factors of a face's quality, each 0 to 1."""

    sharpness: float
    size: float
    frontal: float
    score: float
    inside: float
    """How much of the face's box is in the picture."""

    @property
    def value(self) -> float:
        """All of them together, 0 (worst) to 1."""
        return float(math.prod(astuple(self)))


def quality(face: Face, canvas: Canvas, sharpness: float | None) -> Quality:
    """Judge a face.

    Args:
        face: The face, in pixels of the picture.
        canvas: The picture, only its size is looked at.
        sharpness: Of the face as it is, or as it may be at best; 0 to 1, None if unknown.
    """
    box = face.box
    side = math.sqrt(max(box.width, 0.0) * max(box.height, 0.0))
    return Quality(
        sharpness=1.0 if sharpness is None else min(1.0, sharpness / _CRISP) ** 2,
        size=min(1.0, side / _ENOUGH),
        frontal=frontal(face),
        score=min(max(face.score, 0.0), 1.0) ** 2,
        inside=_inside(face, canvas),
    )


def frontal(face: Face) -> float:
    """How far a face is turned to the viewer, by its landmarks: 1 straight, near 0 from the side.

    A face without its five landmarks is taken for straight.
    """
    if not face.landmarks or len(face.landmarks) != 5:
        return 1.0
    left, right, nose, *mouth = (complex(*point) for point in face.landmarks)
    if left == right:
        return 0.0
    # As if the eyes were at -1 and 1, with positive imaginary parts below them.
    nose, middle = ((2 * p - left - right) / (right - left) for p in (nose, sum(mouth) / 2))
    if middle.imag <= 0:
        return 0.0
    pitch = max(0.0, abs(nose.imag / middle.imag - _NOSE) - _DIFFER)
    return float(1 / (1 + (2 * nose.real) ** 2 + (10 * pitch) ** 2))


def _inside(face: Face, canvas: Canvas) -> float:
    box = face.box
    wide = min(box.x1, canvas.width) - max(box.x0, 0.0)
    high = min(box.y1, canvas.height) - max(box.y0, 0.0)
    area = box.width * box.height
    return max(wide, 0.0) * max(high, 0.0) / area if area > 0 else 0.0
