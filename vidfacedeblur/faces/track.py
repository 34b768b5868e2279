"""One number for one face over time.

Faces are matched from frame to frame, the closest pairs first; a face that is not found for a few
frames keeps its number for when it comes back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vidfacedeblur.types import Box, Face

_PATIENCE = 10
"""Frames for which a lost face is remembered."""
_REACH = 0.8
"""Farthest that a face's centre moves between frames, in box sides."""
_GROWTH = 1.6
"""Largest change of size between frames, as a factor."""


@dataclass
class _Track:
    number: int
    box: Box
    seen: int
    """Index of the last frame with this face."""


class Tracker:
    """Gives faces their track numbers, frame by frame."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._next = 1

    def reset(self) -> None:
        """Forget all faces, as at a cut; numbers are not used again."""
        self._tracks = []

    def update(self, index: int, faces: Sequence[Face]) -> list[Face]:
        """Return the faces of a frame, in the order given, each with its track number.

        Args:
            index: Number of the frame; rises from call to call.
            faces: Faces found in it.
        """
        self._tracks = [t for t in self._tracks if index - t.seen <= _PATIENCE]
        matched = self._match(faces)
        numbered = []
        for i, face in enumerate(faces):
            track = matched.get(i)
            if track is None:
                track = _Track(self._next, face.box, index)
                self._next += 1
                self._tracks.append(track)
            track.box, track.seen = face.box, index
            numbered.append(replace(face, track=track.number))
        return numbered

    def _match(self, faces: Sequence[Face]) -> dict[int, _Track]:
        """Pair faces with known tracks, the closest first; each at most once."""
        if not faces or not self._tracks:
            return {}
        cost = _distances([f.box for f in faces], [t.box for t in self._tracks])
        matched: dict[int, _Track] = {}
        for flat in np.argsort(cost, axis=None, kind="stable"):
            i, j = divmod(int(flat), len(self._tracks))
            if cost[i, j] > _REACH:
                break
            if i not in matched and self._tracks[j] not in matched.values():
                matched[i] = self._tracks[j]
        return matched


def _distances(boxes: Sequence[Box], others: Sequence[Box]) -> np.ndarray:
    """Distances of centres in sides, (N, M); infinite where the sizes differ too much."""
    a, b = np.array(boxes)[:, None], np.array(others)[None]  # (N, 1, 4), (1, M, 4)
    size_a, size_b = ((v[..., 2:] - v[..., :2]).max(-1) for v in (a, b))
    apart = np.linalg.norm((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2, axis=-1)
    larger, smaller = np.maximum(size_a, size_b), np.minimum(size_a, size_b)
    distance = apart / np.maximum(larger, 1e-6)
    distance[larger > _GROWTH * np.maximum(smaller, 1e-6)] = np.inf
    return np.asarray(distance)
