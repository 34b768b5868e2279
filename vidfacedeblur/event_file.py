"""A file of JSON lines, as of events or a state: others may read it while it is written."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vidfacedeblur.whole import STANDARD, is_special, part_of, standard_output, writing

_LONGEST = 1 << 16
"""Bytes of a line, and more."""
_BEGIN = b'{"schema": '
"""Of a line."""


class EventFile:
    """JSON lines, each in the file at once and whole; a context manager that is called with events.

    A new file is written under a hidden name and renamed at the end, also after an error: every
    line that is there is whole and true. A live one has its own name from the start, and is added
    to if it is there; so is what is no file, as a named pipe. A live one that is moved away, as
    logrotate does, is left there, and a new one begun under its name.

    Args:
        path: The file; ``-`` is standard output.
        live: Add lines to the file under its own name.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: str | Path, *, live: bool = False) -> None:
        self._path = Path(path)
        special = is_special(self._path)
        self._grows, self._rotates = live or special, live and not special
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        if self._path != STANDARD:
            with writing(self._path):
                if self._grows and self._path.is_file():
                    _cut_torn_line(self._path)
                # Unbuffered: a line is one call of the system, which a kill hardly ever halves.
                self._file = (
                    self._path.open("ab", buffering=0)
                    if self._grows
                    else part_of(self._path)[0].open("wb", buffering=0)
                )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            with writing(self._path):
                self._file.close()
                if not self._grows:
                    part, target = part_of(self._path)
                    part.replace(target)
            self._file = None

    def __call__(self, event: dict[str, Any]) -> None:
        """Write one event."""
        line = json.dumps(event) + "\n"
        with writing(self._path):
            if self._path == STANDARD:
                output = standard_output()
                output.write(line)
                output.flush()
            else:
                assert self._file is not None, "the file is not open"
                if self._rotates and _was_moved(self._file, self._path):
                    moved, self._file = self._file, self._path.open("ab", buffering=0)
                    moved.close()
                _write_whole(self._file, line.encode("ascii"))


def _was_moved(file: IO[bytes], path: Path) -> bool:
    """Whether an open file is not the one that has the name any more."""
    try:
        return not os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return True


def _cut_torn_line(path: Path) -> None:
    """Take off what a power failure left of a line, so that all lines are whole again."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _LONGEST))
        torn = file.read().rpartition(b"\n")[2]
        if torn and _BEGIN.startswith(torn[: len(_BEGIN)]):
            file.truncate(size - len(torn))


def _write_whole(file: IO[bytes], line: bytes) -> None:
    """Write a line, or nothing of it where the disk is full."""
    written = 0
    try:
        while written < len(line):
            written += file.write(line[written:])
    except OSError:
        if written and file.seekable():
            with suppress(OSError):
                file.truncate(os.fstat(file.fileno()).st_size - written)
        raise
