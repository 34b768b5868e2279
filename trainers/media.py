"""Pictures and videos of a data set, decoded by the pipeline's own source: fenced, and upright."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import DamagedInputError, InputError
from vidfacedeblur.types import ByteImage
from vidfacedeblur.video import PICTURE_SUFFIXES, open_canvas, open_source


def is_picture(path: Path) -> bool:
    """Whether a file is a still picture, by its suffix."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def read_picture(path: Path) -> ByteImage:
    """Decode a picture file, or the first frame of a video, to (H, W, 3) RGB.

    Raises:
        InputError: It cannot be decoded.
    """
    with closing(read_frames(path)) as frames:
        return next(frames)


def read_frames(path: Path) -> Generator[ByteImage, None, None]:
    """Decode the frames of a video, or a picture as the only one, to (H, W, 3) RGB.

    A frame with concealed damage, taken for a sharp truth, would teach errors.

    Raises:
        InputError: It cannot be decoded, or not in whole; what comes before was yielded.
    """
    try:
        with open_source(path, VideoOptions(keep_partial=True)) as source:
            for frame in source:
                if frame.corrupt:
                    raise InputError(f"{path}: frame {frame.index} is damaged")
                yield np.ascontiguousarray(open_canvas(frame).rgb())
    except DamagedInputError as error:
        raise InputError(str(error)) from error
    if source.truncated is not None:
        raise InputError(source.truncated)
    if source.bad_packets:
        raise InputError(f"{path}: {source.bad_packets} packets of it cannot be decoded")
