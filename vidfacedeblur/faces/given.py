"""Faces that come from the caller, in place of this project's own detector."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces.cuts import Cuts
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.faces.track import Tracker
from vidfacedeblur.types import Box, ByteImage, Canvas, Face

FaceLike = Face | Box | tuple[float, float, float, float]
"""A face, or its box (x0, y0, x1, y1) in pixels of the upright picture."""
FindFaces = Callable[[ByteImage], Sequence[FaceLike]]
"""Given an upright picture, (H, W, 3) uint8 RGB, which it must not change: the faces in it."""


class GivenFaces:
    """Takes the faces of each frame from a function; numbers them where they have no number.

    Args:
        find: Called once for each frame, in order.
    """

    def __init__(self, find: Callable[[Canvas], Sequence[FaceLike]]) -> None:
        self._find = find
        self._cuts = Cuts()
        self._tracker = Tracker()
        self._count = 0
        self._scene = 0
        self._numbered: bool | None = None

    def push(self, canvas: Canvas) -> list[Found]:
        """Take the next frame's canvas.

        Raises:
            OptionError: What the function gave are not faces, or not numbered as they must be.
        """
        given = self._find(canvas)
        if not isinstance(given, Iterable):
            raise OptionError(f"find_faces must give a list of faces, got {given!r}")
        faces = [as_face(face) for face in given]
        # First: a frame that is refused changes nothing.
        self._check_numbers([face.track for face in faces])
        if self._cuts.is_cut(canvas):
            self._tracker.reset()
            self._scene = self._count
        if not self._numbered:
            faces = self._tracker.update(self._count, faces)
        self._count += 1
        return [Found(faces, self._scene)]

    def flush(self) -> list[Found]:
        """Nothing is held back; the next frame begins another scene."""
        self._cuts.end()
        return []

    def _check_numbers(self, tracks: Sequence[int | None]) -> None:
        if not tracks:
            return
        numbered = tracks[0] is not None if self._numbered is None else self._numbered
        if any((track is not None) != numbered for track in tracks):
            raise OptionError("give all faces of a video a track number, or none of them")
        if numbered and len(set(tracks)) < len(tracks):
            raise OptionError(f"two faces of one frame have the same track number: {list(tracks)}")
        self._numbered = numbered


def as_face(face: FaceLike) -> Face:
    """Take in a caller's face or box.

    Raises:
        OptionError: It is neither, or the box has no area.
    """
    try:
        found = face if isinstance(face, Face) else Face(Box(*map(float, face)))
    except (TypeError, ValueError) as error:
        raise OptionError(f"a face's box must be (x0, y0, x1, y1), got {face!r}") from error
    finite = all(map(math.isfinite, found.box))
    if not (finite and found.box.width > 0 and found.box.height > 0):
        raise OptionError(f"a face's box must be (x0, y0, x1, y1) with area, got {found.box}")
    return replace(found, box=Box(*found.box))
