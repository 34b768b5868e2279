"""Files of JSON lines that tell whether they are whole.

The first line is a head, the last one an end with the number of lines between and a hash of all
that comes before. What two files mean may be the same where they are not: each line has values, and
beside them what differs from one run to the next, as the time that something took.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vidfacedeblur.errors import PieceError

_LONGEST_END = 1 << 16
Line = tuple[Any, Any]
"""Values, and what is beside them."""


class LineWriter:
    """Writes lines into an open file.

    Args:
        file: Empty.
        head: What JSON can hold, as are all values.
    """

    def __init__(self, file: IO[bytes], head: dict[str, Any]) -> None:
        self._file = file
        self._whole = hashlib.blake2b(digest_size=16)
        self._meaning = hashlib.blake2b(digest_size=16)
        self.count = 0
        """Lines that were written, without the head."""
        self._meaning.update(self._put(head))

    def write(self, values: Any, beside: Any = None) -> None:
        """Write a line."""
        self._put([values, beside])
        self._meaning.update(_encoded(values))
        self.count += 1

    def finish(self, **more: Any) -> str:
        """Write the end, with more values; returns the hash of what the file means."""
        meaning = self._meaning.hexdigest()
        end = {"count": self.count, "meaning": meaning, "hash": self._whole.hexdigest()}
        self._put(more | end)
        return meaning

    def _put(self, values: Any) -> bytes:
        line = _encoded(values)
        self._file.write(line)
        self._whole.update(line)
        return line


class LineReader:
    """Reads such a file; a context manager that iterates over its lines, once.

    Raises:
        PieceError: The file is cut short, or, at the end of iteration, was altered.
        OSError: It cannot be read.
    """

    head: dict[str, Any]
    end: dict[str, Any]

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self._read_ends()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def meaning(self) -> str:
        """A hash of what the file means."""
        return str(self.end["meaning"])

    def __iter__(self) -> Iterator[Line]:
        whole = hashlib.blake2b(digest_size=16)
        self._file.seek(0)
        whole.update(self._file.readline())
        for _ in range(self.end["count"]):
            line = self._file.readline()
            whole.update(line)
            values, beside = self._decoded(line, list)
            yield values, beside
        if whole.hexdigest() != self.end["hash"]:
            raise self._not_whole()

    def _read_ends(self) -> None:
        size = self._file.seek(0, 2)
        self._file.seek(max(0, size - _LONGEST_END))
        last = self._file.read().splitlines(keepends=True)
        self.end = self._decoded(last[-1] if last else b"", dict)
        self._file.seek(0)
        self.head = self._decoded(self._file.readline(), dict)
        if not {"count", "meaning", "hash"} <= self.end.keys():
            raise self._not_whole()

    def _decoded(self, line: bytes, kind: type) -> Any:
        try:
            values = json.loads(line)
        except ValueError as error:
            raise self._not_whole() from error
        if not isinstance(values, kind) or not line.endswith(b"\n"):
            raise self._not_whole()
        return values

    def _not_whole(self) -> PieceError:
        return PieceError(f"{self._path} is not whole, or was altered")


def _encoded(values: Any) -> bytes:
    return json.dumps(values, separators=(",", ":")).encode("ascii") + b"\n"
