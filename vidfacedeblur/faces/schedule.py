"""When to look for faces everywhere, and when only where they are expected.

The whole detector searches key frames: the first, every few frames, and at a cut. In between, known
faces are confirmed where they should be; where one is lost, faces of its size are searched for.
Where frames may be held back, a face that turns up is followed backwards too, to the frame on which
it came in, and one that was seen a single time and not confirmed on a neighbouring frame is taken
for a mistake. Doubtful faces are followed like sure ones, and count from the first time that they
were sure: a face that is hard to see on a key frame may be plain on the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.faces.boxes import iou
from vidfacedeblur.faces.cuts import Cuts
from vidfacedeblur.faces.detect import MtcnnDetector
from vidfacedeblur.faces.follow import confirm
from vidfacedeblur.faces.recent import Recent
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.faces.track import Tracker
from vidfacedeblur.types import Box, Canvas, Face

EVERY = 5
"""Frames from one key frame to the next, unless something happens ..."""
_SELDOM = 8
"""... and where nothing has happened for some time."""
_LARGER = 1.5
"""Where a face is lost, faces down to its height divided by this are searched for at once."""
_PATIENCE = 3
"""Frames for which a lost face is still looked for where it should be."""
_FOLLOWED = 0.7
"""Least probability of a known face where it is expected, and of a doubtful one anywhere."""
_SAME = 0.4
"""Overlap from which on two boxes show one face."""


@dataclass
class _Held:
    """A frame whose faces may still change."""

    canvas: Canvas
    scene: int
    faces: list[Face] = field(default_factory=list)


@dataclass(frozen=True)
class _Known:
    """What is remembered of a face."""

    seen: int = 0
    """Frames that showed it."""
    missed: bool = False
    """It was looked for in vain at least once."""
    sure: bool = False
    """It was seen well enough at least once."""


class FaceFinder:
    """Finds the faces of a video, frame by frame.

    Args:
        detector: Searches key frames; its last network confirms.
        options: How small and how sure faces must be, and how far key frames lie apart.
        holds_back: Frames that may wait for the next key frame, so that faces are complete.
    """

    def __init__(
        self, detector: MtcnnDetector, options: FaceOptions, *, holds_back: int = 0
    ) -> None:
        self._detector = detector
        self._options = options
        self._every = options.detect_every or EVERY
        self._seldom = options.detect_every or _SELDOM
        if holds_back and options.detect_every is None:
            self._every = min(self._every, holds_back)
            self._seldom = min(self._seldom, holds_back)
        self._wait = self._every
        self._holds_back = holds_back
        self._tracker = Tracker()
        self._held: list[_Held] = []
        self._count = 0
        self._key = 0  # number of the last key frame
        self._scene = 0  # of the first frame since the last cut
        self._cuts = Cuts()
        self._known: Recent[_Known] = Recent()
        self._last: set[int] = set()  # on the frame before
        self._plain: set[int] = set()  # there, and well enough

    def push(self, canvas: Canvas) -> list[Found]:
        """Take the next frame's canvas, before anything is changed on it.

        Returns:
            The faces of each frame that is settled, in order: of this one alone where nothing is
            held back, else of those before this one if it is a key frame.
        """
        number = self._count
        self._count += 1
        self._known.next_frame()
        cut = self._cuts.is_cut(canvas)
        if cut:
            self._tracker.reset()
            self._scene = number
        known = self._tracker.expected(number, within=_PATIENCE)
        if cut or number == 0 or number - self._key >= self._wait:
            return self._on_key_frame(number, canvas, known)
        faces = self._confirmed(canvas, known)
        lost = self._plain - {face.track for face in faces}
        if lost:
            # A search for large faces only costs little.
            smallest = min(box.height for n, box in known if n in lost) / _LARGER
            found = self._search(canvas, at_least=round(smallest))
            faces = found + [face for face in faces if not _overlaps(face.box, found)]
        faces = self._tracker.update(number, faces)
        return self._settle(number, canvas, faces, key=False)

    def flush(self) -> list[Found]:
        """The faces of the frames that are still held back."""
        return self._released(len(self._held))

    def _released(self, count: int) -> list[Found]:
        """The faces of the first frames that are held back."""
        released, self._held = self._held[:count], self._held[count:]
        return [Found(self._kept(held.faces), held.scene) for held in released]

    def _search(self, canvas: Canvas, *, at_least: int = 0) -> list[Face]:
        """What the whole detector finds."""
        smallest = self._options.min_face_for(canvas.width, canvas.height)
        return self._detector.detect(
            canvas.rgb(), min_face=max(smallest, at_least), min_score=self._least
        )

    def _on_key_frame(
        self, number: int, canvas: Canvas, known: Sequence[tuple[int, Box]]
    ) -> list[Found]:
        self._key = number
        found = self._search(canvas)
        missed = [(n, box) for n, box in known if not _overlaps(box, found)]
        more = [f for f in self._confirmed(canvas, missed) if not _overlaps(f.box, found)]
        faces = self._tracker.update(number, found + more)
        new = any(face.track not in self._last for face in faces)
        self._wait = self._every if new or missed else min(self._wait + 1, self._seldom)
        return self._settle(number, canvas, faces, key=True)

    def _settle(self, number: int, canvas: Canvas, faces: list[Face], *, key: bool) -> list[Found]:
        for face in faces:
            self._remember(face)
        least = self._options.min_score
        self._last = {face.track or 0 for face in faces}
        self._plain = {face.track or 0 for face in faces if face.score >= least}
        if not self._holds_back:
            return [Found(self._kept(faces), self._scene)]
        if self._held:
            before = {face.track for face in self._held[-1].faces}
            for face in faces:
                if face.track not in before:
                    self._fill_backwards(number, face)
        too_many = max(0, len(self._held) + 1 - self._holds_back)
        settled = self._released(len(self._held) if key else too_many)
        self._held.append(_Held(canvas, self._scene, faces))
        return settled

    def _confirmed(self, canvas: Canvas, known: Sequence[tuple[int, Box]]) -> list[Face]:
        """The known faces that are where they are expected, with their numbers, each once."""
        boxes = [box for _, box in known]
        found = confirm(self._detector, canvas, boxes, min_score=self._least)
        pairs = [(n, face) for (n, _), face in zip(known, found, strict=True) if face]
        for track in {n for n, _ in known} - {n for n, _ in pairs}:
            self._note_miss(track)
        faces: list[Face] = []
        for track, face in sorted(pairs, key=lambda pair: -pair[1].score):
            if not _overlaps(face.box, faces):
                faces.append(replace(face, track=track))
        return faces

    def _fill_backwards(self, number: int, face: Face) -> None:
        """Follow a face that the frame before does not show to where it came in."""
        for back, held in enumerate(reversed(self._held), 1):
            if number - back < self._scene or any(f.track == face.track for f in held.faces):
                return
            (before,) = confirm(self._detector, held.canvas, [face.box], min_score=self._least)
            if before is None or _overlaps(before.box, held.faces):
                self._note_miss(face.track)
                return
            face = replace(before, track=face.track)
            held.faces.append(face)
            self._remember(face)

    def _remember(self, face: Face) -> None:
        before = self._known.get(face.track, _Known())
        sure = before.sure or face.score >= self._options.min_score
        self._known.set(face.track, replace(before, seen=before.seen + 1, sure=sure))

    def _note_miss(self, track: int | None) -> None:
        self._known.set(track, replace(self._known.get(track, _Known()), missed=True))

    def _kept(self, faces: list[Face]) -> list[Face]:
        """Those that were sure once, but for what was seen once, and looked for and not found."""
        return [face for face in faces if self._is_kept(self._known.get(face.track, _Known()))]

    @staticmethod
    def _is_kept(known: _Known) -> bool:
        return known.sure and (known.seen > 1 or not known.missed)

    @property
    def _least(self) -> float:
        return min(_FOLLOWED, self._options.min_score)


def _overlaps(box: Box, faces: Sequence[Face]) -> bool:
    if not faces:
        return False
    others: NDArray[np.float32] = np.array([face.box for face in faces], np.float32)
    return bool((iou(np.array([box], np.float32), others) > _SAME).any())
