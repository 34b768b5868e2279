"""Between the process that runs a job and the child that reads and writes its files.

Messages are JSON, pictures are bytes: nothing that comes from the child can make the parent run
code, as a pickle could.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import suppress
from fractions import Fraction
from multiprocessing.connection import Connection
from typing import Any

import av
import numpy as np

from vidfacedeblur import errors
from vidfacedeblur.errors import DamagedInputError, VidFaceDeblurError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.frames import rows_of
from vidfacedeblur.video.interlacing import interlaced

_PIPE_BYTES = 1 << 20
_LONGEST = 1 << 20  # of a message; pictures are bounded by their own size


class Wire:
    """One end of a pipe, for messages of JSON and for pictures.

    Raises:
        EOFError: On receiving, when the other side is gone.
        BrokenPipeError: On sending, when the other side is gone.
    """

    def __init__(self, handle: int, *, reads: bool) -> None:
        self._end = Connection(handle, readable=reads, writable=not reads)
        with suppress(OSError, AttributeError):  # not Linux, or too much of it: slower
            fcntl.fcntl(handle, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message."""
        self._end.send_bytes(json.dumps(message).encode())

    def receive(self) -> dict[str, Any]:
        """Wait for a message."""
        try:
            message = json.loads(self._end.recv_bytes(_LONGEST))
        except (OSError, ValueError) as error:  # too long, closed, or not JSON
            raise EOFError from error
        if not isinstance(message, dict):
            raise EOFError
        return message

    def waits(self, seconds: float) -> bool:
        """Whether something can be received, or the other side is gone, within so long."""
        return self._end.poll(seconds)

    def send_planes(self, picture: av.VideoFrame) -> None:
        """Send the samples of a picture."""
        for plane in picture.planes:
            self._end.send_bytes(rows_of(plane, np.uint8).ravel().data)

    def receive_planes(self, picture: av.VideoFrame) -> None:
        """Fill a picture with samples that were sent."""
        for plane in picture.planes:
            data = self._end.recv_bytes(2 * picture.width * picture.height * 8 + _LONGEST)
            rows = rows_of(plane, np.uint8)
            if not data or len(data) % len(rows):
                raise EOFError
            sent = np.frombuffer(data, np.uint8).reshape(len(rows), -1)
            width = min(sent.shape[1], rows.shape[1])
            rows[:, :width] = sent[:, :width]

    def close(self) -> None:
        """Close this end."""
        self._end.close()


def frame_values(frame: Frame) -> dict[str, Any]:
    """What the other side has to know of a frame, beside its samples."""
    picture = frame.picture
    assert isinstance(picture, av.VideoFrame)
    return {
        "index": frame.index,
        "pts": frame.pts,
        "time_base": [frame.time_base.numerator, frame.time_base.denominator],
        "duration": frame.duration,
        "orientation": frame.orientation,
        "corrupt": frame.corrupt,
        "size": [picture.width, picture.height],
        "format": picture.format.name,
        "interlaced": bool(picture.interlaced_frame),
        "colorspace": int(picture.colorspace),
        "color_range": int(picture.color_range),
    }


def frame_of(values: dict[str, Any]) -> Frame:
    """The frame that `frame_values` told of, its samples still missing."""
    width, height = values["size"]
    picture = av.VideoFrame(width, height, values["format"])
    picture.pts = values["pts"]
    picture.time_base = time_base = Fraction(*values["time_base"])
    if values["interlaced"]:
        picture = interlaced(picture)
    picture.colorspace, picture.color_range = values["colorspace"], values["color_range"]
    return Frame(
        index=values["index"],
        picture=picture,
        pts=values["pts"],
        time_base=time_base,
        duration=values["duration"],
        orientation=values["orientation"],
        corrupt=values["corrupt"],
    )


def error_values(error: BaseException) -> dict[str, Any]:
    """An error, as a message."""
    return {
        "error": type(error).__name__,
        "message": str(error),
        "frames": getattr(error, "frames", 0),
    }


def error_of(values: dict[str, Any]) -> Exception:
    """The error that a message tells of."""
    kind = getattr(errors, str(values["error"]), None)
    message = str(values["message"])
    if kind is DamagedInputError:
        return DamagedInputError(message, frames=int(values["frames"]))
    if isinstance(kind, type) and issubclass(kind, VidFaceDeblurError):
        return kind(message)
    return RuntimeError(f"{values['error']}: {message}")
