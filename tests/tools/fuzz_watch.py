"""Notes what a process opens beside the file that it was given to read."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

_STARTS = ("subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "os.spawn")
_FOLDER = "/proc/self/fd"
BEGIN, END = "/fuzz-begin", "/fuzz-end"
"""Files that do not exist; that they are asked for is seen in a trace of system calls."""


class Watch:
    """Looks at what Python opens, by its audit events, and at the file descriptors.

    FFmpeg opens files without Python's help, so its descriptors have to be looked for. One that is
    opened and closed between two looks is missed; a trace of system calls misses none.
    """

    def __init__(self, *, marks: bool) -> None:
        self._marks = marks
        self._input: str | None = None
        self._before: set[tuple[str, str]] = set()
        self._found: set[str] = set()
        sys.addaudithook(self._hear)

    @contextlib.contextmanager
    def over(self, path: Path) -> Iterator[None]:
        """Watch while `path` is read."""
        self._found = set()
        self._before = set(_descriptors())
        self._mark(f"{BEGIN}-{path.name}")
        self._input = str(path)
        try:
            yield
        finally:
            self._input = None
            self._mark(f"{END}-{path.name}")

    def look(self) -> None:
        """Compare what is open now with what was open before."""
        now = set(_descriptors()) - self._before
        self._found |= {f"descriptor of {target}" for _, target in now if target != self._input}

    def found(self) -> list[str]:
        """What was opened beside the input, and what is still open, of the last file."""
        left = set(_descriptors()) - self._before
        return sorted(self._found) + sorted(f"left open: {target}" for _, target in left)

    def _hear(self, event: str, args: tuple[object, ...]) -> None:
        if self._input is None:
            return
        if event == "open":
            name = args[0]
            if isinstance(name, str | bytes) and os.fsdecode(name) == self._input:
                return
            self._found.add(f"open {name!r}")
        elif event.startswith(("socket.", *_STARTS)):
            self._found.add(f"{event} {args[:2]!r}")

    def _mark(self, name: str) -> None:
        if self._marks:
            with contextlib.suppress(OSError):
                os.close(os.open(name, os.O_RDONLY))


def _descriptors() -> Iterator[tuple[str, str]]:
    for number in os.listdir(_FOLDER):  # noqa: PTH208 - at every frame, so it has to be quick
        with contextlib.suppress(OSError):  # that of the listing itself is gone
            yield number, os.readlink(f"{_FOLDER}/{number}")  # noqa: PTH115
