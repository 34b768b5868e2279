"""How a stored picture is turned upright: the eight EXIF orientations.

A video says it with a display matrix, a photo with an EXIF tag; both are mapped to the EXIF number.
The stored pixels are never turned: regions are mapped to where they are stored instead.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from vidfacedeblur.types import Region
from vidfacedeblur.video.frames import SideData

_Scalar = TypeVar("_Scalar", bound=np.generic)

# With y pointing down, upright x = a*x + c*y and upright y = b*x + d*y, but for a shift.
_BY_SIGNS: dict[tuple[int, ...], int] = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}  # after the sides are swapped; as cv2 counts
_INVERSE = {6: 8, 8: 6}


def display_matrix(data: SideData) -> tuple[int, ...] | None:
    """The nine integers of a display matrix, row by row, or None."""
    matrix = data.get(Type.DISPLAYMATRIX, b"")
    return struct.unpack("=9i", matrix[:36]) if len(matrix) >= 36 else None


def orientation_of(matrix: tuple[int, ...] | None) -> int:
    """The EXIF orientation, 1 to 8, that a display matrix asks for.

    `av.VideoFrame.rotation` cannot be used: it knows no mirroring. A matrix that turns by anything
    but quarter turns counts as 1.
    """
    if matrix is None:
        return 1
    a, b, _, c, d, *_ = matrix
    largest = max(abs(v) for v in (a, b, c, d)) or 1
    signs = tuple(round(v / largest) for v in (a, b, c, d))
    return _BY_SIGNS.get(signs, 1)


def turned_by(degrees: int) -> int:
    """The EXIF orientation of pictures that are to be turned, by `av.VideoFrame.rotation`."""
    return {90: 8, 180: 3, 270: 6}.get(degrees % 360, 1)


def swaps_sides(orientation: int) -> bool:
    """Whether the upright picture is as wide as the stored one is high."""
    return orientation >= 5


def upright(stored: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """View an (H, W, ...) array of stored pixels as the viewer sees it. No copy is made."""
    turned = stored.swapaxes(0, 1) if swaps_sides(orientation) else stored
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return turned


def turned_upright(stored_image: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """The same as `upright`, for (H, W, 3), as contiguous pixels; much faster than copying a view.

    Orientation 1 gives the very array.
    """
    turned: Any = stored_image
    if swaps_sides(orientation):
        turned = cv2.transpose(turned)
    if orientation in _FLIPS:
        turned = cv2.flip(turned, _FLIPS[orientation])
    return cast("NDArray[_Scalar]", turned)


def turned_back(seen: NDArray[_Scalar], orientation: int) -> NDArray[_Scalar]:
    """The inverse of `turned_upright`."""
    return turned_upright(seen, _INVERSE.get(orientation, orientation))


def stored_region(region: Region, orientation: int, width: int, height: int) -> Region:
    """Where a region of the upright picture lies in the stored one.

    Args:
        region: In upright pixels.
        orientation: The EXIF orientation.
        width: Of the stored picture.
        height: Of the stored picture.
    """
    x0, y0, x1, y1 = region
    if swaps_sides(orientation):
        x0, y0, x1, y1 = y0, x0, y1, x1
    if orientation in (2, 3, 7, 8):
        x0, x1 = width - x1, width - x0
    if orientation in (3, 4, 6, 7):
        y0, y1 = height - y1, height - y0
    return Region(x0, y0, x1, y1)
