"""The only place where pixels change: read a region as RGB, give back a difference.

A decoded frame is worked on in its own Y'CbCr (or RGB) planes, and only within the region that is
asked for. There is no round trip through RGB: what is added is the difference, converted, so that a
sample whose difference is zero keeps its value bit for bit, inside the region as outside.

Chroma is taken as lying in the middle of the luma samples it covers. Most video has it half a luma
sample to the left; for a difference that is far below what can be seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.errors import InputError
from vidfacedeblur.types import ByteImage, Canvas, FloatImage, Frame, Region
from vidfacedeblur.video.chroma import averaged, chroma_grid, fields_of
from vidfacedeblur.video.colour import FULL_RANGE, Conversion, known_matrix, ycbcr
from vidfacedeblur.video.frames import reformatter, rows_of
from vidfacedeblur.video.layout import PixelLayout, Samples, layouts
from vidfacedeblur.video.orientation import (
    stored_region,
    swaps_sides,
    turned_back,
    turned_upright,
    upright,
)

Plane = NDArray[Any]
"""Samples of one component, uint8 or uint16."""

_GLANCE = 24
"""Samples along the shorter side of a picture that a glance takes, about."""

_GRAY_WEIGHTS = np.array([[0.299, 0.587, 0.114]], np.float32)


def open_canvas(frame: Frame) -> Canvas:
    """A canvas on a frame's picture, which is changed in place.

    Raises:
        InputError: The picture is neither an `av.VideoFrame` in a format that can be worked on, nor
            an (H, W, 3) uint8 array.
    """
    if isinstance(frame.picture, av.VideoFrame):
        return FrameCanvas(frame.picture, frame.orientation)
    return ArrayCanvas(frame.picture, frame.orientation)


class ArrayCanvas:
    """A canvas on an RGB array. Region coordinates are upright, the array is as stored."""

    interlaced = False

    def __init__(self, image: ByteImage, orientation: int = 1) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"a picture must be an (H, W, 3) uint8 array, got {image.dtype} {image.shape}"
            )
        self._upright = upright(image, orientation)
        self.height, self.width = self._upright.shape[:2]

    def rgb(self) -> ByteImage:
        """The picture itself, as a view that cannot be written to."""
        view = self._upright.view()
        view.flags.writeable = False
        return view

    def glance(self) -> ByteImage:
        return _coarse(self._upright[..., 1])

    def read(self, region: Region) -> FloatImage:
        _check_inside(region, self)
        return self._upright[_rows_columns(region)].astype(np.float32) / np.float32(255)

    def read_small(self, region: Region, side: int) -> FloatImage:
        _check_inside(region, self)
        block = np.ascontiguousarray(self._upright[_rows_columns(region)])
        return _squeezed(block, side).astype(np.float32) / np.float32(255)

    def add(self, region: Region, difference: FloatImage) -> None:
        _check_inside(region, self, difference)
        block = self._upright[_rows_columns(region)]
        block[...] = _raised(np.ascontiguousarray(block), difference * np.float32(255), 255)


class FrameCanvas:
    """A canvas on a decoded frame, in the frame's own planes."""

    def __init__(self, picture: av.VideoFrame, orientation: int = 1) -> None:
        layout = layouts().get(picture.format.name)
        if layout is None:
            raise InputError(
                f"pixel format {picture.format.name} cannot be worked on; convert the frame to"
                " yuv420p, yuv444p10le, rgb24 or the like first"
            )
        self._picture = picture
        self._orientation = orientation
        self._layout = layout
        self._matrix = known_matrix(int(picture.colorspace), picture.height)
        self._full_range = layout.full_range or int(picture.color_range) == FULL_RANGE
        self._writable = False
        sides = (picture.width, picture.height)
        self.width, self.height = sides[::-1] if swaps_sides(orientation) else sides
        self.interlaced = bool(picture.interlaced_frame) and not swaps_sides(orientation)
        # Lines of chroma belong to the fields in turn; with other heights, one field has more.
        self._in_fields = picture.interlaced_frame and layout.high == 2 and picture.height % 4 == 0

    def rgb(self) -> ByteImage:
        converted = reformatter().reformat(
            self._picture,
            format="rgb24",
            src_colorspace=self._matrix,
            src_color_range=FULL_RANGE if self._is_full_range else 1,
            dst_color_range=FULL_RANGE,
        )
        image = cast(ByteImage, converted.to_ndarray())
        return turned_upright(image, self._orientation)

    def glance(self) -> ByteImage:
        layout = self._layout
        coarse = _coarse(_samples(self._picture, layout, layout.components[0]))
        return cast(ByteImage, (coarse >> (layout.shift + layout.bits - 8)).astype(np.uint8))

    def read(self, region: Region) -> FloatImage:
        _check_inside(region, self)
        place = self._stored(region)
        samples = [
            self._floats(number, place, *self._subsampling(number))
            for number in range(len(self._layout.components))
        ]
        return self._as_rgb(samples)

    def read_small(self, region: Region, side: int) -> FloatImage:
        _check_inside(region, self)
        place = self._stored(region)
        samples = []
        for number, component in enumerate(self._layout.components):
            plane = _samples(self._picture, self._layout, component)
            wide, high = self._subsampling(number)
            block = plane[_rows_columns(chroma_grid(place, wide, high))]
            small = _squeezed(np.ascontiguousarray(block), side)
            samples.append(_code_values(small, self._layout.shift))
        return self._as_rgb(samples)

    def _as_rgb(self, samples: list[FloatImage]) -> FloatImage:
        """Upright RGB in [0, 1] of a region's components in code values."""
        layout = self._layout
        if layout.model == "yuv":
            rgb = cv2.transform(cv2.merge(samples), self._conversion.to_rgb)
        else:
            rgb = cv2.merge(samples * (3 // len(samples))) * np.float32(1 / layout.top)
        np.clip(rgb, 0, 1, out=rgb)
        return turned_upright(cast(FloatImage, rgb), self._orientation)

    def add(self, region: Region, difference: FloatImage) -> None:
        _check_inside(region, self, difference)
        if not self._writable:
            # The decoder may still predict from these samples.
            self._picture.make_writable()
            self._writable = True
        place = self._stored(region)
        change = turned_back(np.ascontiguousarray(difference, np.float32), self._orientation)
        changes = cv2.transform(change, self._difference_matrix)
        for number in range(len(self._layout.components)):
            values = cv2.extractChannel(changes, number)
            self._raise(number, place, values, *self._subsampling(number))

    @property
    def _is_full_range(self) -> bool:
        return self._full_range or self._layout.model == "rgb"

    @property
    def _conversion(self) -> Conversion:
        return ycbcr(self._matrix, self._layout.bits, full_range=self._full_range)

    @property
    def _difference_matrix(self) -> NDArray[np.float32]:
        if self._layout.model == "yuv":
            return self._conversion.difference
        weights = np.eye(3, dtype=np.float32) if self._layout.model == "rgb" else _GRAY_WEIGHTS
        return weights * np.float32(self._layout.top)

    def _subsampling(self, number: int) -> tuple[int, int]:
        chroma = self._layout.model == "yuv" and number > 0
        return (self._layout.wide, self._layout.high) if chroma else (1, 1)

    def _stored(self, region: Region) -> Region:
        return stored_region(region, self._orientation, self._picture.width, self._picture.height)

    def _floats(self, number: int, place: Region, wide: int, high: int) -> FloatImage:
        """One component of a region, at luma resolution, in code values."""
        plane = _samples(self._picture, self._layout, self._layout.components[number])
        if (wide, high) == (1, 1):
            return _code_values(plane[_rows_columns(place)], self._layout.shift)
        whole = np.empty((place.height, place.width), np.float32)
        for own, lines, part in self._parts(place):
            whole[lines] = self._enlarged(plane[own], part, wide, high)
        return whole

    def _parts(self, place: Region) -> Iterable[tuple[slice, slice, Region]]:
        """The parts of a region whose chroma is worked on by itself; see `fields_of`."""
        return fields_of(place) if self._in_fields else [(slice(None), slice(None), place)]

    def _enlarged(self, plane: Plane, place: Region, wide: int, high: int) -> FloatImage:
        """A region of a chroma plane at luma resolution, in code values."""
        # One sample more on each side, so that the result does not depend on the region.
        grid = chroma_grid(place, wide, high)
        grid = Region(
            max(grid.x0 - 1, 0),
            max(grid.y0 - 1, 0),
            min(grid.x1 + 1, plane.shape[1]),
            min(grid.y1 + 1, plane.shape[0]),
        )
        block = _code_values(plane[_rows_columns(grid)], self._layout.shift)
        size = (grid.width * wide, grid.height * high)
        enlarged = cv2.resize(block, size, interpolation=cv2.INTER_LINEAR)
        x, y = place.x0 - grid.x0 * wide, place.y0 - grid.y0 * high
        return cast(FloatImage, enlarged[y : y + place.height, x : x + place.width])

    def _raise(
        self, number: int, place: Region, values: NDArray[Any], wide: int, high: int
    ) -> None:
        """Add `values`, at luma resolution and in code values, to one component of a region."""
        plane = _samples(self._picture, self._layout, self._layout.components[number])
        if (wide, high) == (1, 1):
            self._raise_samples(plane, place, values)
            return
        size = (self._picture.width, self._picture.height // (2 if self._in_fields else 1))
        for own, lines, part in self._parts(place):
            grid = chroma_grid(part, wide, high)
            change = averaged(values[lines], part, grid, wide, high, size)
            self._raise_samples(plane[own], grid, change)

    def _raise_samples(self, plane: Plane, place: Region, values: NDArray[Any]) -> None:
        """Add values to a region of a plane's samples."""
        block = plane[_rows_columns(place)]
        old = np.ascontiguousarray(block)
        if self._layout.shift:
            codes = old >> self._layout.shift
            raised = _raised(codes, values, self._layout.top) - codes  # may wrap, and back below
            block[...] = old + (raised << self._layout.shift)
        else:
            block[...] = _raised(old, values, self._layout.top)


def _squeezed(block: Plane, side: int) -> Plane:
    """A block of samples averaged (or stretched) to a square."""
    how = cv2.INTER_AREA if max(block.shape[:2]) > side else cv2.INTER_LINEAR
    return cast(Plane, cv2.resize(block, (side, side), interpolation=how))


def _coarse(plane: Plane) -> Plane:
    """Every so many samples of a plane, a copy."""
    step = max(1, min(plane.shape) // _GLANCE)
    return plane[step // 2 :: step, step // 2 :: step].copy()


def _check_inside(region: Region, canvas: Canvas, difference: FloatImage | None = None) -> None:
    inside = 0 <= region.x0 < region.x1 <= canvas.width and (
        0 <= region.y0 < region.y1 <= canvas.height
    )
    if not inside:
        raise ValueError(f"{region} is not inside the picture of {canvas.width}x{canvas.height}")
    if difference is not None and difference.shape != (region.height, region.width, 3):
        raise ValueError(f"{region} cannot take a difference of shape {difference.shape}")


def _rows_columns(region: Region) -> tuple[slice, slice]:
    return slice(region.y0, region.y1), slice(region.x0, region.x1)


def _samples(picture: av.VideoFrame, layout: PixelLayout, place: Samples) -> Plane:
    """A writable view of one component's samples, (rows, columns)."""
    rows = rows_of(picture.planes[place.plane], np.uint8 if layout.bytes == 1 else np.uint16)
    wide = layout.wide if layout.model == "yuv" and place is not layout.components[0] else 1
    columns = -(-picture.width // wide)
    return rows[:, place.offset :: place.step][:, :columns]


def _code_values(block: Plane, shift: int) -> FloatImage:
    return cast(FloatImage, (block >> shift if shift else block).astype(np.float32))


def _raised(old: Plane, change: NDArray[Any], top: int) -> Plane:
    """`old + change`, rounded and held within 0 to `top`."""
    # In one pass, without a float copy: cv2 rounds and saturates to the type.
    kind = cv2.CV_8U if old.dtype == np.uint8 else cv2.CV_16U
    new = cv2.add(old, change, dtype=kind)
    if old.dtype == np.uint16 and top < 0xFFFF:
        np.minimum(new, top, out=new)
    return new
