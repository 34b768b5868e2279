"""The values of the live path: frames with their times, and how a camera is doing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import av

from vidfacedeblur.types import FrameResult

_BACK = 1
"""Seconds by which a frame may seem older than the one before; more, and the clock was set."""
_AHEAD = 60
"""Seconds that frames which came together, after the network was away, may be apart."""
_PACE = Fraction(9, 10)
"""Of life's pace, or of the clock's: what runs so much slower is wrong, and no drift."""
_WAIT = Fraction(1, 2)
"""Most seconds from one frame to the next in which a clock is taken for one that stands still."""
_BEHIND = 2
"""Seconds that a clock may fall behind life before it is not believed any more."""

State = Literal["connecting", "live", "waiting", "closed"]


@dataclass(frozen=True)
class LiveFrame:
    """A decoded picture of a camera."""

    picture: av.VideoFrame
    pts: int | None
    """The stream's own time, in units of `time_base`; begins anew with each connection."""
    time_base: Fraction
    arrived: float
    """When its packet came, on the clock of `time.monotonic`."""
    wall: float
    """The same in seconds since 1970, UTC, by this machine's clock."""
    epoch: int
    """Number of the connection, from 1; frames of different ones do not belong together."""
    corrupt: bool = False
    """The decoder had to conceal damage."""


@dataclass(frozen=True)
class LiveResult:
    """A finished frame of a camera."""

    result: FrameResult
    """Its `image` is the `av.VideoFrame`; outputs share it, and must not change it."""
    frame: LiveFrame
    latency: float
    """Seconds from the packet's arrival until the frame was finished."""


class StreamClock:
    """Times of a connection's frames in seconds: the stream's, or of arrival where it has none.

    Where the stream's clock is set back, as that of MPEG-TS each 26.5 hours, or far ahead, the
    times go on by those of arrival. So they do for good where it stands still, or runs at another
    pace than life, as that of a camera that counts 25 frames a second and sends 12.
    """

    def __init__(self) -> None:
        self._time: Fraction | None = None  # of the frame before ...
        self._arrived = Fraction(0)
        self._own: Fraction | None = None  # ... as the stream says
        self._behind = self._ahead = Fraction(0)  # of life: seconds that add up
        self._runs = True

    def time(self, result: LiveResult) -> Fraction:
        """When a frame was taken, on a clock that begins anywhere; again for the same, the same."""
        frame = result.frame
        own = None if frame.pts is None else frame.pts * frame.time_base
        arrived = Fraction(round(frame.arrived * 90_000), 90_000)
        self._time = arrived if self._time is None else self._time + self._step(own, arrived)
        self._own, self._arrived = own, arrived
        return self._time

    def _step(self, own: Fraction | None, arrived: Fraction) -> Fraction:
        """Seconds since the frame before."""
        passed = arrived - self._arrived
        if own is None or self._own is None:
            return passed
        step = own - self._own
        if not -_BACK < step < passed + _AHEAD:
            return passed
        # What the network held back comes late, but then all at once: the wait counts little.
        self._behind = max(Fraction(0), self._behind + _PACE * min(passed, _WAIT) - step)
        self._ahead = max(Fraction(0), self._ahead + _PACE * step - passed)
        self._runs = self._runs and self._behind < _BEHIND and self._ahead < _AHEAD
        return step if self._runs else passed


@dataclass(frozen=True)
class Health:
    """How a camera is doing. Counters run since the source was made.

    `decoded` is `delivered` + `dropped` + the few that are in the queue.
    """

    state: State
    reason: str = ""
    """Why it is not live; the last reason where it is."""
    epoch: int = 0
    """Connections so far that gave a picture."""
    attempts: int = 0
    """Times that a connection was tried."""
    reconnects: int = 0
    """Connections that were lost after they had given a picture."""
    packets: int = 0
    """Packets of the video that came."""
    decoded: int = 0
    """Pictures that were decoded, and offered to who asks."""
    delivered: int = 0
    """Of them, those that were taken."""
    dropped: int = 0
    """Of them, those that were replaced by newer ones before anybody took them."""
    late: int = 0
    """Packets thrown away undecoded, since the decoder was too far behind."""
    skipped: int = 0
    """Packets thrown away while a clean key frame was awaited."""
    damaged: int = 0
    """Packets that could not be decoded, and pictures with concealed damage."""
    abandoned: int = 0
    """Connections that did not end when told to; their threads end when the system lets them."""
