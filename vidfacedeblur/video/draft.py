"""A file that appears only when it is complete.

Everything is written to a hidden file beside the target, which is renamed into place at the end or
removed. Whatever happens in between, an old output stays as it was; a killed process leaves nothing
but ``.name.xxxxxxxx.part``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av

from vidfacedeblur.errors import OutputError, OutputExistsError


class Draft:
    """The hidden file, existing and empty from the start.

    A link at the target's place is not followed: it is replaced, and what it points to is left
    alone.

    Raises:
        OutputExistsError: The target exists and may not be overwritten, or is the input.
        OutputError: The folder cannot be made or written to.
    """

    def __init__(self, target: Path, *, source: Path, overwrite: bool) -> None:
        self.target = target.absolute()
        _check_target(self.target, source, overwrite=overwrite)
        with output_errors(target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
            self.path = self._create()

    def publish(self) -> Path:
        """Put the file in the target's place, and onto the disk."""
        with output_errors(self.target):
            with self.path.open("rb") as file:
                os.fsync(file.fileno())
            self.path.replace(self.target)
            _sync_folder(self.target.parent)
        return self.target

    def discard(self) -> None:
        """Remove the file; nothing happens if it is gone."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _create(self) -> Path:
        name = os.fsdecode(os.fsencode(self.target.name)[:200])  # room for the rest, within 255
        path = self.target.with_name(f".{name}.{secrets.token_hex(4)}.part")
        # Not by `tempfile`, whose files are for their owner's eyes only: this one obeys the umask.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        return path


def _check_target(target: Path, source: Path, *, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if target.exists() and target.samefile(source):
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
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{target} cannot be {doing}: {reason}") from error
