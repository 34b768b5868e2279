"""How a live session is doing: a line for people, JSON lines for machines."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from vidfacedeblur.errors import OutputError
from vidfacedeblur.events import give_up_standard_output

if TYPE_CHECKING:
    from vidfacedeblur.live import LiveStats

SCHEMA = 1
"""Version of the lines' form; rises when a field changes its meaning or goes."""

_LINE_SECONDS = 15.0
"""Between two lines where there is no terminal."""
_CLEAR = "\r\x1b[K"


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
    moment = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
    return {"schema": SCHEMA, "wall": moment.replace("+00:00", "Z"), **rounded, **health}


class StatusLine:
    """On a terminal one line that is written over, elsewhere a line now and then."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()

    def show(self, stats: LiveStats) -> None:
        """Say how it is doing now."""
        if not self._shown:
            return
        if self._terminal:
            sys.stderr.write(_CLEAR + status_line(stats))
            sys.stderr.flush()
        elif time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            sys.stderr.write(status_line(stats) + "\n")
            sys.stderr.flush()

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self._shown and self._terminal:
            sys.stderr.write(_CLEAR)


class StatusFile:
    """JSON lines, each written at once; ``-`` is standard output, None is nowhere.

    Raises:
        OutputError: The file cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        if self._path == Path("-"):
            self._file = sys.stdout
        elif self._path is not None:
            try:
                self._file = self._path.open("a", encoding="utf-8")
            except OSError as error:
                raise OutputError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None and self._file is not sys.stdout:
            with suppress(OSError):
                self._file.close()
        self._file = None

    def add(self, stats: LiveStats, wall: float) -> None:
        """Write a line; a disk that is full ends no recording, nor does a reader that went away."""
        if self._file is None:
            return
        try:
            self._file.write(json.dumps(status_values(stats, wall)) + "\n")
            self._file.flush()
        except OSError:
            if self._file is sys.stdout:
                give_up_standard_output()
                self._file = None
