"""Small helpers around `av.VideoFrame`."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.codec.codec import find_best_pix_fmt_of_list
from av.filter import Graph
from av.sidedata.sidedata import SideDataContainer, Type
from av.video.plane import VideoPlane
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from vidfacedeblur.video.layout import layouts

SideData = dict[Type, bytes]

PICTURE_CODECS = frozenset({"png", "apng", "mjpeg"})
"""Codecs whose pictures may carry a colour profile or EXIF data as side data.

Those must not be looked at, and must not reach an encoder. PyAV 18.1 frees the name of a profile,
and so does FFmpeg: the process crashes. And FFmpeg's JPEG encoder gives up, and the process with
it, at a profile that is larger than the picture.
"""

_local = threading.local()


def reformatter() -> VideoReformatter:
    """The calling thread's own converter: one shared between threads hangs or crashes."""
    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()
    return cast(VideoReformatter, _local.reformatter)


def beside(picture: av.VideoFrame) -> Any:
    """What lies beside a picture's samples, each with its `type`, and its bytes as a buffer.

    PyAV's property `side_data` shows for good what it found first, though that is freed where the
    picture is made writable.

    Raises:
        ValueError: Of a kind that PyAV does not know.
    """
    return cast(Any, SideDataContainer)(picture)


def side_data(picture: av.VideoFrame, codec: str) -> SideData:
    """What a decoded picture carries beside its pixels.

    Args:
        picture: As the decoder gave it.
        codec: FFmpeg's name of its codec.
    """
    if codec in PICTURE_CODECS:
        return {}
    try:
        return {Type(item.type): bytes(item) for item in beside(picture)}
    except ValueError:  # of a kind that PyAV does not know, and then it gives none
        return {}


def rows_of(plane: VideoPlane, kind: type[np.uint8 | np.uint16]) -> NDArray[Any]:
    """A plane's samples, (rows, samples with padding), as a view that can be written to."""
    rows = np.frombuffer(cast(bytes, plane), kind).reshape(plane.height, -1)
    return rows[::-1] if plane.line_size < 0 else rows  # some are stored bottom up


def checksum(picture: av.VideoFrame) -> int:
    """A number that two pictures share if all their samples are the same, and hardly else.

    Args:
        picture: In a format that a canvas can work on. What lies beside its samples does not count.
    """
    layout = layouts()[picture.format.name]
    value = 0
    for number, plane in enumerate(picture.planes):
        steps = [samples.step for samples in layout.components if samples.plane == number]
        width = plane.width * min(steps, default=1) * layout.bytes
        # Rows end in padding, which is anything.
        samples = np.ascontiguousarray(rows_of(plane, np.uint8)[:, :width])
        value = zlib.crc32(samples.data, value)
    return value


def without_side_data(picture: av.VideoFrame) -> av.VideoFrame:
    """A copy of a picture, its time and its colour tags, and of nothing else."""
    copy = av.VideoFrame(picture.width, picture.height, picture.format.name)
    for old, new in zip(picture.planes, copy.planes, strict=True):
        width = min(abs(old.line_size), abs(new.line_size))
        rows_of(new, np.uint8)[:, :width] = rows_of(old, np.uint8)[:, :width]
    copy.pts, copy.duration = picture.pts, picture.duration
    if picture.time_base is not None:
        copy.time_base = picture.time_base
    copy.colorspace, copy.color_range = picture.colorspace, picture.color_range
    copy.color_primaries, copy.color_trc = picture.color_primaries, picture.color_trc
    return copy


def filtered(picture: av.VideoFrame, *steps: tuple[str, str]) -> av.VideoFrame | None:
    """What comes out of FFmpeg's filters, each with its arguments; None if one holds it back."""
    graph = Graph()
    last: Any = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        # Some decoded pictures have none; it changes nothing of them here.
        time_base=picture.time_base or Fraction(1, 1000),
    )
    for name, arguments in (*steps, ("buffersink", None)):
        step = graph.add(name, arguments)
        last.link_to(step)
        last = step
    graph.configure()
    graph.vpush(picture)
    try:
        return graph.vpull()
    except BlockingIOError:
        return None


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format has an alpha channel; palettes count as having one."""
    return pix_fmt == "pal8" or any(c.is_alpha for c in av.VideoFormat(pix_fmt).components)


def nearest_format(pix_fmt: str, formats: Sequence[str]) -> tuple[str, bool]:
    """The pixel format, of a non-empty list, that loses least; and whether it loses anything."""
    best, loss = find_best_pix_fmt_of_list(formats, pix_fmt, has_alpha=has_alpha(pix_fmt))
    assert best is not None
    return best.name, bool(loss)
