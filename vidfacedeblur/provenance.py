"""What was done to a file, from what, with what: a restored face is evidence only with that."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vidfacedeblur import __version__


def file_sha256(path: Path) -> str | None:
    """The SHA-256 of a regular file, in hex; None of anything else, as of a pipe.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance(
    *, model: str | None, weights: str | None, options: str, source: str | None
) -> dict[str, str | None]:
    """What was done, with what; in this order, as one line of JSON, it is the tag of an output.

    Args:
        model: Name of the deblurring model; None where no face may change.
        weights: SHA-256 of its weights file.
        options: Hash of the options; see `config.options_sha256`.
        source: SHA-256 of the input; None where it came through a pipe.
    """
    return {
        "version": __version__,
        "model": model,
        "weights_sha256": weights,
        "options_sha256": options,
        "input_sha256": source,
    }
