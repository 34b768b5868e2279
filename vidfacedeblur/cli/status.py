"""How a live session is doing: a line for people, JSON lines for machines."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vidfacedeblur.console import on_terminal, say
from vidfacedeblur.errors import OutputError
from vidfacedeblur.event_file import EventFile
from vidfacedeblur.events import wall_text

if TYPE_CHECKING:
    from vidfacedeblur.live import LiveStats

_log = logging.getLogger(__name__)
SCHEMA = 1
"""Version of the lines' form; rises when a field changes its meaning or goes."""

_LINE_SECONDS = 15.0
"""Between two lines where there is no terminal."""


def status_line(stats: LiveStats) -> str:
    """One line that says how a session is doing."""
    health = stats.health
    parts = [
        health.state,
        f"in {stats.fps_in:.1f} fps",
        f"out {stats.fps_out:.1f} fps",
        f"latency p50/p95 {_ms(stats.latency_p50)}/{_ms(stats.latency_p95)} ms",
        f"drops {health.dropped + health.late}",
        f"faces {stats.faces_now}",
        f"reconnects {health.reconnects}",
    ]
    return "  ".join(parts)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f}"


def status_values(stats: LiveStats, wall: float) -> dict[str, Any]:
    """The same for machines, as ``status.schema.json`` beside this file describes it.

    Args:
        stats: How it is doing.
        wall: When, in seconds since 1970.
    """
    values = asdict(stats)
    health = values.pop("health")
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
    return {"schema": SCHEMA, "wall": wall_text(wall), **rounded, **health}


class StatusLine:
    """On a terminal one line that is written over, elsewhere a line now and then."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._terminal = on_terminal()
        self._last = time.monotonic()

    def show(self, stats: LiveStats) -> None:
        """Say how it is doing now."""
        if not self._shown:
            return
        if self._terminal:
            say(status_line(stats), over=True)
        elif time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            say(status_line(stats) + "\n")

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._shown and self._terminal:
            say("", over=True)


class StatusLines:
    """Writes how it is doing into a file; nowhere without one."""

    def __init__(self, file: EventFile | None) -> None:
        self._file = file

    def add(self, stats: LiveStats, wall: float) -> None:
        """Write a line; a full disk or a reader that went away ends the lines, and no recording."""
        if self._file is None:
            return
        try:
            self._file(status_values(stats, wall))
        except OutputError as error:
            _log.info("%s; no more is said of how it is doing", error)
            self._file = None
