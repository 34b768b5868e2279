"""Files and folders of the trainers."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vidfacedeblur.errors import InputError, OptionError, OutputError
from vidfacedeblur.whole import writing


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hex.

    Raises:
        InputError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def make_folder(path: Path) -> None:
    """Make the folder of an output, where it is not there.

    Raises:
        OutputError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder {path} cannot be made: {error.strerror}") from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder for a time; a process that is killed lets go of it.

    Raises:
        OptionError: Another run is writing there.
        OutputError: Nothing can be written there.
    """
    lock = folder / ".lock"
    with writing(lock):
        file = lock.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OptionError(
                f"another run is writing to {folder}: let it end, or choose another --out"
            ) from error
        except OSError:
            pass  # some network file systems have no locks
        yield
