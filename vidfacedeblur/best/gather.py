"""What is kept of faces while they go by: the shots that may be the best of each, and how it looks.

What was gathered of frames that follow each other can be put together, as where a long video is
done in pieces. The best shot of a track is then the same. The others may be neighbours of those
that would have been kept of all the frames at once, and other looks be among those that are kept:
both are taken by what was there before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from vidfacedeblur.best.again import AWAY, EVERY, LOOKS, Look, is_near, look_of, looks_alike
from vidfacedeblur.best.quality import quality
from vidfacedeblur.best.shots import Picture, Shot, kept, pixels, region_of
from vidfacedeblur.events import GONE
from vidfacedeblur.types import Box, ByteImage, Face
from vidfacedeblur.work import Work

MOST = 3
"""Pictures of each track, unless asked for otherwise."""

_USUAL_RATE = 25
"""Frames per second where frames have no time."""


@dataclass
class Track:
    """What is remembered of a face in the picture."""

    numbers: list[int]
    """Its own, after those of tracks that it goes on with."""
    first: int
    """The frame that showed it first."""
    last: int
    """The frame that showed it last."""
    first_box: Box
    last_box: Box
    frames: int = 0
    shots: list[Shot] = field(default_factory=list)
    """Best first; one more than are wanted."""
    looks: list[Look] = field(default_factory=list)
    """Of sightings now and then, to know the face again."""

    def goes_on_with(self, gone: Track) -> bool:
        """Whether this is the face of a track that ended before it began."""
        away = self.first - gone.last
        if not 0 < away <= AWAY or not is_near(gone.last_box, self.first_box):
            return False
        return looks_alike(gone.looks, self.looks)

    def take_over(self, gone: Track, most: int) -> None:
        """Become one with a track of the same face that ended before."""
        self.numbers = gone.numbers + self.numbers
        self.first, self.first_box = gone.first, gone.first_box
        self._add(gone.frames, [*gone.shots, *self.shots], [*gone.looks, *self.looks], most)

    def go_on(self, later: Track, most: int) -> None:
        """Become one with the part of this track that was gathered of later frames."""
        self.last, self.last_box = later.last, later.last_box
        self._add(later.frames, [*self.shots, *later.shots], [*self.looks, *later.looks], most)

    def _add(self, frames: int, shots: list[Shot], looks: list[Look], most: int) -> None:
        self.frames += frames
        self.shots = kept(shots, most)
        self.looks = looks[-LOOKS:]


@dataclass
class Gathered:
    """What was gathered of frames that follow each other."""

    frames: int = 0
    """How many there were."""
    end: int = -1
    """Index of the last."""
    tracks: list[Track] = field(default_factory=list)
    """Those that may go on and those that have ended, in the order in which they began."""


@dataclass(frozen=True)
class _Before:
    """What is kept of a face before it is deblurred."""

    original: ByteImage | None = None
    """None where it cannot be among the best."""
    look: Look | None = None


class Gatherer:
    """Watches faces go by, and keeps what may be the best of each; a `Watcher`.

    Args:
        most: Shots of each track that are wanted.
        wall_of: When the frame with this index arrived, in seconds since 1970 (UTC).
    """

    def __init__(
        self, most: int, *, wall_of: Callable[[int], float | None] = lambda index: None
    ) -> None:
        self.most = most
        self.frames = 0
        """Frames that were shown, as far as they are done."""
        self.end = -1
        """Index of the last of them."""
        self.tracks: dict[int, Track] = {}
        """Those that go on, by number."""
        self.gone: list[Track] = []
        """Those that have ended, in that order."""
        self._wall_of = wall_of
        self._seen: dict[int, list[_Before]] = {}
        """Of the faces of frames that are being worked on, by the frame's index."""

    def before(self, work: Work) -> None:
        """Keep the original of each face that may be among the best."""
        self._seen[work.frame.index] = [self._before(face, work) for face in work.faces]

    def after(self, work: Work) -> None:
        """Take in the faces as they became; tracks end that were not seen for long."""
        index = work.frame.index
        self._pass(1, index)
        for face, seen in zip(work.faces, self._seen.pop(index), strict=True):
            if face.track is None:
                continue
            track = self.tracks.get(face.track)
            if track is None:
                track = Track([face.track], index, index, face.box, face.box)
                self.tracks[face.track] = track
            track.last, track.last_box = index, face.box
            track.frames += 1
            if seen.look is not None:
                track.looks = [*track.looks, seen.look][-LOOKS:]
            if seen.original is not None:
                self._take(track, face, seen.original, work)

    def gathered(self) -> Gathered:
        """All there is; nothing more may be shown."""
        tracks = sorted([*self.gone, *self.tracks.values()], key=lambda track: track.first)
        return Gathered(self.frames, self.end, tracks)

    def take_in(self, later: Gathered) -> None:
        """Go on with what was gathered of the frames that follow, by one that wanted no fewer."""
        for track in later.tracks:
            (number,) = track.numbers
            known = self.tracks.get(number)
            if known is not None and track.first - known.last <= GONE:
                known.go_on(track, self.most)
                continue
            if known is not None:
                self.end_tracks([number])
            self.tracks[number] = track
        self._pass(later.frames, later.end)

    def end_tracks(self, numbers: Iterable[int]) -> None:
        """Let tracks end."""
        self.gone += [self.tracks.pop(number) for number in numbers]
        self.gone.sort(key=lambda track: track.last)

    def _pass(self, frames: int, end: int) -> None:
        """Frames went by, `end` the last of them."""
        self.frames += frames
        self.end = end
        self.end_tracks([n for n, track in self.tracks.items() if end - track.last > GONE])

    def _before(self, face: Face, work: Work) -> _Before:
        """What is kept of a face as it came; where it is nothing, nothing is read."""
        if face.track is None:
            return _Before()
        track = self.tracks.get(face.track)
        wanted = track is None or self._may_be_best(track, face, work)
        due = track is None or track.frames % EVERY == 0
        if not (wanted or due):
            return _Before()
        region = region_of(face.box, work.canvas)
        image = pixels(work.canvas, region)
        look = look_of(face, region, image) if due else None
        return _Before(image if wanted else None, look)

    def _may_be_best(self, track: Track, face: Face, work: Work) -> bool:
        # What deblurring will make of it is not known yet.
        sharpest = 1.0 if face.weight > 0 else face.sharpness
        shot = Shot(face, quality(face, work.canvas, sharpest), _moment(work))
        return shot in kept([*track.shots, shot], self.most)

    def _take(self, track: Track, face: Face, original: ByteImage, work: Work) -> None:
        """Put a face among the best of its track, if it is."""
        sharp = face.sharpness_after if face.deblurred else face.sharpness
        shot = Shot(face, quality(face, work.canvas, sharp), _moment(work))
        if shot not in kept([*track.shots, shot], self.most):
            return
        frame, region = work.frame, region_of(face.box, work.canvas)
        picture = Picture(
            frame.index,
            frame.pts,
            _time(work),
            self._wall_of(frame.index),
            region,
            pixels(work.canvas, region),
            original,
        )
        track.shots = kept([*track.shots, replace(shot, picture=picture)], self.most)


def _time(work: Work) -> float | None:
    frame = work.frame
    return None if frame.pts is None else float(frame.pts * frame.time_base)


def _moment(work: Work) -> float:
    """The frame's time in seconds, or what it would usually be."""
    time = _time(work)
    return work.frame.index / _USUAL_RATE if time is None else time
