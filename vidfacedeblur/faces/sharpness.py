"""How sharp a face is: by how much it changes when it is blurred again.

After Crété-Roffet, Dolmiere, Ladret, Nicolas, "The Blur Effect: Perception and Estimation with a
New No-Reference Perceptual Blur Metric", SPIE 2007: a sharp picture loses most of the differences
between neighbouring pixels when it is blurred, a blurred one has little to lose. The share that is
lost depends neither on contrast nor on brightness. Differences from the paper: the face's central
part at one fixed size, so that faces of all sizes compare; four directions and not two, because
motion blur may run along a diagonal; a slight smoothing first, because noise, which differs from
pixel to pixel, would make a blurred face look sharp.

`examples/benchmarks/sharpness.py` measures how well it tells sharp faces from blurred ones, and
what deblurring gains at each sharpness, which is where `need` comes from.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.crop import visible
from vidfacedeblur.types import Box, Canvas, FloatImage, Region

_SIDE = 64
"""Pixels to which the central part is resized."""
_CENTRE = 0.84
"""Side of the part that is looked at, of the box's longer side: the face without its outline."""
_SMOOTHED = 0.5
"""Standard deviation of the smoothing, in pixels of those. More tells faces apart in more noise,
and less well in none."""
_REACH = 7
"""Pixels of the second blur."""
_FLAT = 1e-3
"""Mean difference between neighbours, of full scale 1, below which there is nothing to judge."""

_BLURRED, _SHARP = 0.39, 0.465
"""Up to the first, deblurring brings faces nearer to the truth nearly always; from the second on
most faces are sharp already, and DeblurGAN-v2 soon loses as often as it gains."""


def sharpness(canvas: Canvas, box: Box) -> float:
    """Sharpness of a face in a picture: 0 (blurred, flat or out of sight) to 1 (sharp).

    It is that of the least sharp direction, since motion blurs one direction only.
    """
    seen = _central_part(box, canvas)
    if not seen:
        return 0.0
    if min(seen.width, seen.height) >= _SIDE:
        return _judged(canvas.read_small(seen, _SIDE))
    return _judged(canvas.read(seen))


def need(sharpness: float) -> float:
    """How much of the correction a face of this sharpness is given: 1 if blurred, 0 if sharp."""
    t = min(max((_SHARP - sharpness) / (_SHARP - _BLURRED), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def _central_part(box: Box, canvas: Canvas) -> Region | None:
    """The part of a face's middle that lies inside the picture."""
    x, y = box.centre
    half = max(box.width, box.height) * _CENTRE / 2
    left, top, right, bottom = map(round, (x - half, y - half, x + half, y + half))
    seen = visible(Region(left, top, max(right, left + 1), max(bottom, top + 1)), canvas)
    return seen if seen.width > 0 and seen.height > 0 else None


def _judged(part: FloatImage) -> float:
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
    if grey.shape != (_SIDE, _SIDE):
        # What enlarges linearly blurs, and small faces would look less sharp than they are.
        grey = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    square = np.asarray(cv2.GaussianBlur(grey, (0, 0), _SMOOTHED), np.float32)
    return min(_lost_along(square, direction) for direction in _DIRECTIONS)


def _line(direction: tuple[int, int]) -> NDArray[np.float32]:
    """A kernel that averages `_REACH` pixels along a direction."""
    kernel = np.zeros((_REACH, _REACH), np.float32)
    steps = np.arange(_REACH) - _REACH // 2
    kernel[_REACH // 2 + steps * direction[0], _REACH // 2 + steps * direction[1]] = 1 / _REACH
    return kernel


_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Steps of rows and columns."""
_KERNELS = {direction: _line(direction) for direction in _DIRECTIONS}


def _lost_along(grey: NDArray[np.float32], direction: tuple[int, int]) -> float:
    """Share of the differences between neighbours along a direction that blurring takes away."""
    before = _steps(grey, direction)
    blurred = cv2.filter2D(grey, -1, _KERNELS[direction])
    after = _steps(np.asarray(blurred, np.float32), direction)
    total = float(before.mean())
    if total < _FLAT:
        return 0.0
    return float(np.maximum(before - after, 0).mean()) / total


def _steps(grey: NDArray[np.float32], direction: tuple[int, int]) -> NDArray[np.float32]:
    """Size of the differences between pixels one step apart."""
    down, across = direction
    later = grey[down:, across:] if across >= 0 else grey[down:, :across]
    earlier = grey[: _SIDE - down, : _SIDE - across] if across >= 0 else grey[:-down, -across:]
    return np.asarray(np.abs(later - earlier), np.float32)
