"""Between the source's time, which is kept, and what an encoder can count."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av

_WINDOW = 4096
"""Frames whose times are remembered; no encoder holds back nearly as many."""


class Clock:
    """Gives the encoder strictly rising times, and its packets the source's times again.

    Args:
        time_base: Unit of the source's times.
        rate: Frames per second, on average.
        fixed: The encoder only counts frames; else it counts in `time_base`.
        repeats: The container can hold two frames of the same time.
    """

    def __init__(self, time_base: Fraction, rate: Fraction, *, fixed: bool, repeats: bool) -> None:
        self.time_base = time_base
        self.encoder_base = 1 / rate if fixed else time_base
        self.fixed = fixed
        """Whether the encoder only counts frames."""
        self._step = max(1, round(1 / (rate * time_base)))
        self._repeats = repeats
        self._moved = 0
        self._count = 0
        self._first = 0  # as given to the container
        self._last: int | None = None  # as given to the encoder
        self._last_kept: int | None = None  # as given to the container
        self._times: dict[int, tuple[int, int]] = {}  # encoder's time: time kept, duration

    def enter(self, pts: int, duration: int) -> int:
        """The encoder's time of a frame that is shown from `pts` on."""
        kept = pts
        if not self._repeats and self._last_kept is not None and pts <= self._last_kept:
            kept = self._last_kept + 1
            self._moved += 1
        if self.fixed:
            inner = self._count
        else:
            inner = kept if self._last is None else max(kept, self._last + 1)
        if self._count == 0:
            self._first = kept
        self._times[inner] = (kept, max(0, pts + duration - kept))
        if len(self._times) > _WINDOW:
            del self._times[next(iter(self._times))]
        self._count += 1
        self._last, self._last_kept = inner, kept
        return inner

    def leave(self, packet: av.Packet[Any]) -> None:
        """Give an encoded packet the time of its frame."""
        if packet.pts is None:
            return
        if packet.dts is not None:
            packet.dts = self._decoding_time(packet.dts)
        packet.pts, packet.duration = self._times.get(packet.pts, (packet.pts, 0))
        packet.time_base = self.time_base

    @property
    def span(self) -> Fraction:
        """Seconds from the first frame to the last, as given to the container."""
        return ((self._last_kept or 0) - self._first) * self.time_base

    def losses(self) -> list[str]:
        """What could not be kept, in one line each."""
        if not self._moved:
            return []
        return [f"{self._moved} frames shared their time with another; moved by a tick"]

    def _decoding_time(self, dts: int) -> int:
        if dts in self._times:
            return self._times[dts][0]
        # Before the first frame: encoders that reorder start decoding ahead of it.
        return self._first + dts * self._step if self.fixed else dts
