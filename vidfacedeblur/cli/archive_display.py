"""What a run over many files says while it works: one line that is written over, or lines."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfacedeblur.archive.choose import Choice
from vidfacedeblur.archive.journal import FINISHED, Row
from vidfacedeblur.archive.progress import Progress, duration_text
from vidfacedeblur.archive.tables import entry_of
from vidfacedeblur.console import counted, on_terminal, say
from vidfacedeblur.event_file import EventFile
from vidfacedeblur.events import wall_text
from vidfacedeblur.records import summary_of_values

if TYPE_CHECKING:
    from vidfacedeblur.cli.display import Display

SCHEMA = 1
"""Version of the status lines' form; rises when a field changes its meaning or goes."""

_LINE_SECONDS = 15.0
"""Between two lines of progress where there is no terminal."""
_STATUS_SECONDS = 1.0
_TOLD = (
    *("input", "output", "state", "error", "exit_code", "attempts"),
    *("frames", "faces", "deblurred", "seconds", "output_sha256"),
)
"""What is told of a file."""


def progress_line(progress: Progress) -> str:
    """One line that says how a run is going."""
    left = progress.seconds_left
    parts = [
        f"{progress.done} of {counted(progress.files, 'file')}",
        f"{progress.running} at work",
        counted(progress.frames_now, "frame"),
        f"{progress.fps:.1f} fps",
        counted(progress.faces_now, "face"),
        f"{progress.failed} failed",
        "time left not known yet" if left is None else f"about {duration_text(left)} left",
    ]
    return "  ".join(parts)


class ArchiveDisplay:
    """Tells people on standard error, and machines in a file; an `ArchiveListener`.

    Args:
        display: Where lines go.
        status: The machines' file, open; None for none.
        output: The folder of the outputs.
    """

    def __init__(self, display: Display, status: EventFile | None, output: Path) -> None:
        self._display = display
        self._status = status
        self._output = output
        self._terminal = display.shows_progress and on_terminal()
        self._notes: set[str] = set()
        self._said = self._told = time.monotonic()

    def chosen(self, choices: Sequence[Choice], progress: Progress) -> None:
        """Say what will be done."""
        self._display.note(summary_of_choices(choices))
        self._tell("start", progress_values(progress))
        if progress.files:
            self._display.status("loading ...")

    def finished(self, row: Row) -> None:
        """Say what became of a file."""
        self._clear()
        if row.state in FINISHED:
            self._display.result(summary_of_values(row.figures))
        elif row.error:
            self._display.error(row.error)
        entry = entry_of(row, self._output)
        self._tell("file", {name: getattr(entry, name) for name in _TOLD})

    def note(self, text: str) -> None:
        """Say once that something is worth knowing: each worker has to say the same."""
        if text not in self._notes:
            self._notes.add(text)
            self._clear()
            self._display.note(text)

    def tick(self, progress: Progress) -> None:
        """Say how it is going."""
        now = time.monotonic()
        if now - self._told >= _STATUS_SECONDS:
            self._told = now
            self._tell("progress", progress_values(progress))
        if self._terminal:
            say(progress_line(progress), over=True)
        elif self._display.shows_progress and now - self._said >= _LINE_SECONDS:
            self._said = now
            say(progress_line(progress) + "\n")

    def end(self, totals: dict[str, Any]) -> None:
        """Take the line off the terminal."""
        self._clear()
        self._tell("end", totals)

    def _clear(self) -> None:
        if self._terminal:
            say("", over=True)

    def _tell(self, what: str, values: dict[str, Any]) -> None:
        if self._status is not None:
            head = {"schema": SCHEMA, "wall": wall_text(time.time()), "what": what}
            self._status(head | values)


def progress_values(progress: Progress) -> dict[str, Any]:
    """How a run is going, for machines."""
    left = progress.seconds_left
    return {
        "files": progress.files,
        "done": progress.done,
        "failed": progress.failed,
        "running": progress.running,
        "frames": progress.frames_now,
        "faces": progress.faces_now,
        "fps": round(progress.fps, 3),
        "seconds": round(progress.seconds, 3),
        "seconds_left": None if left is None else round(left, 1),
    }


def summary_of_choices(choices: Sequence[Choice]) -> str:
    """What will be done and what will not, in one line."""
    todo = Counter(choice.why for choice in choices if choice.why)
    rest = Counter(choice.why_not for choice in choices if choice.why_not)
    parts = [f"{count} {why}" for why, count in todo.items()]
    line = f"{todo.total()} of {len(choices)} files to do"
    line += f" ({', '.join(parts)})" if parts else ""
    return "; ".join([line, *(f"{count} {why}" for why, count in rest.items())])
