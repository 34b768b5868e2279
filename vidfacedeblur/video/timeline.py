"""Time, as it has to be: every picture has one, none runs backwards, a cut starts at zero."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from heapq import heappop, heappush
from typing import Any

import av
from av.stream import Disposition

_JUMP = 1
"""Seconds of running backwards from which on the clock was reset, and not merely unsteady."""


class Timeline:
    """Gives every picture a time, in units of `time_base`.

    A missing time is the last one plus a step. A clock that was reset, as where two recordings are
    joined, goes on from where it was. A picture a little too early is put one tick after the last.
    Equal times are left alone: some containers hold them.
    """

    def __init__(self, time_base: Fraction, step: int) -> None:
        self.guessed = 0
        """Pictures without a time of their own."""
        self.moved = 0
        """Pictures whose time ran backwards."""
        self._time_base = time_base
        self._step = step
        self._last: int | None = None
        self._offset = 0
        self._offset_before = 0

    def place(self, pts: int | None) -> int:
        """The time of the next picture, whose own is `pts`."""
        if pts is None:
            self.guessed += 1
            now = 0 if self._last is None else self._last + self._step
        else:
            now = pts + self._offset
        if self._last is not None and now < self._last:
            self.moved += 1
            if (self._last - now) * self._time_base > _JUMP:
                self._offset_before = self._offset
                self._offset += self._last + self._step - now
                now = self._last + self._step
            else:
                now = self._last + 1
        self._last = now
        return now

    def place_packet(self, packet: av.Packet[Any]) -> None:
        """Move a packet of another stream along with the pictures, after the clock was reset."""
        if self._offset == 0 or self._last is None:
            return
        time = packet_time(packet)
        if time is None:
            return
        # Around the reset, packets of before and after lie mixed: take what comes closer.
        now = self._last * self._time_base
        offsets = (self._offset_before * self._time_base, self._offset * self._time_base)
        shift(packet, min(offsets, key=lambda offset: abs(time + offset - now)))


class DecodingOrder:
    """Times of pictures whose file says only in which order they are decoded.

    AVI and ASF do so, and MXF now and then.

    FFmpeg numbers the packets of such files as they come, and each picture keeps its packet's time
    where B-frames change the order. The times are those of the pictures, but in another order:
    each takes the least that has not been taken. Where a packet's time lies before that of the one
    before it, the file does know, and pictures keep what they have.
    """

    _PATIENCE = 32  # pictures until a packet that gave none is given up; decoders hold back fewer

    def __init__(self) -> None:
        self._rising = True
        self._latest: int | None = None
        self._free: list[int] = []
        self._awaited: dict[int, int] = {}  # packets' times, and how many pictures there were then
        self._count = 0

    def add(self, packet: av.Packet[Any]) -> None:
        """Take in the next packet of the video, before it is decoded."""
        if packet.pts is None:  # as after a jump in ASF
            return
        if self._latest is not None and packet.pts < self._latest:
            self._rising = False
        else:
            self._latest = packet.pts
            heappush(self._free, packet.pts)
            self._awaited[packet.pts] = self._count

    def time(self, own: int | None) -> int | None:
        """The time of the next picture, whose own is that of its packet; None: unknown."""
        self._count += 1
        if own is not None:
            self._awaited.pop(own, None)
        while self._free and self._is_overdue():
            heappop(self._free)
        least = heappop(self._free) if self._free else None
        return least if self._rising else own

    def _is_overdue(self) -> bool:
        """Whether a packet gave no picture; if so, it is awaited no longer."""
        oldest = next(iter(self._awaited), None)
        if oldest is None or self._count - self._awaited[oldest] <= self._PATIENCE:
            return False
        del self._awaited[oldest]
        return True


@dataclass(frozen=True)
class Cut:
    """The part of the input that is wanted, in seconds of the input's own clock."""

    start: Fraction | None = None
    """What becomes the output's time 0; None keeps the input's clock from its beginning."""
    end: Fraction | None = None
    """The first moment that is not wanted any more; None: to the end."""

    def before(self, time: Fraction) -> bool:
        """Whether a moment lies before the cut."""
        return self.start is not None and time < self.start

    def after(self, time: Fraction) -> bool:
        """Whether a moment lies after the cut."""
        return self.end is not None and time >= self.end

    def takes(self, packet: av.Packet[Any]) -> bool:
        """Whether a packet begins within the cut; one without a time, or of a cover, does."""
        time = None if _is_cover(packet) else packet_time(packet)
        return time is None or not (self.before(time) or self.after(time))

    def move(self, packet: av.Packet[Any]) -> None:
        """Shift a packet so that the cut starts at zero."""
        if self.start is not None and not _is_cover(packet):
            shift(packet, -self.start)


def packet_time(packet: av.Packet[Any]) -> Fraction | None:
    """When a packet begins, in seconds."""
    pts = packet.dts if packet.pts is None else packet.pts
    return None if pts is None else pts * packet.time_base


def _is_cover(packet: av.Packet[Any]) -> bool:
    return bool(packet.stream.disposition & Disposition.attached_pic)


def shift(packet: av.Packet[Any], seconds: Fraction) -> None:
    """Move a packet in time, to the nearest tick of its own clock."""
    ticks = round(seconds / packet.time_base)
    if packet.pts is not None:
        packet.pts += ticks
    if packet.dts is not None:
        packet.dts += ticks
