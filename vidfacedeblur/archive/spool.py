"""What a worker writes of a file for the driver to keep: text, packed, in the file's folder."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidfacedeblur.errors import OutputError

_SUFFIX = ".z"
_FAST = 1


class Spool:
    """A packed text, written bit by bit; whole when it is closed.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self._path = folder / f"{kind}{_SUFFIX}"
        self._pack = zlib.compressobj(_FAST)

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("wb")
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._put(self._pack.flush())
        self._file.close()

    def add(self, text: str) -> None:
        """Add some lines."""
        # A file name may hold bytes that are no text; they are written as they are.
        self._put(self._pack.compress(text.encode("utf-8", errors="surrogateescape")))

    def add_values(self, values: dict[str, Any]) -> None:
        """Add a line of JSON."""
        self.add(json.dumps(values) + "\n")

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise OutputError(f"cannot write {self._path}: {error.strerror}") from error


def spooled(folder: Path, kinds: Iterable[str]) -> dict[str, bytes]:
    """What lies in a folder, packed, by kind; what a worker did not come to write is not there."""
    places = {kind: folder / f"{kind}{_SUFFIX}" for kind in kinds}
    return {kind: path.read_bytes() for kind, path in places.items() if path.is_file()}


def unpacked(content: bytes) -> bytes:
    """The text, as it stands in files."""
    return zlib.decompress(content)
