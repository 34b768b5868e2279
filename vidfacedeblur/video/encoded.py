"""A file of encoded packets: what one part of a video became, to be put together with others.

    8 bytes            what kind of file this is, and of which version
    4 bytes, JSON      length of the head, and the head
    for each packet    pts, duration, key frame or not, length; its bytes
    36 bytes           end: number of packets, delay, length of the file; then a hash of all that

Numbers are little-endian. Packets are in the order of decoding. Their decoding times are not kept:
they follow from the times of the whole video's frames, and from the delay.
"""

from __future__ import annotations

import hashlib
import json
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import av

from vidfacedeblur.errors import PieceError

_MAGIC = b"vfdpkts1"
_LENGTH = struct.Struct("<I")
_PACKET = struct.Struct("<qqBI")
_END = struct.Struct("<IIQ")
_HASH = 16
_TAIL = _END.size + _HASH
_LONGEST_HEAD = 1 << 24


class Encoded(NamedTuple):
    """An encoded packet of video."""

    pts: int
    duration: int
    key: bool
    data: bytes


class PacketWriter:
    """Writes packets into an open file.

    Args:
        file: Empty.
        head: Anything that JSON can hold.
    """

    def __init__(self, file: IO[bytes], head: dict[str, Any]) -> None:
        self._file = file
        self._hash = hashlib.blake2b(digest_size=_HASH)
        self._size = 0
        self._pts = array("q")
        self._dts = array("q")
        encoded = json.dumps(head).encode("ascii")
        self._put(_MAGIC + _LENGTH.pack(len(encoded)) + encoded)

    def write(self, packet: av.Packet[Any]) -> None:
        """Take in the encoder's next packet, which has a time."""
        assert packet.pts is not None
        self._pts.append(packet.pts)
        if packet.dts is not None:
            self._dts.append(packet.dts)
        data = bytes(packet)
        self._put(_PACKET.pack(packet.pts, packet.duration or 0, packet.is_keyframe, len(data)))
        self._put(data)

    def times(self) -> list[int]:
        """The packets' times, in the order of showing."""
        return sorted(self._pts)

    def finish(self) -> None:
        """Write the end, without which the file is not whole."""
        length = self._size + _TAIL
        self._put(_END.pack(len(self._pts), _delay(self._pts, self._dts), length))
        self._file.write(self._hash.digest())

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


class PacketReader:
    """Reads a file of packets; a context manager that iterates over them, once.

    Raises:
        PieceError: It is not such a file, is cut short, or, at the end of iteration, was altered.
        OSError: It cannot be read.
    """

    head: dict[str, Any]
    count: int
    """Number of packets."""
    delay: int
    """Frames by which decoding must be ahead of showing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        try:
            self._read_ends()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> PacketReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Encoded]:
        for _ in range(self.count):
            pts, duration, key, length = _PACKET.unpack(self._take(_PACKET.size))
            yield Encoded(pts, duration, bool(key), self._take(length))
        self._take(_END.size)
        if self._file.read() != self._hash.digest():
            raise self._not_whole()

    def _read_ends(self) -> None:
        """Read the end and the head; what lies between is left for later."""
        size = self._file.seek(0, 2)
        self._file.seek(max(0, size - _TAIL))
        end = self._file.read(_END.size)
        if size < _TAIL or len(end) < _END.size:
            raise self._not_whole()
        self.count, self.delay, length = _END.unpack(end)
        self._file.seek(0)
        self._hash = hashlib.blake2b(digest_size=_HASH)
        if length != size or self._take(len(_MAGIC)) != _MAGIC:
            raise self._not_whole()
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        try:
            self.head = json.loads(self._take(min(length, _LONGEST_HEAD)))
        except ValueError as error:
            raise self._not_whole() from error

    def _take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) != size:
            raise self._not_whole()
        self._hash.update(data)
        return data

    def _not_whole(self) -> PieceError:
        return PieceError(f"{self._path} is not whole, or was altered")


def _delay(pts: Sequence[int], dts: Sequence[int]) -> int:
    """Frames by which decoding must be ahead of showing, and by which the encoder says it is."""
    if not pts:
        return 0
    place = {time: number for number, time in enumerate(sorted(pts))}
    needed = max(number - place[time] for number, time in enumerate(pts))
    first = min(pts)
    return max(needed, sum(time < first for time in dts))


def decoding_times(first: Sequence[int], delay: int) -> Iterator[int]:
    """The times at which the first `delay` packets of a video are decoded.

    Later ones are decoded when the frame that is `delay` before theirs in the order of showing is
    shown. These are as far before the first frame as x264 and x265 put them.

    Args:
        first: Times of the video's first frames in the order of showing: `delay` + 1 of them, or
            all there are.
        delay: See `PacketReader.delay`.
    """
    ahead = first[-1] - first[0] if delay else 0
    return (time - ahead for time in first[:delay])
