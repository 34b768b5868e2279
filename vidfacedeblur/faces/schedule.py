"""When to look for faces everywhere, and when only where they are expected.

The whole detector searches key frames: the first, every few frames, and at a cut. In between, known
faces are confirmed where they should be; where one is lost, the whole detector searches around it.

Where frames may be held back, a face that is missed for a few frames is put there, between its
places before and after; one that turns up is followed backwards to the frame on which it came in;
and one that was seen a single time and not confirmed on a neighbouring frame is taken for a
mistake. Doubtful faces are followed like sure ones, and count while they are sure often enough: a
face that is hard to see on a key frame may be plain on the next. The last network alone is easily
persuaded by what looks like a face, so the whole detector must once have found it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.faces.boxes import iou
from vidfacedeblur.faces.crop import crop_square, visible
from vidfacedeblur.faces.cuts import Cuts
from vidfacedeblur.faces.detect import MtcnnDetector
from vidfacedeblur.faces.follow import confirm
from vidfacedeblur.faces.recent import Recent
from vidfacedeblur.faces.steady import Found
from vidfacedeblur.faces.track import Tracker
from vidfacedeblur.types import Box, Canvas, Face, Region

EVERY = 5
"""Frames from one key frame to the next, unless something happens ..."""
_SELDOM = 8
"""... and where nothing has happened for some time."""
_USUAL = 1_440_000
"""Pixels above which a search costs so much that key frames lie further apart."""
_AROUND = 1.5
"""Where a face is lost, so many times its size on each side are searched at once ..."""
_LARGER = 1.5
"""... for faces down to its height divided by this."""
_PATIENCE = 3
"""Frames for which a lost face is still looked for where it should be."""
_BRIDGED = 4
"""Frames on which a face is put unseen, if it was seen before and after."""
_FOLLOWED = 0.7
"""Least probability of a known face where it is expected, and of a doubtful one anywhere."""
_OFTEN = 0.3
"""Share of its frames on which a face must be sure; patterns that look like one seldom are."""
_INSISTS = 4
"""Frames on which the last network alone must be sure, where the whole detector never was."""
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
    sure: int = 0
    """Of them, those that showed it well enough."""
    found: bool = False
    """The whole detector found it, and not its last network alone where it was expected."""


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
        self._wait = 0
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
        self._look_again(faces, canvas)
        lost = self._plain - {face.track for face in faces}
        around: list[Face] = []
        if lost:
            near = self._searched_around([box for n, box in known if n in lost], canvas)
            around = [face for face in near if not _overlaps(face.box, faces)]
        faces = self._tracker.update(number, around + faces)
        self._note_found(faces[: len(around)])
        return self._settle(number, canvas, faces, key=False)

    def _look_again(self, faces: Sequence[Face], canvas: Canvas) -> None:
        """Search around faces that only the last network was sure of so far."""
        for face in faces:
            known = self._known.get(face.track, _Known())
            if face.score >= self._options.min_score and not known.found:
                around = self._searched_around([face.box], canvas)
                found = _overlaps(face.box, around)
                self._known.set(face.track, replace(known, found=found))

    def _next_wait(self, canvas: Canvas, *, calm: bool) -> int:
        """Frames from this key frame to the next."""
        if self._options.detect_every:
            return self._options.detect_every
        dearer = math.sqrt(canvas.width * canvas.height / _USUAL)
        soonest = min(max(EVERY, round(EVERY * dearer)), _SELDOM)
        wait = max(self._wait + 1, soonest) if calm else soonest
        return min(wait, _SELDOM, self._holds_back or _SELDOM)

    def flush(self) -> list[Found]:
        """The faces of the frames that are still held back; the next begins another scene."""
        self._cuts.end()
        return self._released(len(self._held))

    def _released(self, count: int) -> list[Found]:
        """The faces of the first frames that are held back."""
        released, self._held = self._held[:count], self._held[count:]
        return [Found(self._kept(held.faces), held.scene) for held in released]

    def _search(self, canvas: Canvas) -> list[Face]:
        """What the whole detector finds."""
        smallest = self._options.min_face_for(canvas.width, canvas.height)
        return self._detector.detect(canvas.rgb(), min_face=smallest, min_score=self._least)

    def _searched_around(self, boxes: Sequence[Box], canvas: Canvas) -> list[Face]:
        """What the whole detector finds near where faces were, of their size and up, each once."""
        smallest = self._options.min_face_for(canvas.width, canvas.height)
        image = canvas.rgb()
        faces: list[Face] = []
        for box in boxes:
            place = visible(Region(*map(round, crop_square(box, margin=_AROUND))), canvas)
            if place.width <= 0 or place.height <= 0:
                continue
            part = image[place.y0 : place.y1, place.x0 : place.x1]
            least = max(smallest, round(box.height / _LARGER))
            found = self._detector.detect(part, min_face=least, min_score=self._least)
            moved = [_shifted(face, place.x0, place.y0) for face in found]
            faces += [face for face in moved if not _overlaps(face.box, faces)]
        return faces

    def _on_key_frame(
        self, number: int, canvas: Canvas, expected: Sequence[tuple[int, Box]]
    ) -> list[Found]:
        self._key = number
        found = self._search(canvas)
        missed = [(n, box) for n, box in expected if not _overlaps(box, found)]
        more = [f for f in self._confirmed(canvas, missed) if not _overlaps(f.box, found)]
        faces = self._tracker.update(number, found + more)
        self._note_found(faces[: len(found)])
        new = any(face.track not in self._last for face in faces)
        self._wait = self._next_wait(canvas, calm=not (new or missed))
        return self._settle(number, canvas, faces, key=True)

    def _settle(self, number: int, canvas: Canvas, faces: list[Face], *, key: bool) -> list[Found]:
        for face in faces:
            self._remember(face)
        least = self._options.min_score
        self._last = {face.track or 0 for face in faces}
        self._plain = {face.track or 0 for face in faces if face.score >= least}
        if not self._holds_back:
            return [Found(self._kept(faces), self._scene)]
        for face in faces:
            gap = self._frames_since(number, face.track)
            if gap is not None and gap <= _BRIDGED + 1:
                self._bridge(face, gap)
            else:
                self._fill_backwards(number, face)
        too_many = max(0, len(self._held) + 1 - self._holds_back)
        settled = self._released(len(self._held) if key else too_many)
        self._held.append(_Held(canvas, self._scene, faces))
        return settled

    def _confirmed(self, canvas: Canvas, known: Sequence[tuple[int, Box]]) -> list[Face]:
        """The known faces that are where they are expected, with their numbers, each once."""
        boxes = [box for _, box in known]
        found = confirm(self._detector, canvas, boxes, min_score=self._least)
        pairs = [(n, box, face) for (n, box), face in zip(known, found, strict=True) if face]
        for track in {n for n, _ in known} - {n for n, _, _ in pairs}:
            self._note_miss(track)
        faces: list[Face] = []
        # A face that is found twice is whose place it fits best, and not a neighbour's.
        for track, _, face in sorted(pairs, key=lambda pair: -_fit(*pair[1:])):
            if not _overlaps(face.box, faces):
                faces.append(replace(face, track=track))
        return faces

    def _frames_since(self, number: int, track: int | None) -> int | None:
        """Frames since a face was last seen, of those held back and of this scene."""
        for back, held in enumerate(reversed(self._held), 1):
            if number - back < self._scene:
                return None
            if any(face.track == track for face in held.faces):
                return back
        return None

    def _bridge(self, face: Face, gap: int) -> None:
        """Put a face where it must have been on frames between two that show it."""
        before = next(f for f in self._held[-gap].faces if f.track == face.track)
        for back in range(1, gap):
            between = _between(face, before, back / gap)
            if not _overlaps(between.box, self._held[-back].faces):
                self._held[-back].faces.append(between)

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
        sure = face.score >= self._options.min_score
        counted = replace(before, seen=before.seen + 1, sure=before.sure + sure)
        self._known.set(face.track, counted)

    def _note_found(self, faces: Sequence[Face]) -> None:
        """Remember faces that the whole detector was sure of."""
        for face in faces:
            known = self._known.get(face.track, _Known())
            sure = face.score >= self._options.min_score
            self._known.set(face.track, replace(known, found=known.found or sure))

    def _note_miss(self, track: int | None) -> None:
        self._known.set(track, replace(self._known.get(track, _Known()), missed=True))

    def _kept(self, faces: list[Face]) -> list[Face]:
        """Those that are sure often enough, but for what was seen once, and missed."""
        return [face for face in faces if self._is_kept(self._known.get(face.track, _Known()))]

    @staticmethod
    def _is_kept(known: _Known) -> bool:
        often = known.sure >= max(1.0, _OFTEN * known.seen)
        credible = known.found or known.sure >= _INSISTS
        return credible and often and (known.seen > 1 or not known.missed)

    @property
    def _least(self) -> float:
        return min(_FOLLOWED, self._options.min_score)


def _between(face: Face, other: Face, share: float) -> Face:
    """A face on its way to another place, a share of which is done."""
    mixed = [a + share * (b - a) for a, b in zip(face.box, other.box, strict=True)]
    points = None
    if face.landmarks and other.landmarks:
        pairs = zip(face.landmarks, other.landmarks, strict=True)
        points = tuple((x + share * (u - x), y + share * (v - y)) for (x, y), (u, v) in pairs)
    score = min(face.score, other.score)
    return replace(face, box=Box(*mixed), landmarks=points, score=score)


def _shifted(face: Face, x: int, y: int) -> Face:
    box = Box(face.box.x0 + x, face.box.y0 + y, face.box.x1 + x, face.box.y1 + y)
    points = tuple((px + x, py + y) for px, py in face.landmarks or ())
    return replace(face, box=box, landmarks=points or None)


def _fit(expected: Box, face: Face) -> float:
    """How well a face is where it was expected."""
    return float(iou(np.array(expected, np.float32), np.array(face.box, np.float32)))


def _overlaps(box: Box, faces: Sequence[Face]) -> bool:
    if not faces:
        return False
    others: NDArray[np.float32] = np.array([face.box for face in faces], np.float32)
    return bool((iou(np.array([box], np.float32), others) > _SAME).any())
