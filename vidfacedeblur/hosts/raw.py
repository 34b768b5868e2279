"""Pictures as they lie in another program's memory, to `av.VideoFrame` and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.errors import InputError

NANOSECONDS = Fraction(1, 1_000_000_000)
"""The time base of a picture's pts."""

UNSPECIFIED = 2
"""The colour matrix of a picture that says nothing of it, as ITU-T H.273 numbers them."""


class _Plane(NamedTuple):
    sample: int
    """Bytes from one sample, or group of samples, to the next."""
    wide: int = 1
    """Luma samples to one of this plane, across."""
    high: int = 1
    """The same, down."""


_LAYOUTS = {
    "I420": ("yuv420p", (_Plane(1), _Plane(1, 2, 2), _Plane(1, 2, 2))),
    "NV12": ("nv12", (_Plane(1), _Plane(2, 2, 2))),
    "RGB": ("rgb24", (_Plane(3),)),
    "BGRx": ("bgr0", (_Plane(4),)),
}
"""By GStreamer's name of a format: FFmpeg's, and its planes."""


@dataclass(frozen=True)
class Picture:
    """What pictures look like, and what their colours mean."""

    format: str
    """I420, NV12, RGB or BGRx, as GStreamer calls them."""
    width: int
    height: int
    matrix: int = UNSPECIFIED
    """From R'G'B' to Y'CbCr, as ITU-T H.273 numbers them."""
    colour_range: int = 0
    """0: unknown, 1: limited, 2: full; as FFmpeg numbers them."""

    def taken(
        self, data: Any, offsets: tuple[int, ...], strides: tuple[int, ...], pts: int | None
    ) -> av.VideoFrame:
        """A copy of the picture in a buffer.

        Args:
            data: The buffer's bytes.
            offsets: Where each plane begins, in bytes.
            strides: Bytes from one row of each plane to the next.
            pts: In nanoseconds.

        Raises:
            InputError: The buffer is too small.
        """
        frame = av.VideoFrame(self.width, self.height, _LAYOUTS[self.format][0])
        if self.format in ("I420", "NV12"):
            frame.colorspace, frame.color_range = self.matrix, self.colour_range
        frame.pts, frame.time_base = pts, NANOSECONDS
        for own, theirs in self._rows(frame, data, offsets, strides):
            own[...] = theirs
        return frame

    def give_back(
        self, frame: av.VideoFrame, data: Any, offsets: tuple[int, ...], strides: tuple[int, ...]
    ) -> None:
        """Write a picture over the one in a buffer; bytes between its rows stay as they are.

        Raises:
            InputError: The buffer is too small.
        """
        for own, theirs in self._rows(frame, data, offsets, strides):
            theirs[...] = own

    def _rows(
        self, frame: av.VideoFrame, data: Any, offsets: tuple[int, ...], strides: tuple[int, ...]
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """The samples of each plane, (rows, bytes): in the frame, and in the buffer."""
        for number, plane in enumerate(_LAYOUTS[self.format][1]):
            rows = -(-self.height // plane.high)
            width = -(-self.width // plane.wide) * plane.sample
            own = frame.planes[number]
            pitch = strides[number]
            if len(data) < offsets[number] + (rows - 1) * pitch + width:
                raise InputError(
                    f"a buffer of {len(data)} bytes is too small for a picture of"
                    f" {self.width}x{self.height} in {self.format}"
                )
            yield (
                _view((rows, width), own, 0, own.line_size),
                _view((rows, width), data, offsets[number], pitch),
            )


def _view(shape: tuple[int, int], memory: Any, offset: int, pitch: int) -> NDArray[np.uint8]:
    return np.ndarray(shape, np.uint8, memory, offset, (pitch, 1))
