"""Memory of faces that does not grow, however long a stream runs."""

from __future__ import annotations

from typing import Generic, TypeVar

V = TypeVar("V")

_KEPT = 1000
"""Frames for which a face is remembered at least; a tracker gives a number up long before."""


class Recent(Generic[V]):
    """Values by track number; those that were not set for some time are forgotten."""

    def __init__(self) -> None:
        self._now = 0
        self._values: dict[int | None, tuple[int, V]] = {}

    def get(self, track: int | None, default: V) -> V:
        """What was set last for a face."""
        return self._values.get(track, (0, default))[1]

    def set(self, track: int | None, value: V) -> None:
        """Remember a value for a face that is seen now."""
        self._values[track] = (self._now, value)

    def next_frame(self) -> None:
        """Let a frame pass."""
        self._now += 1
        if self._now % _KEPT == 0:
            oldest = self._now - _KEPT
            self._values = {n: kept for n, kept in self._values.items() if kept[0] >= oldest}
