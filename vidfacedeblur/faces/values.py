"""Faces as JSON can hold them, to be written to a file and read again."""

from __future__ import annotations

from typing import Any

from vidfacedeblur.types import Box, Face


def face_values(face: Face) -> list[Any]:
    """A face as numbers, which JSON gives back bit for bit."""
    return [
        [float(value) for value in face.box],
        float(face.score),
        face.landmarks and [[float(x), float(y)] for x, y in face.landmarks],
        face.track,
        float(face.weight),
        _plain(face.sharpness),
        _plain(face.sharpness_after),
    ]


def face_of(values: list[Any]) -> Face:
    """The face that `face_values` made these of."""
    box, score, landmarks, track, weight, sharpness, after = values
    points = landmarks and tuple((x, y) for x, y in landmarks)
    return Face(Box(*box), score, points, track, weight, sharpness, after)


def _plain(value: float | None) -> float | None:
    return None if value is None else float(value)
