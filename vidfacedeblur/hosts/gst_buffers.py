"""What lies in a `Gst.Buffer`, and the message that tells of it; everything here needs `gi`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GObject, Gst, GstVideo  # noqa: E402

if TYPE_CHECKING:
    import av

    from vidfacedeblur.hosts.raw import Picture
    from vidfacedeblur.types import FrameResult

_RANGES = {GstVideo.VideoColorRange(1): 2, GstVideo.VideoColorRange(2): 1}
"""GStreamer numbers full range before limited range, FFmpeg after it."""


def picture_of(info: Any) -> Picture:
    """What pictures look like whose caps are a `GstVideo.VideoInfo`."""
    from vidfacedeblur.hosts.raw import Picture  # PyAV: not before an element starts

    colours = info.colorimetry
    matrix = int(GstVideo.VideoColorMatrix.to_iso(colours.matrix))
    full = _RANGES.get(colours.range, 0)
    return Picture(info.finfo.name, info.width, info.height, matrix, full)


def copied(picture: Picture, info: Any, buffer: Any) -> av.VideoFrame:
    """The picture in a buffer.

    Raises:
        InputError: The buffer is too small.
    """
    pts = None if buffer.pts == Gst.CLOCK_TIME_NONE else buffer.pts
    with buffer.map(Gst.MapFlags.READ) as memory:
        return picture.taken(memory.data, *_places(info, buffer), pts)


def write_back(picture: Picture, info: Any, frame: av.VideoFrame, buffer: Any) -> None:
    """Write a picture over the one in a buffer, which nobody else may hold."""
    with buffer.map(Gst.MapFlags.WRITE | Gst.MapFlags.READ) as memory:
        picture.give_back(frame, memory.data, *_places(info, buffer))


def _places(info: Any, buffer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Where planes begin and how long their rows are, in bytes."""
    meta = GstVideo.buffer_get_video_meta(buffer)
    source = info if meta is None else meta
    return tuple(source.offset), tuple(source.stride)


def message(element: Any, result: FrameResult, pts: int) -> Any:
    """The element message that tells of a frame; times are in nanoseconds and milliseconds."""
    from vidfacedeblur.hosts.report import as_json

    deblurred = sum(face.deblurred for face in result.faces)
    told = Gst.Structure.new_empty("vidfacedeblur")
    told.set_value("frame", GObject.Value(GObject.TYPE_UINT64, result.index))
    told.set_value("pts", GObject.Value(GObject.TYPE_UINT64, pts))
    told.set_value("faces", GObject.Value(GObject.TYPE_INT, len(result.faces)))
    told.set_value("deblurred", GObject.Value(GObject.TYPE_INT, deblurred))
    told.set_value("milliseconds", GObject.Value(GObject.TYPE_DOUBLE, result.timing.total))
    told.set_value("json", GObject.Value(GObject.TYPE_STRING, as_json(result)))
    return Gst.Message.new_element(element, told)
