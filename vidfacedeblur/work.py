"""One frame on its way through the pipeline, and the ways into and out of it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import av
import numpy as np

from vidfacedeblur.errors import OptionError
from vidfacedeblur.timing import StageClock
from vidfacedeblur.types import ByteImage, Canvas, Face, Frame, FrameResult
from vidfacedeblur.video import open_canvas, turned_by

Colour = Literal["rgb", "bgr"]


@dataclass
class Work:
    """One frame and what the stages found out about it."""

    frame: Frame
    canvas: Canvas
    clock: StageClock = field(default_factory=StageClock)
    faces: list[Face] = field(default_factory=list)

    def result(self, image: Any = None) -> FrameResult:
        """What is known of the frame now."""
        frame = self.frame
        return FrameResult(
            frame.index,
            frame.pts,
            frame.time_base,
            tuple(self.faces),
            self.clock.timing(),
            image,
            frame.corrupt,
        )


def decoded(source: Iterable[Frame]) -> Generator[Work, None, None]:
    """Frames of a source with their clocks, the time of decoding each on it."""
    frames = iter(source)
    while True:
        begin = time.perf_counter()
        frame = next(frames, None)
        if frame is None:
            return
        work = Work(frame, open_canvas(frame))
        work.clock.add("decode", 1e3 * (time.perf_counter() - begin))
        yield work


def work_on(index: int, picture: ByteImage | av.VideoFrame, colour: Colour) -> Work:
    """Take in a caller's frame: an array is copied, an `av.VideoFrame` is worked on in place.

    A frame that says that it is turned is looked at upright; all that PyAV safely tells of the
    matrix that says so is its angle, so mirroring is not heeded.

    Raises:
        OptionError: It is of another shape or type.
        InputError: Its pixel format cannot be worked on.
    """
    if colour not in ("rgb", "bgr"):
        raise OptionError(f"colour must be 'rgb' or 'bgr', got {colour!r}")
    if isinstance(picture, av.VideoFrame):
        frame = Frame(index, picture, picture.pts, orientation=turned_by(picture.rotation))
        frame.time_base = picture.time_base or frame.time_base
        return Work(frame, open_canvas(frame))
    if not isinstance(picture, np.ndarray):
        raise OptionError(
            f"a frame must be an array or av.VideoFrame, got {type(picture).__name__}"
        )
    good = picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8
    if not good or not picture.size:
        raise OptionError(f"a frame must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    rgb = picture if colour == "rgb" else picture[..., ::-1]
    frame = Frame(index, rgb.copy(order="C"))
    return Work(frame, open_canvas(frame))


def given_back(work: Work, colour: Colour) -> Any:
    """The edited frame, in the form in which the caller gave it."""
    edited = work.frame.picture
    if isinstance(edited, av.VideoFrame) or colour == "rgb":
        return edited
    return np.ascontiguousarray(edited[..., ::-1])
