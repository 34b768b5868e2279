"""Small helpers around `av.VideoFrame`."""

from __future__ import annotations

import threading
from typing import Any, cast

import av
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

_local = threading.local()


def reformatter() -> VideoReformatter:
    """The calling thread's own converter: one shared between threads hangs or crashes."""
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    return cast(VideoReformatter, _local.reformatter)


def side_data(picture: av.VideoFrame, kind: Type) -> bytes | None:
    """A picture's side data of one kind, or None."""
    found: Any = cast(Any, picture.side_data).get(kind)
    return None if found is None else bytes(found)
