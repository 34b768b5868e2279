"""What lies beside the samples of a picture, and which of it an encoder may be given.

That is closed captions, and user data: what a camera writes into H.264 and HEVC with each picture,
as the time of recording or where it looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

import av
from av.sidedata.sidedata import Type

from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.frames import PICTURE_CODECS, SideData, beside, filtered

_MOST = 1 << 16
"""Bytes beside one picture. libx264 writes them all into a buffer of a megabyte, and on behind it;
captions of a picture have some hundred."""

_NEWER = range(len(Type), 40)
"""Kinds that PyAV does not know; where there is one, it shows none."""

_OF_ENCODERS = (
    bytes.fromhex("dc45e9bde6d948b7962cd820d923eeef"),  # x264
    bytes.fromhex("2ca2de09b51747dbbb55a4fe7fc2fc4e"),  # x265
)
"""How user data begin in which an encoder tells its version and settings. Decoders go by them, so
that they must not be told of another encoder's."""

_NO_PLACE = {
    Type.SPHERICAL: "how the picture lies around the viewer (360 degrees)",
    Type.STEREO3D: "how the picture holds one view for each eye (3D)",
    Type.S12M_TIMECODE: "the time codes in the pictures",
    Type.AFD: "which part of the picture is to be shown (AFD)",
    Type.AMBIENT_VIEWING_ENVIRONMENT: "the light around the viewer (HDR)",
}
"""Kinds that PyAV can give neither to an encoder nor to a container, and what they say."""
_STEREO_TAG = "stereo_mode"
_STEREO_TAGGED = frozenset({"matroska", "webm"})
"""Muxers that take 3D from that tag of a stream."""

_BESIDE_OWN = "user data that are together with an encoder's own"


class Fit(NamedTuple):
    """A picture as an encoder may have it."""

    picture: av.VideoFrame
    lost: str | None
    """What it lost for that; an encoder's words about itself do not count."""


def has_user_data(picture: av.VideoFrame, codec: str) -> bool:
    """Whether user data are with a decoded picture, other than an encoder's about itself.

    Args:
        picture: As the decoder gave it.
        codec: FFmpeg's name of its codec.
    """
    return codec not in PICTURE_CODECS and bool(_user_data(_known(picture)))


def fit_to_encode(picture: av.VideoFrame, *, user_data: bool) -> Fit:
    """Take from a picture what no encoder must be given.

    Args:
        picture: Not of one of `PICTURE_CODECS` as decoded; it stays as it is.
        user_data: Whether the encoder writes user data.
    """
    written = (Type.A53_CC, Type.SEI_UNREGISTERED) if user_data else (Type.A53_CC,)
    known = _known(picture)
    items = [item for item in beside(known) if item.type in written]
    if sum(item.buffer_size for item in items) > _MOST:
        lost = f"captions and user data of more than {_MOST} bytes a picture"
        return Fit(_without(known, map(_number, written)), lost)
    if not any(bytes(item)[:16] in _OF_ENCODERS for item in items):
        return Fit(picture, None)
    # One of a kind alone cannot be taken out.
    bare = _without(known, [_number(Type.SEI_UNREGISTERED)])
    return Fit(bare, _BESIDE_OWN if _user_data(known) else None)


def without_place(data: SideData, tags: dict[str, str], container: Container) -> list[str]:
    """What is lost of that which is said of the first picture, each in one line.

    Args:
        data: What the picture says.
        tags: What its stream says.
        container: What is to be written.
    """
    tagged = _STEREO_TAG in tags and container.muxer in _STEREO_TAGGED
    flat = not any(data.get(Type.STEREO3D, b"")[:4])  # the same picture for both eyes
    kept = {Type.STEREO3D} if tagged or flat else set()
    lost = [kind for kind in _NO_PLACE if kind in data and kind not in kept]
    return [f"{_NO_PLACE[kind]} cannot be kept" for kind in lost]


def _known(picture: av.VideoFrame) -> av.VideoFrame:
    """The picture, or if PyAV does not know a kind of what is with it, one without those."""
    try:
        beside(picture)
    except ValueError:
        return _without(picture, _NEWER)
    return picture


def _user_data(picture: av.VideoFrame) -> list[bytes]:
    found = [bytes(item) for item in beside(picture) if item.type == Type.SEI_UNREGISTERED]
    return [data for data in found if data[:16] not in _OF_ENCODERS]


def _number(kind: Type) -> int:
    return cast(int, cast(Any, kind).value)


def _without(picture: av.VideoFrame, kinds: Iterable[int]) -> av.VideoFrame:
    """The picture, with the same samples, without what is with it of some kinds."""
    bare = filtered(picture, *(("sidedata", f"mode=delete:type={kind}") for kind in kinds))
    assert bare is not None
    return bare
