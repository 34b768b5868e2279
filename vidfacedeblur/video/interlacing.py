"""Marking pictures as interlaced, which PyAV alone cannot."""

from __future__ import annotations

import av

from vidfacedeblur.video.frames import filtered


class FieldOrder:
    """Keeps one order of fields among pictures of which some have none.

    Broadcasts and cameras code what stands still as whole pictures, which have no first field.
    libx264 takes them for such whose bottom field comes first, and the pictures around them, too.

    Args:
        first: An interlaced picture, which shows the order.
    """

    def __init__(self, first: av.VideoFrame) -> None:
        top = ("select", "eq(interlace_type\\,TOPFIRST)")
        self._mode = "tff" if filtered(first, top) is not None else "bff"

    def marked(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The same picture, in this order if it has none."""
        if picture.interlaced_frame:
            return picture
        return _set(picture, self._mode)


def interlaced(picture: av.VideoFrame) -> av.VideoFrame:
    """A picture over the same samples that says it is interlaced, its upper field first."""
    return _set(picture, "tff")


def _set(picture: av.VideoFrame, mode: str) -> av.VideoFrame:
    marked = filtered(picture, ("setfield", mode))
    assert marked is not None
    return marked
