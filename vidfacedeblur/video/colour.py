"""From Y'CbCr to R'G'B' and back, as 3x3 matrices in code values.

All conversions are affine, so a *difference* in R'G'B' becomes a difference in Y'CbCr by the matrix
alone: no offset, no clipping, nothing for samples whose difference is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BT709, FCC, BT601, SMPTE240M, BT2020 = 1, 4, 5, 7, 9
"""Matrix coefficients as ITU-T H.273, and with it FFmpeg, numbers them."""

RGB_MATRIX = 0
"""The same for pictures that are RGB already."""

FULL_RANGE = 2
"""FFmpeg's number of the range that uses every code value."""

_WEIGHTS = {  # of red and of blue in luma
    BT709: (0.2126, 0.0722),
    FCC: (0.30, 0.11),
    BT601: (0.299, 0.114),
    SMPTE240M: (0.212, 0.087),
    BT2020: (0.2627, 0.0593),
}
_SAME_WEIGHTS = {6: BT601, 10: BT2020}


def known_matrix(colorspace: int, lines: int) -> int:
    """The matrix of a picture: the one it is tagged with, else what its size suggests."""
    colorspace = _SAME_WEIGHTS.get(colorspace, colorspace)
    if colorspace in _WEIGHTS:
        return colorspace
    return BT709 if lines >= 720 else BT601


@dataclass(frozen=True, eq=False)
class Conversion:
    """Both ways between R'G'B' in [0, 1] and Y'CbCr code values."""

    to_rgb: NDArray[np.float32]
    """(3, 4): R'G'B' = to_rgb @ (Y', Cb, Cr, 1)."""
    difference: NDArray[np.float32]
    """(3, 3): a difference in R'G'B' to one in (Y', Cb, Cr)."""


@lru_cache(maxsize=64)
def ycbcr(matrix: int, bits: int, *, full_range: bool) -> Conversion:
    """The conversion for a matrix of `known_matrix`, at a bit depth and range."""
    red, blue = _WEIGHTS[matrix]
    luma = np.array([red, 1 - red - blue, blue])
    forward = np.stack(
        [
            luma,
            (np.array([0, 0, 1]) - luma) / (2 * (1 - blue)),
            (np.array([1, 0, 0]) - luma) / (2 * (1 - red)),
        ]
    )
    unit = 1 << (bits - 8)
    top = (1 << bits) - 1
    scale = np.array([top, top, top] if full_range else [219 * unit, 224 * unit, 224 * unit])
    offset = np.array([0 if full_range else 16 * unit, 128 * unit, 128 * unit])
    difference = forward * scale[:, None]
    inverse = np.linalg.inv(difference)
    to_rgb = np.column_stack([inverse, -inverse @ offset])
    return Conversion(to_rgb.astype(np.float32), difference.astype(np.float32))
