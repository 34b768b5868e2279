"""Giving a face the same number on every frame that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import iou
from vidfacedeblur.types import Box, Face

_GAP = 10
"""Frames that a face may be missing before its return counts as a new face."""
_REACH = 0.6
"""How far a face may move between two sightings, in units of its size, with no overlap needed."""
_GROWTH = 1.8
"""How much a face may grow or shrink between two sightings."""


_SUDDEN = 0.3
"""Share of its size by which a face is off its place that is motion, and not a detector's error."""


class _Track:
    """A face seen before, and where it will be: its place and size averaged, its speed likewise.

    What is expected is where the face is looked for next, and the detector's last network gives a
    smaller face in a larger square and the reverse: without averaging the two chase each other.
    """

    def __init__(self, number: int, box: Box, index: int) -> None:
        self.number = number
        self.index = index
        """The frame that showed it last."""
        self._place = _numbers(box)
        self._speed = np.zeros(4)

    def expected(self, index: int) -> Box:
        """Where it should be, if it moves on as it did."""
        x, y, width, height = self._place + self._speed * (index - self.index)
        return Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    def seen(self, box: Box, index: int) -> None:
        elapsed = max(1, index - self.index)
        expected = self._place + self._speed * elapsed
        error = _numbers(box) - expected
        if np.abs(error[:2]).max() > _SUDDEN * min(expected[2:]):
            self._speed[:2] = (expected + error - self._place)[:2] / elapsed
            self._place = expected + error
        else:
            # Steady-state gains of a Kalman filter for motion of nearly constant speed.
            self._place = expected + np.array([0.7, 0.7, 0.5, 0.5]) * error
            self._speed[:2] += 0.35 / elapsed * error[:2]
        self.index = index


class Tracker:
    """Follows faces from frame to frame; one for each video or stream.

    A face goes to the nearest known face, taken by overlap and by distance in units of its size, if
    that is near enough and of a like size; the best pairs first. Boxes are passed on as detected:
    detection runs on every frame, and smoothing would lag.
    """

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def reset(self) -> None:
        """Forget all faces, as at a cut. Numbers are not used again."""
        self._tracks = []

    def expected(self, index: int, *, within: int = 1) -> list[tuple[int, Box]]:
        """Number and likely place of each face that one of the `within` frames before showed."""
        recent = (track for track in self._tracks if 0 < index - track.index <= within)
        return [(track.number, track.expected(index)) for track in recent]

    def update(self, index: int, faces: Sequence[Face]) -> list[Face]:
        """Number the faces of the next frame; returns them in the order given.

        Args:
            index: Number of the frame; higher than that of the call before, and may skip.
            faces: What was found in it; those that have a number already keep it.
        """
        self._tracks = [t for t in self._tracks if 0 < index - t.index <= _GAP + 1]
        match = self._matched(index, faces)
        return [
            replace(face, track=self._take(match.get(i), face.box, index))
            for i, face in enumerate(faces)
        ]

    def _take(self, track: _Track | None, box: Box, index: int) -> int:
        if track is None:
            track = _Track(self._next, box, index)
            self._next += 1
            self._tracks.append(track)
        else:
            track.seen(box, index)
        return track.number

    def _matched(self, index: int, faces: Sequence[Face]) -> dict[int, _Track]:
        """Known faces by the position of the face that shows them."""
        known = {track.number: track for track in self._tracks}
        match = {i: known[f.track] for i, f in enumerate(faces) if f.track in known}
        taken = {track.number for track in match.values()}
        tracks = [track for track in self._tracks if track.number not in taken]
        if not tracks or len(match) == len(faces):
            return match
        likeness = _likeness(
            np.array([t.expected(index) for t in tracks], np.float32),
            np.array([f.box for f in faces], np.float32),
        )
        for pair in np.argsort(-likeness, axis=None, kind="stable"):
            t, f = divmod(int(pair), len(faces))
            if likeness[t, f] <= 0:
                break
            if tracks[t].number not in taken and f not in match:
                match[f] = tracks[t]
                taken.add(tracks[t].number)
        return match


def _likeness(known: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """How well each known box (T, 4) and each found one (F, 4) fit, (T, F); 0 if they do not."""
    a, b = known[:, None], found[None]
    size_a = np.sqrt((a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1]))
    size_b = np.sqrt((b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]))
    larger = np.maximum(np.maximum(size_a, size_b), 1e-6)
    offset = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = np.hypot(offset[..., 0], offset[..., 1]) / larger
    fits = (distance < _REACH) & (larger < _GROWTH * np.minimum(size_a, size_b))
    likeness: NDArray[np.float32] = np.where(fits, 1 - distance / _REACH + iou(a, b), 0)
    return likeness


def _numbers(box: Box) -> NDArray[np.float64]:
    """Centre and size."""
    return np.array([*box.centre, box.width, box.height])
