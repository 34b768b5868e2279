"""Small helpers around `av.VideoFrame`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import av
from av.codec.codec import find_best_pix_fmt_of_list
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

SideData = dict[Type, bytes]

# PyAV 18.1 frees the names that these decoders give to colour profiles, and so does FFmpeg: whoever
# looks at such a picture's side data crashes later.
_UNSAFE_SIDE_DATA = frozenset({"png", "apng"})

_local = threading.local()


def reformatter() -> VideoReformatter:
    """The calling thread's own converter: one shared between threads hangs or crashes."""
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    return cast(VideoReformatter, _local.reformatter)


def side_data(picture: av.VideoFrame, codec: str) -> SideData:
    """What a decoded picture carries beside its pixels.

    Args:
        picture: As the decoder gave it.
        codec: FFmpeg's name of its codec.
    """
    if codec in _UNSAFE_SIDE_DATA:
        return {}
    try:
        return {Type(item.type): bytes(item) for item in cast(Any, picture.side_data)}
    except ValueError:  # of a kind that PyAV does not know, and then it gives none
        return {}


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format has an alpha channel; palettes count as having one."""
    return pix_fmt == "pal8" or any(c.is_alpha for c in av.VideoFormat(pix_fmt).components)


def nearest_format(pix_fmt: str, formats: Sequence[str]) -> tuple[str, bool]:
    """The pixel format, of a non-empty list, that loses least; and whether it loses anything."""
    best, loss = find_best_pix_fmt_of_list(formats, pix_fmt, has_alpha=has_alpha(pix_fmt))
    assert best is not None
    return best.name, bool(loss)
