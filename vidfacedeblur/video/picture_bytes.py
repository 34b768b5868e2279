"""PNG and JPEG files as sequences of chunks: what is carried beside the pixels is moved as bytes.

FFmpeg's picture encoders write none of it. Nothing is interpreted but where it has to be: to find
the size before anything is decoded, and to move EXIF and colour profile between the two formats.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

Kind = Literal["png", "jpeg"]

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_JPEG_MAGIC = b"\xff\xd8\xff"
_PNG_CARRIED = frozenset(
    b"iCCP sRGB gAMA cHRM cICP mDCV cLLI pHYs eXIf tEXt zTXt iTXt tIME".split()
)
_PNG_COLOUR = frozenset(b"iCCP sRGB gAMA cHRM cICP mDCV cLLI pHYs".split())
_APP0, _APP1, _APP2, _APP13, _COM, _SOS, _EOI = 0xE0, 0xE1, 0xE2, 0xED, 0xFE, 0xDA, 0xD9
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_CARRIED = frozenset({_APP0, _APP1, _APP2, _APP13, _COM})
_EXIF, _ICC, _MPF = b"Exif\0\0", b"ICC_PROFILE\0", b"MPF\0"
_ORIENTATION = 0x0112
_LONGEST = 65_533 - len(_ICC) - 2  # of a colour profile's part in a JPEG segment


class Part(NamedTuple):
    """A chunk of a PNG, or a segment of a JPEG."""

    name: bytes
    """A PNG chunk's type; a JPEG marker's one byte."""
    data: bytes


@dataclass(frozen=True)
class Extras:
    """What a picture file carries beside its pixels."""

    kind: Kind
    parts: tuple[Part, ...] = ()
    """As they are, for a file of the same kind."""
    exif: bytes | None = None
    """The TIFF structure alone."""
    icc: bytes | None = None
    """The colour profile, uncompressed."""
    dropped: tuple[str, ...] = ()
    """What cannot be carried over, in one line each."""


def kind_of(data: bytes) -> Kind | None:
    """Whether a file that begins like this is a still picture; animated PNGs are not."""
    if data.startswith(_JPEG_MAGIC):
        return "jpeg"
    if not data.startswith(_PNG_MAGIC):
        return None
    names = (part.name for part in _png_parts(data))
    return "png" if next((n for n in names if n in (b"acTL", b"IDAT")), b"") != b"acTL" else None


def size_of(data: bytes, kind: Kind) -> tuple[int, int]:
    """Width and height as the header declares them; (0, 0) if there is none."""
    if kind == "png":
        header = next(_png_parts(data), Part(b"", b""))
        return struct.unpack(">2I", header.data[:8]) if len(header.data) >= 8 else (0, 0)
    for name, body in _jpeg_parts(data):
        if name[0] in _FRAME_HEADERS and len(body) >= 5:
            height, width = struct.unpack(">2H", body[1:5])
            return width, height
    return 0, 0


def is_whole(data: bytes, kind: Kind) -> bool:
    """Whether the file goes on to the mark of its end."""
    if kind == "png":
        return any(part.name == b"IEND" for part in _png_parts(data))
    # Other bytes may follow, but within the scan the mark cannot occur.
    return data.find(bytes((0xFF, _EOI)), _scan_start(data)) >= 0


def has_transparency(data: bytes) -> bool:
    """Whether a PNG of a palette gives some of its colours an alpha."""
    return any(part.name == b"tRNS" for part in _png_parts(data))


def extras_of(data: bytes, kind: Kind) -> Extras:
    """What a file carries beside its pixels."""
    return _png_extras(data) if kind == "png" else _jpeg_extras(data)


def exif_orientation(exif: bytes | None) -> int:
    """The orientation, 1 to 8, that EXIF data ask for; 1 if they do not, or are broken."""
    order = {b"II": "<", b"MM": ">"}.get((exif or b"")[:2])
    if exif is None or order is None:
        return 1
    try:
        (place,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, place)
        for entry in range(place + 2, place + 2 + 12 * count, 12):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if tag == _ORIENTATION:
                return value if 1 <= value <= 8 else 1
    except struct.error:  # it points out of itself
        pass
    return 1


def stripped(extras: Extras) -> Extras:
    """Colour, resolution and orientation alone: nothing that names people, places or times."""
    turned = exif_orientation(extras.exif)
    exif = None if turned == 1 else _exif_with(turned)
    parts = [part for part in extras.parts if _tells_nothing(part, extras.kind)]
    if exif is not None and extras.kind == "png":
        parts.append(Part(b"eXIf", exif))
    elif exif is not None:
        parts.append(Part(bytes((_APP1,)), _EXIF + exif))
    return replace(extras, parts=tuple(parts), exif=exif)


def _tells_nothing(part: Part, kind: Kind) -> bool:
    if kind == "png":
        return part.name in _PNG_COLOUR
    return part.name[0] == _APP0 or part.data.startswith(_ICC)


def _exif_with(orientation: int) -> bytes:
    """The shortest EXIF data that ask for an orientation."""
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _ORIENTATION, 3, 1, orientation, 0, 0)


def with_extras(encoded: bytes, kind: Kind, extras: Extras, comment: str | None) -> bytes:
    """A freshly encoded file with what another one carried, and with a comment."""
    if kind == "png":
        return _png_with(encoded, extras, comment)
    return _jpeg_with(encoded, extras, comment)


# --- PNG


def _png_parts(data: bytes) -> Iterator[Part]:
    place = len(_PNG_MAGIC)
    while place + 12 <= len(data):
        length = int.from_bytes(data[place : place + 4], "big")
        if place + 12 + length > len(data):
            return
        yield Part(data[place + 4 : place + 8], data[place + 8 : place + 8 + length])
        place += 12 + length


def _png_extras(data: bytes) -> Extras:
    carried = tuple(part for part in _png_parts(data) if part.name in _PNG_CARRIED)
    exif = next((part.data for part in carried if part.name == b"eXIf"), None)
    profile = next((part.data for part in carried if part.name == b"iCCP"), None)
    return Extras("png", carried, exif, None if profile is None else _inflated(profile))


def _inflated(profile: bytes) -> bytes | None:
    _, _, body = profile.partition(b"\0")
    try:
        return zlib.decompressobj().decompress(body[1:], 16 << 20)  # bounded: it may be a bomb
    except zlib.error:
        return None


def _png_with(encoded: bytes, extras: Extras, comment: str | None) -> bytes:
    header, *rest = _png_parts(encoded)
    added = list(extras.parts) if extras.kind == "png" else []
    if extras.kind != "png" and extras.icc is not None:
        added.append(Part(b"iCCP", b"ICC profile\0\0" + zlib.compress(extras.icc)))
    if extras.kind != "png" and extras.exif is not None:
        added.append(Part(b"eXIf", extras.exif))
    if comment is not None:
        added.append(Part(b"iTXt", b"vidfacedeblur\0\0\0\0\0" + comment.encode()))
    others = [part for part in rest if part.name not in _PNG_CARRIED]
    return _PNG_MAGIC + b"".join(_png_bytes(part) for part in (header, *added, *others))


def _png_bytes(part: Part) -> bytes:
    body = part.name + part.data
    return len(part.data).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


# --- JPEG


def _jpeg_parts(data: bytes) -> Iterator[Part]:
    """The segments before the first scan."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # fill byte
            place += 1
            continue
        length = int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == _SOS or length < 2 or place + 2 + length > len(data):
            return
        yield Part(bytes((marker,)), data[place + 4 : place + 2 + length])
        place += 2 + length


def _scan_start(data: bytes) -> int:
    return 2 + sum(4 + len(part.data) for part in _jpeg_parts(data))


def _jpeg_extras(data: bytes) -> Extras:
    found = [part for part in _jpeg_parts(data) if part.name[0] in _JPEG_CARRIED]
    # An index of further pictures behind this one, by their place in the file.
    carried = tuple(part for part in found if not part.data.startswith(_MPF))
    exifs = (part.data for part in carried if part.data.startswith(_EXIF))
    exif = next((body.removeprefix(_EXIF) for body in exifs), None)
    profile = sorted(p.data[len(_ICC) :] for p in carried if p.data.startswith(_ICC))
    return Extras(
        kind="jpeg",
        parts=carried,
        exif=exif,
        icc=b"".join(part[2:] for part in profile) or None,  # each after its number and the count
        dropped=() if len(carried) == len(found) else ("further pictures in the file are dropped",),
    )


def _jpeg_with(encoded: bytes, extras: Extras, comment: str | None) -> bytes:
    added = list(extras.parts) if extras.kind == "jpeg" else []
    if extras.kind != "jpeg" and extras.exif is not None and len(extras.exif) < _LONGEST:
        added.append(Part(bytes((_APP1,)), _EXIF + extras.exif))
    if extras.kind != "jpeg" and extras.icc is not None:
        added += _profile_segments(extras.icc)
    if comment is not None:
        added.append(Part(bytes((_COM,)), f"vidfacedeblur: {comment}".encode()[:_LONGEST]))
    own = [part for part in _jpeg_parts(encoded) if part.name[0] not in _JPEG_CARRIED]
    segments = b"".join(_jpeg_bytes(part) for part in (*added, *own))
    return encoded[:2] + segments + encoded[_scan_start(encoded) :]


def _profile_segments(profile: bytes) -> list[Part]:
    pieces = [profile[i : i + _LONGEST] for i in range(0, len(profile), _LONGEST)]
    return [
        Part(bytes((_APP2,)), _ICC + bytes((number, len(pieces))) + piece)
        for number, piece in enumerate(pieces, 1)
    ]


def _jpeg_bytes(part: Part) -> bytes:
    return b"\xff" + part.name + (len(part.data) + 2).to_bytes(2, "big") + part.data
