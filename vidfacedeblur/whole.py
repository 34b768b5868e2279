"""Files for people and programs to read: whole under their names, or told of in one line."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO

from vidfacedeblur.console import give_up
from vidfacedeblur.errors import OptionError, OutputError

STANDARD = Path("-")
"""Standard input where something is read, standard output where something is written."""


def standard_output() -> TextIO:
    """Where ``-`` leads.

    Raises:
        OSError: It was closed before Python began.
    """
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    return sys.stdout


def is_special(path: Path) -> bool:
    """Whether something is there that is no file, as a device or a named pipe."""
    return path.exists() and not path.is_file()


def is_too_long(path: Path) -> bool:
    """Whether no file can have such a name; most functions raise an error where they meet one."""
    try:
        os.lstat(path)
    except OSError as error:
        return error.errno == errno.ENAMETOOLONG
    return False


def check_name(path: Path) -> None:
    """Refuse a name that is too long, which would show only when the work is done.

    Raises:
        OutputError: It is.
    """
    if is_too_long(path):
        raise _too_long(path)


def _too_long(path: Path) -> OutputError:
    return OutputError(f"cannot write {path}: its name is too long; choose a shorter one")


def part_of(path: Path) -> tuple[Path, Path]:
    """The hidden name under which a file is written, and its own; a link is followed."""
    target = Path(os.path.realpath(path))
    return target.with_name(f".{target.name}.part"), target


def check_place(path: Path) -> None:
    """Refuse a file that could not be written, before hours of work rather than after them.

    Raises:
        OptionError: It is a folder.
        OutputError: Its folder is missing, or cannot be written to, or its name is too long.
    """
    check_name(path)
    if path.is_dir():
        raise OptionError(f"cannot write {path}: it is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}")
    # A device or a pipe is written as it is, anything else beside itself under a hidden name.
    part = path if is_special(path) else part_of(path)[0]
    if is_too_long(part):
        raise _too_long(path)
    place = path if part == path else part.parent
    if not os.access(place, os.W_OK):
        raise OutputError(f"cannot write {path}: nothing may be written to {place}")


@contextmanager
def whole_file(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file to write, which takes its name when it is whole and on the disk.

    What is no file is written as it is. Text may hold bytes of file names that are none.

    Raises:
        OutputError: It cannot be written; what was there before stays.
    """
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    with writing(path):
        if is_special(path):
            with path.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
            return
        part, target = part_of(path)
        try:
            with part.open(mode, **text) as file:  # type: ignore[call-overload]
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            with suppress(OSError):  # mostly it has its name by now
                part.unlink()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an error of the system into one clear line about the file, or standard output."""
    try:
        yield
    except OSError as error:
        name = "standard output" if path == STANDARD else path
        if path == STANDARD and sys.stdout is not None:
            give_up(sys.stdout)
        raise OutputError(f"cannot write {name}: {error.strerror}") from error
