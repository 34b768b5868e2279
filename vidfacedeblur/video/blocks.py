"""Parts of pictures copied into others as they are stored, whatever their pixel format."""

from __future__ import annotations

from typing import Any, NamedTuple

import av
import numpy as np
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation
from numpy.typing import NDArray

from vidfacedeblur.types import ByteImage, Region
from vidfacedeblur.video.colour import FULL_RANGE, known_matrix
from vidfacedeblur.video.frames import reformatter, rows_of
from vidfacedeblur.video.layout import PixelLayout, layouts

_LIMITED_RANGE = 1


class _Grid(NamedTuple):
    """How a plane's samples cover the picture."""

    size: int
    """Bytes at one place."""
    wide: int
    """Pixels that a place covers, across."""
    high: int
    """Pixels that a place covers, down."""


def alignment(pix_fmt: str) -> tuple[int, int]:
    """Pixels, across and down, at whose multiples a picture can be cut without mixing colours."""
    layout = layouts()[pix_fmt]
    return (layout.wide, layout.high) if layout.model == "yuv" else (1, 1)


def paste(target: av.VideoFrame, source: av.VideoFrame, region: Region, x: int, y: int) -> None:
    """Copy a region of a picture into another one of the same pixel format, sample by sample.

    Args:
        target: Is changed; nobody else may hold its samples.
        source: Where the region is taken from.
        region: In stored pixels; left and top as `alignment` wants it. At its right and bottom it
            may end between, and takes the whole chroma sample along.
        x: Left edge in the target, as `alignment` wants it.
        y: Top edge in the target, likewise.
    """
    layout = layouts()[source.format.name]
    for number, (old, new) in enumerate(zip(source.planes, target.planes, strict=True)):
        grid = _grid(layout, number)
        block = _block(old, grid, region)
        place = Region(x, y, x + region.width, y + region.height)
        _block(new, grid, place)[...] = block


def enlarged(picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """A picture of another size with everything that goes with this one, to be painted over."""
    # Scaling is PyAV's only way to take along what says how fields and colours are to be read.
    return reformatter().reformat(picture, width, height, interpolation=Interpolation.POINT)


def matched(picture: av.VideoFrame, like: av.VideoFrame) -> av.VideoFrame:
    """A picture in the pixel format, colour matrix and range of another; itself if it has them."""
    if picture.format.name == like.format.name:
        return picture
    return reformatter().reformat(
        picture,
        format=like.format.name,
        src_colorspace=known_matrix(int(picture.colorspace), picture.height),
        dst_colorspace=known_matrix(int(like.colorspace), like.height),
        src_color_range=_range(picture),
        dst_color_range=_range(like),
    )


def painted(image: ByteImage, like: av.VideoFrame) -> av.VideoFrame:
    """An RGB image, (H, W, 3) and as stored, as a picture that `paste` can put into another."""
    return matched(av.VideoFrame.from_ndarray(image, format="rgb24"), like)


def _range(picture: av.VideoFrame) -> int:
    layout = layouts()[picture.format.name]
    full = layout.full_range or layout.model == "rgb" or int(picture.color_range) == FULL_RANGE
    return FULL_RANGE if full else _LIMITED_RANGE


def _grid(layout: PixelLayout, plane: int) -> _Grid:
    # A plane that holds no colour holds alpha, at full size.
    held = [(n, c.step) for n, c in enumerate(layout.components) if c.plane == plane] or [(0, 1)]
    number, step = max(held, key=lambda one: one[1])
    chroma = layout.model == "yuv" and number > 0
    wide, high = (layout.wide, layout.high) if chroma else (1, 1)
    return _Grid(step * layout.bytes, wide, high)


def _block(plane: VideoPlane, grid: _Grid, region: Region) -> NDArray[Any]:
    """A region's bytes in a plane, (rows, bytes), as a view that can be written to."""
    left, right = region.x0 // grid.wide, -(-region.x1 // grid.wide)
    top, bottom = region.y0 // grid.high, -(-region.y1 // grid.high)
    return rows_of(plane, np.uint8)[top:bottom, left * grid.size : right * grid.size]
