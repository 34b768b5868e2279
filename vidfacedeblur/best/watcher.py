"""`BestFaces`: watches faces go by, and keeps the best pictures of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vidfacedeblur.best.again import (
    AWAY,
    EVERY,
    LOOKS,
    Look,
    is_near,
    look_of,
    looks_alike,
)
from vidfacedeblur.best.files import FaceFiles
from vidfacedeblur.best.quality import quality
from vidfacedeblur.best.shots import Picture, Shot, chosen, kept, pixels, region_of
from vidfacedeblur.errors import OptionError
from vidfacedeblur.events import GONE
from vidfacedeblur.types import Box, ByteImage, Face
from vidfacedeblur.work import Work

_USUAL_RATE = 25
"""Frames per second where frames have no time."""


@dataclass
class _Track:
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

    def goes_on_with(self, gone: _Track) -> bool:
        """Whether this is the face of a track that ended before it began."""
        away = self.first - gone.last
        if not 0 < away <= AWAY or not is_near(gone.last_box, self.first_box):
            return False
        return looks_alike(gone.looks, self.looks)

    def take_over(self, gone: _Track, most: int) -> None:
        self.numbers = gone.numbers + self.numbers
        self.first, self.first_box = gone.first, gone.first_box
        self.frames += gone.frames
        self.shots = kept([*gone.shots, *self.shots], most)
        self.looks = [*gone.looks, *self.looks][-LOOKS:]


@dataclass(frozen=True)
class _Before:
    """What is kept of a face before it is deblurred."""

    original: ByteImage | None = None
    """None where it cannot be among the best."""
    look: Look | None = None


class BestFaces:
    """Keeps the best pictures of each face, and writes them when the face is gone; a `Watcher`.

    They are at least half a second apart, and fewer where others would be much worse. How they are
    compared is said in `best.quality`, what is written in `best.files`. Close it when all frames
    were shown. Not safe to share between threads.

    Args:
        folder: Made when there is something to write.
        source: What the video or camera is called.
        most: Pictures of each track.
        provenance: What is done, as `FaceDeblurPipeline.provenance` says.
        wall_of: When the frame with this index arrived, in seconds since 1970 (UTC); asked while
            the frame is worked on.
        min_frames: Tracks that are shorter are only counted, unless the whole video is.
        overwrite: Remove the pictures of faces that are there, when the first frame comes.

    Raises:
        OptionError: A number is less than 1.
        OutputExistsError: The folder holds pictures of faces, and may not be overwritten.
        OutputError: The folder is a file, or cannot be looked into.
    """

    def __init__(
        self,
        folder: Path,
        *,
        source: str,
        most: int = 3,
        provenance: Mapping[str, Any] | None = None,
        wall_of: Callable[[int], float | None] = lambda index: None,
        min_frames: int = 3,
        overwrite: bool = False,
    ) -> None:
        if most < 1 or min_frames < 1:
            raise OptionError(f"most and min_frames must be 1 or more, got {most}, {min_frames}")
        self._files = FaceFiles(
            folder, source=source, provenance=provenance or {}, overwrite=overwrite
        )
        self._most = most
        self._wall_of = wall_of
        self._min_frames = min_frames
        self._frames = 0
        self._tracks: dict[int, _Track] = {}
        self._gone: list[_Track] = []
        """Tracks that have ended, and may go on under another number; in that order."""
        self._seen: dict[int, list[_Before]] = {}
        """Of the faces of frames that are being worked on, by the frame's index."""
        self.tracks = 0
        """Tracks that were written."""
        self.short = 0
        """Tracks that were too short to be."""
        self.pictures = 0
        """Pictures that were written, not counting the originals beside them."""

    def before(self, work: Work) -> None:
        """Keep the original of each face that may be among the best."""
        self._files.clear()
        self._seen[work.frame.index] = [self._before(face, work) for face in work.faces]

    def after(self, work: Work) -> None:
        """Take in the faces as they became; write tracks that have ended.

        Raises:
            OutputError: A picture cannot be written.
        """
        index = work.frame.index
        self._frames += 1
        self._end([n for n, track in self._tracks.items() if index - track.last > GONE])
        while self._gone and index - self._gone[0].last > AWAY + GONE:
            self._settle(self._gone.pop(0))
        for face, seen in zip(work.faces, self._seen.pop(index), strict=True):
            if face.track is None:
                continue
            track = self._tracks.get(face.track)
            if track is None:
                track = _Track([face.track], index, index, face.box, face.box)
                self._tracks[face.track] = track
            track.last, track.last_box = index, face.box
            track.frames += 1
            if seen.look is not None:
                track.looks = [*track.looks, seen.look][-LOOKS:]
            if seen.original is not None:
                self._take(track, face, seen.original, work)

    def flush(self) -> None:
        """All tracks end, as the camera went away; more may follow.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._end(list(self._tracks))
        while self._gone:
            self._settle(self._gone.pop(0))

    def close(self) -> None:
        """All tracks end. May be called more than once.

        Raises:
            OutputError: A picture cannot be written.
        """
        self._files.clear()  # also where there was no frame
        self.flush()

    def _before(self, face: Face, work: Work) -> _Before:
        """What is kept of a face as it came; where it is nothing, nothing is read."""
        if face.track is None:
            return _Before()
        track = self._tracks.get(face.track)
        wanted = track is None or self._may_be_best(track, face, work)
        due = track is None or track.frames % EVERY == 0
        if not (wanted or due):
            return _Before()
        region = region_of(face.box, work.canvas)
        image = pixels(work.canvas, region)
        look = look_of(face, region, image) if due else None
        return _Before(image if wanted else None, look)

    def _may_be_best(self, track: _Track, face: Face, work: Work) -> bool:
        # What deblurring will make of it is not known yet.
        sharpest = 1.0 if face.weight > 0 else face.sharpness
        shot = Shot(face, quality(face, work.canvas, sharpest), _moment(work))
        return shot in kept([*track.shots, shot], self._most)

    def _take(self, track: _Track, face: Face, original: ByteImage, work: Work) -> None:
        """Put a face among the best of its track, if it is."""
        sharp = face.sharpness_after if face.deblurred else face.sharpness
        shot = Shot(face, quality(face, work.canvas, sharp), _moment(work))
        if shot not in kept([*track.shots, shot], self._most):
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
        track.shots = kept([*track.shots, replace(shot, picture=picture)], self._most)

    def _end(self, numbers: Iterable[int]) -> None:
        self._gone += [self._tracks.pop(number) for number in numbers]
        self._gone.sort(key=lambda track: track.last)

    def _settle(self, gone: _Track) -> None:
        """Write a track that has ended, unless its face was seen again under another number."""
        for later in (*self._gone, *self._tracks.values()):
            if later.goes_on_with(gone):
                later.take_over(gone, self._most)
                return
        # Of a still picture, every face counts.
        if gone.frames < min(self._min_frames, self._frames):
            self.short += 1
            return
        shots = chosen(gone.shots, self._most)
        self._files.write(gone.numbers, shots)
        self.tracks += 1
        self.pictures += len(shots)


def _time(work: Work) -> float | None:
    frame = work.frame
    return None if frame.pts is None else float(frame.pts * frame.time_base)


def _moment(work: Work) -> float:
    """The frame's time in seconds, or what it would usually be."""
    time = _time(work)
    return work.frame.index / _USUAL_RATE if time is None else time
