"""Files and folders of the trainers."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vidfacedeblur.errors import InputError, OutputError


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
