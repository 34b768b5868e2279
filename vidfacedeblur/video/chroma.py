"""Colour that is stored coarser than brightness: which samples belong to which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
from numpy.typing import NDArray

from vidfacedeblur.types import Region


def chroma_grid(place: Region, wide: int, high: int) -> Region:
    """The chroma samples that a region of luma samples touches."""
    return Region(place.x0 // wide, place.y0 // high, -(-place.x1 // wide), -(-place.y1 // high))


def fields_of(place: Region) -> Iterator[tuple[slice, slice, Region]]:
    """A region's part in each field of an interlaced picture, where it has one.

    Yields:
        Which lines of a plane are the field's; which lines of the region are; and where in the
        field's own lines the region lies.
    """
    for field in (0, 1):
        top, bottom = (place.y0 + 1 - field) // 2, (place.y1 + 1 - field) // 2
        if top < bottom:
            lines = slice((field - place.y0) % 2, None, 2)
            yield slice(field, None, 2), lines, Region(place.x0, top, place.x1, bottom)


def averaged(
    values: NDArray[Any],
    place: Region,
    grid: Region,
    wide: int,
    high: int,
    size: tuple[int, int],
) -> NDArray[Any]:
    """Average a region's luma-sized values onto its chroma samples.

    A chroma sample of which the region covers a part gets that part of the change. At the right and
    bottom edge of a picture of odd `size`, the luma samples that do not exist do not count.

    Args:
        values: (height, width) of `place`.
        place: The region of luma samples.
        grid: Its chroma samples.
        wide: Luma samples that a chroma sample covers from left to right.
        high: The same from top to bottom.
        size: Width and height of the picture in luma samples.
    """
    left, top = place.x0 - grid.x0 * wide, place.y0 - grid.y0 * high
    right, bottom = grid.x1 * wide - place.x1, grid.y1 * high - place.y1
    if place.x1 == size[0]:
        values = cv2.copyMakeBorder(values, 0, 0, 0, right, cv2.BORDER_REPLICATE)
        right = 0
    if place.y1 == size[1]:
        values = cv2.copyMakeBorder(values, 0, bottom, 0, 0, cv2.BORDER_REPLICATE)
        bottom = 0
    if left or top or right or bottom:
        values = cv2.copyMakeBorder(values, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)
    return cv2.resize(values, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
