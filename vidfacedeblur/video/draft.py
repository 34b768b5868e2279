"""A file that appears only when it is complete.

Everything is written to a hidden file beside the target, which is renamed into place at the end or
removed. Whatever happens in between, an old output stays as it was; a killed process leaves nothing
but ``.name.xxxxxxxx.part``. That is locked for as long as its process lives, so that the next run
with the same target can tell it from one that is being written, and removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import av

from vidfacedeblur.errors import OutputError, OutputExistsError
from vidfacedeblur.whole import STANDARD, check_name, is_too_long


class Destination(Protocol):
    """Where an output goes."""

    @property
    def url(self) -> str:
        """What FFmpeg is to open for writing."""

    def publish(self) -> Path:
        """Say that it is complete; return what a user calls it."""

    def discard(self) -> None:
        """Give it up; nothing happens if it was published."""


class StandardOutput:
    """What is written there is gone at once: it cannot be checked, nor taken back.

    Raises:
        OutputError: It is a terminal.
    """

    def __init__(self) -> None:
        if sys.stdout is not None and sys.stdout.isatty():
            raise OutputError("standard output is a terminal; pipe it into a program or a file")

    @property
    def url(self) -> str:
        return "pipe:1"

    def publish(self) -> Path:
        return STANDARD

    def discard(self) -> None:
        """There is nothing to remove."""


class Draft:
    """The hidden file, existing, empty and locked from the start.

    A link at the target's place is not followed: it is replaced, and what it points to is left
    alone.

    Raises:
        OutputExistsError: The target exists and may not be overwritten, or is the input.
        OutputError: The folder cannot be made or written to, or the name is too long.
    """

    def __init__(self, target: Path, *, source: Path, overwrite: bool) -> None:
        self.target = target.absolute()
        _check_target(self.target, source, overwrite=overwrite)
        with output_errors(target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            check_name(self.target)  # the draft's own is cut to what fits
            clear_leftovers(self.target)
            self.path, self._handle = _create(self.target)

    @property
    def url(self) -> str:
        return str(self.path)

    def take_copy(self, source: Path) -> None:
        """Become a copy of a file, whatever was written before."""
        with output_errors(self.target, "copied"):
            shutil.copyfile(source, self.path)

    def publish(self) -> Path:
        """Put the file in the target's place, and onto the disk."""
        with output_errors(self.target):
            os.fsync(self._handle)
            self.path.replace(self.target)
            self._release()
            _sync_folder(self.target.parent)
        return self.target

    def discard(self) -> None:
        """Remove the file; nothing happens if it is gone."""
        if self._handle >= 0:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def clear_leftovers(target: Path) -> None:
    """Remove drafts of a target whose processes are gone."""
    name = re.compile(re.escape(_prefix(target)) + "[0-9a-f]{8}[.]part")
    with suppress(OSError):
        for path in [p for p in target.parent.iterdir() if name.fullmatch(p.name)]:
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _prefix(target: Path) -> str:
    name = os.fsdecode(os.fsencode(target.name)[:200])  # room for the rest, within 255
    return f".{name}."


def _create(target: Path) -> tuple[Path, int]:
    """A new draft, and the handle that holds its lock."""
    while True:
        path = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.part")
        # Not by `tempfile`, whose files are for their owner's eyes only: this one obeys the umask.
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.fstat(handle).st_nlink:
            return path, handle
        os.close(handle)  # another run took it for a leftover before it was locked


def _check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if source != STANDARD and target.exists() and target.samefile(source):
        raise OutputExistsError(f"{target} is the input itself; choose another name")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target} is not a file; choose another name")
    if not overwrite:
        raise OutputExistsError(f"{target} exists; --overwrite replaces it")


def _sync_folder(folder: Path) -> None:
    # So that the new name survives a power failure; not every file system can do it.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def output_errors(target: Path, doing: str = "written") -> Iterator[None]:
    """Turn what the system or FFmpeg says into one clear line about the target."""
    try:
        yield
    except (av.error.FFmpegError, OSError, ValueError) as error:
        folders = (above for above in target.parents if not is_too_long(above))
        blocked = next((above for above in folders if above.is_file()), None)
        reason = getattr(error, "strerror", None) or str(error)
        if blocked:
            reason = f"{blocked} is a file and no folder"
        name = "standard output" if target == STANDARD else target
        raise OutputError(f"{name} cannot be {doing}: {reason}") from error
