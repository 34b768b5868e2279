"""Broken files made from whole ones. File N of a seed is the same every time, made alone or not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Literal, NamedTuple

_MARKS = re.compile(
    # ISO media: the four bytes before a name are its box's size
    rb"ftyp|moov|mvhd|trak|tkhd|edts|elst|mdia|mdhd|hdlr|minf|stbl|stsd|stts|ctts|cslg|stsc|stsz"
    rb"|stco|co64|stss|sgpd|sbgp|avcC|hvcC|av1C|vpcC|esds|colr|pasp|fiel|clap|mdcv|clli|tref|udta"
    rb"|meta|ilst|keys|mvex|trex|moof|mfhd|traf|tfhd|tfdt|trun|sidx|mfra|tmcd|gmhd|mdat|avc1|hvc1"
    # AVI and PNG: the size lies behind and before the name
    rb"|RIFF|LIST|avih|strh|strf|strl|movi|idx1|indx|0[01]dc|0[01]wb"
    rb"|IHDR|acTL|fcTL|fdAT|IDAT|PLTE|tRNS|iCCP|eXIf|IEND"
    # Matroska: header, segment, seek head, info, tracks, cluster, cues, tags, time scale, default
    # duration, video settings, codec data, block group
    rb"|\x1a\x45\xdf\xa3|\x18\x53\x80\x67|\x11\x4d\x9b\x74|\x15\x49\xa9\x66|\x16\x54\xae\x6b"
    rb"|\x1f\x43\xb6\x75|\x1c\x53\xbb\x6b|\x12\x54\xc3\x67|\x2a\xd7\xb1|\x23\xe3\x83|\x63\xa2"
    # FLV, GIF, JPEG, and the start codes of MPEG
    rb"|FLV\x01|onMetaData|GIF8|NETSCAPE|\x21\xf9\x04|Exif|ICC_PROFILE|\xff[\xc0-\xc4\xda\xdb]\x00"
    rb"|\x00\x00\x01[\xb3\xb5\xb8\xba-\xbd\xc0\xe0\x06\x26\x27\x28\x40\x42\x44\x61\x65\x67\x68]"
)
_TS_PACKET = 188
_MAX_PIXELS = 1 << 22
"""For most files: a damaged size costs seconds where it may be as large as by default."""
_HEAD = 1024
_AROUND = 256
"""Bytes around a mark that count as a header."""
_VALUES = (0, 1, 2, 3, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF)
_MORE_VALUES = (1 << 31, 0xFFFFFFF0, 0xFFFFFFFF, 1 << 32, (1 << 62) + 1, (1 << 63) - 1, 1 << 63)


@dataclass(frozen=True)
class Clip:
    """A file to be broken."""

    name: str
    data: bytes

    @cached_property
    def marks(self) -> dict[bytes, list[int]]:
        """Places of names of boxes and elements, by name."""
        if self.data[:1] == b"\x47" == self.data[_TS_PACKET : _TS_PACKET + 1]:
            return {b"\x47": list(range(0, len(self.data), _TS_PACKET))}
        found: dict[bytes, list[int]] = {}
        for match in _MARKS.finditer(self.data):
            found.setdefault(match[0], []).append(match.start())
        return found

    def any_mark(self, rng: Random) -> int:
        """The place of a mark: a name first, since some stand a thousand times; or near the top."""
        if not self.marks:
            return rng.randrange(max(1, min(_HEAD, len(self.data))))
        return rng.choice(self.marks[rng.choice(sorted(self.marks))])


class Mutant(NamedTuple):
    """A broken file."""

    number: int
    kind: str
    what: str
    """What was done to which clip, in one line."""
    name: str
    """A file's name, with the suffix of the clip."""
    data: bytes


Broken = tuple[bytes, str]


class Forge:
    """Makes the broken files of a folder of clips and a seed.

    Args:
        folder: Its files, in order of their names, are the clips.
        seed: Another one makes other files.

    Raises:
        ValueError: There are no files in the folder.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        paths = sorted(path for path in folder.iterdir() if path.is_file())
        self._clips = [Clip(path.name, path.read_bytes()) for path in paths]
        if not self._clips:
            raise ValueError(f"{folder} has no files in it")
        self._seed = seed

    def make(self, number: int) -> Mutant:
        """File `number`."""
        rng = self._random(number, "file")
        clip, other = rng.choice(self._clips), rng.choice(self._clips)
        kind = rng.choice(tuple(KINDS))
        data, what = KINDS[kind](clip, other, rng)
        name = f"{number:06d}{Path(clip.name).suffix}"
        return Mutant(number, kind, f"{kind} of {clip.name}: {what}", name, data)

    def options(self, number: int) -> dict[str, float | bool]:
        """The video options, beside the defaults, with which file `number` is to be read."""
        rng = self._random(number, "options")
        chosen: dict[str, float | bool] = {"keep_partial": rng.random() < 0.5}
        if rng.random() < 0.25:
            chosen["start"] = round(rng.uniform(0, 1.5), 2)
        if rng.random() < 0.25:
            chosen["duration"] = round(rng.uniform(0.01, 1), 2)
        if rng.random() < 0.1:
            chosen["strict"] = True
        if rng.random() < 0.75:
            chosen["max_pixels"] = _MAX_PIXELS
        return chosen

    def _random(self, number: int, purpose: str) -> Random:
        """What decides about file `number`; each purpose has chances of its own."""
        return Random(f"{self._seed}:{number}:{purpose}")


def in_words(options: dict[str, float | bool]) -> str:
    """Options in one line."""
    return ", ".join(f"{name}={value}" for name, value in options.items())


def _few_flips(clip: Clip, _other: Clip, rng: Random) -> Broken:
    return _flipped(
        clip, [rng.randrange(len(clip.data) or 1) for _ in range(rng.randint(1, 16))], rng
    )


def _many_flips(clip: Clip, _other: Clip, rng: Random) -> Broken:
    count = rng.randint(17, max(17, len(clip.data) // 64))
    return _flipped(clip, [rng.randrange(len(clip.data) or 1) for _ in range(count)], rng)


def _few_header_flips(clip: Clip, _other: Clip, rng: Random) -> Broken:
    return _flipped(clip, [_in_header(clip, rng) for _ in range(rng.randint(1, 8))], rng)


def _many_header_flips(clip: Clip, _other: Clip, rng: Random) -> Broken:
    return _flipped(clip, [_in_header(clip, rng) for _ in range(rng.randint(9, 200))], rng)


def _in_header(clip: Clip, rng: Random) -> int:
    if rng.random() < 0.4:
        return rng.randrange(_HEAD)
    return clip.any_mark(rng) + rng.randrange(-8, _AROUND)


def _flipped(clip: Clip, places: list[int], rng: Random) -> Broken:
    data = bytearray(clip.data)
    for place in places:
        if 0 <= place < len(data):
            data[place] ^= 1 << rng.randrange(8)
    return bytes(data), f"{len(places)} bits, the first at {places[0]}"


def _truncation(clip: Clip, _other: Clip, rng: Random) -> Broken:
    size = len(clip.data)
    if rng.random() < 0.2:
        begin = _some_length(size, rng)
        return clip.data[begin:], f"without the first {begin} bytes"
    end = _some_length(size, rng) if rng.random() < 0.5 else rng.randint(0, size)
    return clip.data[:end], f"the first {end} bytes"


def _splice(clip: Clip, other: Clip, rng: Random) -> Broken:
    end, begin = rng.randint(0, len(clip.data)), rng.randint(0, len(other.data))
    if rng.random() < 0.5:  # where both have a box or an element beginning
        end, begin = clip.any_mark(rng), other.any_mark(rng)
    return clip.data[:end] + other.data[begin:], f"up to {end}, then {other.name} from {begin}"


def _block_twice(clip: Clip, _other: Clip, rng: Random) -> Broken:
    begin, end = _block(clip, rng)
    place = end if rng.random() < 0.5 else rng.randint(0, len(clip.data))
    times = rng.choice((1, 1, 1, 2, 20))
    data = clip.data[:place] + clip.data[begin:end] * times + clip.data[place:]
    return data, f"{begin} to {end} again at {place}, {times} times"


def _block_removed(clip: Clip, _other: Clip, rng: Random) -> Broken:
    begin, end = _block(clip, rng)
    return clip.data[:begin] + clip.data[end:], f"without {begin} to {end}"


def _block_filled(clip: Clip, _other: Clip, rng: Random) -> Broken:
    begin, end = _block(clip, rng)
    value = rng.choice((0, 0, 0, 0xFF))
    data = clip.data[:begin] + bytes([value]) * (end - begin) + clip.data[end:]
    return data, f"{begin} to {end} are {value:#x}"


def _block(clip: Clip, rng: Random) -> tuple[int, int]:
    """A piece of a clip, more often a short one; half of them begin before a mark."""
    begin = rng.randint(0, len(clip.data))
    if rng.random() < 0.5:
        begin = max(0, clip.any_mark(rng) - rng.choice((0, 4, 4, 8)))
    return begin, min(len(clip.data), begin + _some_length(len(clip.data), rng))


def _some_length(size: int, rng: Random) -> int:
    """A length up to `size`, as often of two bytes as of two thousand."""
    return int(max(1, size) ** rng.random())


def _field(clip: Clip, _other: Clip, rng: Random) -> Broken:
    data = bytearray(clip.data)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        offset = rng.choice((-4, -4, 4, 8, rng.randrange(2, 64), rng.randrange(2, 64)))
        place = max(0, clip.any_mark(rng) + offset)
        width = rng.choice((1, 2, 4, 4, 4, 8))
        order: Literal["big", "little"] = "little" if rng.random() < 0.25 else "big"
        value = _other_value(int.from_bytes(data[place : place + width], order), rng)
        value %= 1 << (8 * width)
        data[place : place + width] = value.to_bytes(width, order)
        done.append(f"{width} bytes at {place} are {value:#x}, {order} end first")
    return bytes(data), "; ".join(done)


def _other_value(value: int, rng: Random) -> int:
    near = (value + rng.randint(-16, 16), value * 2, value // 2, -value, value ^ 0xFF)
    return rng.choice((rng.choice(near), rng.choice(_VALUES), rng.choice(_VALUES + _MORE_VALUES)))


def _mixture(clip: Clip, other: Clip, rng: Random) -> Broken:
    done = []
    for _ in range(rng.randint(2, 4)):
        data, what = rng.choice(_SINGLE)(clip, other, rng)
        clip = Clip(clip.name, data)
        done.append(what)
    return clip.data, "; then ".join(done)


KINDS: dict[str, Callable[[Clip, Clip, Random], Broken]] = {
    "few flips": _few_flips,
    "many flips": _many_flips,
    "few flips in headers": _few_header_flips,
    "many flips in headers": _many_header_flips,
    "truncation": _truncation,
    "splice": _splice,
    "block twice": _block_twice,
    "block removed": _block_removed,
    "block filled": _block_filled,
    "field": _field,
    "mixture": _mixture,
}
"""Ways to break a clip, with another one at hand, by name."""

_SINGLE = tuple(make for name, make in KINDS.items() if name != "mixture")
