"""Which of the faces found are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from vidfacedeblur.config import FaceOptions, Rectangle
from vidfacedeblur.faces.recent import Recent
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.types import Face

_SLOWNESS = 0.9
"""Share of a face's remembered size that stays each frame, so that the largest changes rarely."""


class Selector:
    """Chooses faces by place and size; one for each video or stream.

    Args:
        options: Which faces are wanted.
    """

    def __init__(self, options: FaceOptions) -> None:
        self._options = options
        self._sizes: Recent[float] = Recent()

    def __call__(self, found: Found) -> Found:
        """Leave out the faces of a frame that are not wanted."""
        faces = [face for face in found.faces if self._is_in_place(face)]
        if self._options.most is not None:
            faces = self._largest(faces, self._options.most)
        return Found(faces, found.scene)

    def _is_in_place(self, face: Face) -> bool:
        wanted = self._options.regions
        return (not wanted or _is_in(face, wanted)) and not _is_in(face, self._options.exclude)

    def _largest(self, faces: Sequence[Face], count: int) -> list[Face]:
        for face in faces:
            size = face.box.width * face.box.height
            before = self._sizes.get(face.track, size)
            self._sizes.set(face.track, _SLOWNESS * before + (1 - _SLOWNESS) * size)
        self._sizes.next_frame()
        ranked = sorted(faces, key=lambda face: -self._sizes.get(face.track, 0))
        return ranked[:count]


def _is_in(face: Face, regions: Sequence[Rectangle]) -> bool:
    """Whether the face's middle is in one of the regions."""
    x, y = face.box.centre
    return any(
        left <= x < left + width and top <= y < top + height for left, top, width, height in regions
    )
