"""Faces made steady in time: boxes that do not tremble, and no face that pops in or out.

A detector's box moves by a few hundredths of the face's width from frame to frame though the face
does not. Each box and its landmarks are replaced by what a parabola says that was laid through the
frames around (Savitzky and Golay, "Smoothing and Differentiation of Data by Simplified Least
Squares Procedures", Analytical Chemistry 1964). A parabola follows speed and acceleration, so
nothing lags; where a face moves in a way that it cannot follow, fewer frames are taken, and at last
the box itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.recent import Recent
from vidfacedeblur.faces.sharpness import need
from vidfacedeblur.types import Box, Face

REACH = 4
"""Frames on either side that are looked at."""
_RAMP = 3
"""Frames over which a face's correction rises or falls where it comes or goes in mid-scene."""
_TREMBLE = 0.05
"""Distance from the parabola, in face widths, that is taken for the detector's own trembling."""

Values = NDArray[np.float64]
"""A face in numbers: centre, size, and landmarks from the centre; (2 + 2 + 10,) or (4,)."""


@dataclass(frozen=True)
class Found:
    """The faces of a frame as they were found."""

    faces: Sequence[Face]
    scene: int
    """Number of the scene's first frame."""


class Steadier:
    """Smooths the faces of a video, frame by frame; with tracks, as `FaceFinder` gives them.

    Args:
        ahead: Frames that a frame waits for; `REACH` for the best result, 0 for none.
        min_track: Frames on which a face must have been seen, unless its scene is shorter.
        gated: Whether a face's correction is as strong as its sharpness needs.
    """

    def __init__(self, *, ahead: int = REACH, min_track: int = 1, gated: bool = False) -> None:
        self._ahead = ahead
        self._gated = gated
        self._min_track = min_track
        self._sightings: Recent[int] = Recent()
        self._lengths: Counter[int] = Counter()  # of scenes, as far as they are known
        self._frames: list[tuple[int, dict[int | None, Face]]] = []
        """Scene, and faces by track, of the frames that are looked at."""
        self._next = 0  # of them, the first that was not given back

    def push(self, found: Found) -> list[list[Face]]:
        """Take the next frame's faces; returns those of each frame that is settled, in order."""
        for face in found.faces:
            self._sightings.set(face.track, self._sightings.get(face.track, 0) + 1)
        self._sightings.next_frame()
        self._lengths[found.scene] += 1
        self._frames.append((found.scene, {face.track: face for face in found.faces}))
        if len(self._frames) - self._next <= self._ahead:
            return []
        return [self._settled()]

    def flush(self) -> list[list[Face]]:
        """The faces of the frames that are still waiting."""
        return [self._settled() for _ in range(len(self._frames) - self._next)]

    def _settled(self) -> list[Face]:
        scene, faces = self._frames[self._next]
        near = [
            (offset, self._frames[self._next + offset][1])
            for offset in range(-REACH, REACH + 1)
            if 0 <= self._next + offset < len(self._frames)
            and self._frames[self._next + offset][0] == scene
        ]
        least = min(self._min_track, self._lengths[scene])
        steady = [
            self._steadied([(offset, at.get(track)) for offset, at in near])
            for track in faces
            if self._sightings.get(track, 0) >= least
        ]
        self._next += 1
        if self._next > REACH:
            past, _ = self._frames.pop(0)
            self._next -= 1
            if past != self._frames[0][0]:
                del self._lengths[past]
        return steady

    def _steadied(self, window: Sequence[tuple[int, Face | None]]) -> Face:
        """The face of frame 0, by the frames around, on some of which it is not seen."""
        sightings = [(offset, face) for offset, face in window if face is not None]
        weight = _presence([offset for offset, face in window if face is None])
        if self._gated:
            weight *= _needed(sightings)
        return replace(smoothed(sightings), weight=weight)


def smoothed(sightings: Sequence[tuple[int, Face]]) -> Face:
    """The face of frame 0 of its sightings, (frame, face), as those around it say it is."""
    face = dict(sightings)[0]
    with_points = all(other.landmarks for _, other in sightings)
    for reach in range(REACH, 1, -1):
        window = [(offset, other) for offset, other in sightings if abs(offset) <= reach]
        if len(window) < 3:
            break
        offsets = tuple(offset for offset, _ in window)
        values = np.array([_values(other, with_points=with_points) for _, other in window])
        projection = _projection(offsets)
        off = (values - projection @ values)[:, :4] / max(face.box.width, 1.0)
        if np.sqrt((off**2).mean(axis=0)).max() <= _TREMBLE:
            return _as_face(projection[offsets.index(0)] @ values, face)
    return face


@lru_cache(maxsize=512)
def _projection(offsets: tuple[int, ...]) -> Values:
    """The matrix (n, n) that maps values at some frames to the fitted curve's values there.

    A parabola needs points on both sides; where the future is not known, a line trembles less.
    """
    two_sided = min(-offsets[0], offsets[-1]) > 1
    powers = np.vander(np.array(offsets, float), 3 if len(offsets) > 4 and two_sided else 2)
    fitted: Values = powers @ np.linalg.pinv(powers)
    return fitted


def _presence(absent: Sequence[int]) -> float:
    """How much of a face's correction is applied, by the frames around that do not show it."""
    nearest = min(map(abs, absent), default=_RAMP + 1)
    return min(1.0, nearest / (_RAMP + 1))


def _needed(sightings: Sequence[tuple[int, Face]]) -> float:
    """How much of it a face needs, as sharp as it is on the frames around: at least its own need.

    A face may be blurred for a frame or two only, so needs are not averaged. What a blurred frame
    needs rises and falls over its neighbours, on which the network has little to change.
    """
    return max(
        need(face.sharpness) * max(0.0, 1 - abs(offset) / (_RAMP + 1))
        if face.sharpness is not None
        else 1.0
        for offset, face in sightings
    )


def _values(face: Face, *, with_points: bool) -> list[float]:
    box = face.box
    x, y = box.centre
    points = face.landmarks if with_points and face.landmarks else ()
    offsets = [value for px, py in points for value in (px - x, py - y)]
    return [x, y, box.width, box.height, *offsets]


def _as_face(values: Values, face: Face) -> Face:
    x, y, width, height, *offsets = values.tolist()
    box = Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    pairs = zip(offsets[::2], offsets[1::2], strict=True)
    points = tuple((x + px, y + py) for px, py in pairs)
    return replace(face, box=box, landmarks=points or face.landmarks)
