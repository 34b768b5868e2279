"""Who is in the picture, told as it happens: events as a face comes, stays and goes.

An event is a dictionary that JSON can hold; ``events.schema.json``, beside this file, describes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from vidfacedeblur.errors import OptionError
from vidfacedeblur.types import STAGES, Box, Face, FrameResult

SCHEMA = 1
"""Version of the events' form; rises when a field changes its meaning or goes."""

GONE = 11
"""Frames from one sighting to the next up to which it is one track: the tracker knows a face again
that was missing for 10 frames, and gives one that was missing for longer a new number."""
_EARLY = 1e-6
"""Seconds by which an event may be early, for what rounding does to sums of times."""

Values = dict[str, Any]
Kind = Literal["start", "interval", "end"]
Reason = Literal["gone", "flush"]


@dataclass(frozen=True)
class _Sighting:
    """A face on a frame."""

    face: Face
    result: FrameResult
    wall: float | None

    @property
    def rank(self) -> tuple[float, float]:
        """The higher, the better the face can be seen: by sharpness, then by area."""
        box = self.face.box
        return _after(self.face) or 0.0, box.width * box.height


@dataclass
class _Track:
    """What is remembered of a face in the picture; as much after a day as after a second."""

    first: _Sighting
    last: _Sighting
    best: _Sighting
    due: float
    """When the next event is told, on the clock of `_clock`."""
    frames: int = 0
    deblurred: int = 0

    def see(self, sighting: _Sighting) -> None:
        self.last = sighting
        self.frames += 1
        self.deblurred += sighting.face.deblurred
        if sighting.rank > self.best.rank:
            self.best = sighting

    def is_due(self, interval: float) -> bool:
        """Whether an event is told of this sighting; if so, the next is an interval later."""
        now = _clock(self.last)
        if interval == 0 or now is None:
            return interval == 0
        wait = self.due - now
        if _EARLY < wait <= interval + _EARLY:
            return False
        # On the same beat, however late this frame is, or far back the clock was set.
        self.due += interval * (1 + math.floor((_EARLY - wait) / interval))
        return True


class TrackEvents:
    """Tells of each face as it comes, once an interval while it stays, and as it goes.

    Faces without a track number are left out. A number that comes back after its face was gone
    starts again. Not safe to share between threads.

    Args:
        tell: Called with each event; what it raises is raised by `add` and `flush`.
        source: What the events call the video or camera.
        interval: Seconds from one event of a face to the next, by the wall clock where frames have
            one and else by their pts; without either there are none in between. 0, or less than a
            frame: one for each frame. `math.inf`: none in between.

    Raises:
        OptionError: The interval is negative or not a number.
    """

    def __init__(
        self, tell: Callable[[Values], None], *, source: str, interval: float = 1.0
    ) -> None:
        if not interval >= 0:
            raise OptionError(f"an interval must be 0 or more seconds, got {interval:g}")
        self._tell = tell
        self._source = source
        self._interval = interval
        self._tracks: dict[int, _Track] = {}

    def add(self, result: FrameResult, *, wall: float | None = None) -> None:
        """Take in the next frame.

        Args:
            result: The frame's faces; its `index` is higher than that of the call before.
            wall: When the frame arrived from a camera, in seconds since 1970 (UTC).
        """
        gone = [n for n, t in self._tracks.items() if result.index - t.last.result.index > GONE]
        for number in gone:
            self._end(number, "gone")
        # The picture is not needed, and would be held for as long as its faces are.
        bare = FrameResult(result.index, result.pts, result.time_base, (), result.timing)
        for face in result.faces:
            if face.track is not None:
                self._see(face.track, _Sighting(face, bare, wall))

    def flush(self) -> None:
        """All tracks end: the file ended, or the camera went away."""
        for number in list(self._tracks):
            self._end(number, "flush")

    def _see(self, number: int, sighting: _Sighting) -> None:
        track = self._tracks.get(number)
        if track is None:
            due = (_clock(sighting) or 0.0) + self._interval
            track = self._tracks[number] = _Track(sighting, sighting, sighting, due)
            track.see(sighting)
            self._tell(self._event("start", track))
            return
        track.see(sighting)
        if track.is_due(self._interval):
            self._tell(self._event("interval", track) | _history(track))

    def _end(self, number: int, reason: Reason) -> None:
        track = self._tracks.pop(number)
        self._tell(self._event("end", track) | _history(track) | {"reason": reason})

    def _event(self, kind: Kind, track: _Track) -> Values:
        """What every event says: of the track's last sighting."""
        face, result = track.last.face, track.last.result
        return {
            "schema": SCHEMA,
            "event": kind,
            "source": self._source,
            "track": face.track,
            "frame": result.index,
            "pts": result.pts,
            "time": _rounded(result.time, 6),
            "wall": wall_text(track.last.wall),
            "box": _box(face.box),
            "landmarks": face.landmarks and [[round(v, 2) for v in p] for p in face.landmarks],
            "score": _rounded(face.score),
            "weight": _rounded(face.weight),
            "sharpness": _rounded(face.sharpness),
            "sharpness_after": _rounded(face.sharpness_after),
            "deblurred": face.deblurred,
            "timing": {s: round(getattr(result.timing, s), 3) for s in (*STAGES, "total")},
        }


def _history(track: _Track) -> Values:
    """What events after the first say of the track as a whole."""
    first, best = track.first, track.best
    return {
        "frames": track.frames,
        "deblurred_frames": track.deblurred,
        "first_time": _rounded(first.result.time, 6),
        "first_wall": wall_text(first.wall),
        "best": {
            "frame": best.result.index,
            "time": _rounded(best.result.time, 6),
            "wall": wall_text(best.wall),
            "box": _box(best.face.box),
            "sharpness": _rounded(best.face.sharpness),
            "sharpness_after": _rounded(best.face.sharpness_after),
        },
    }


def _clock(sighting: _Sighting) -> float | None:
    """Seconds by which intervals are measured."""
    return sighting.wall if sighting.wall is not None else sighting.result.time


def _after(face: Face) -> float | None:
    """Sharpness as the face is now."""
    return face.sharpness_after if face.deblurred else face.sharpness


def wall_text(wall: float | None) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds."""
    if wall is None:
        return None
    return datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _box(box: Box) -> list[float]:
    return [round(value, 2) for value in box]


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)
