"""Where a face is cut: the geometry shared by the pipeline and the trainers.

A network is trained on what it is given only if both cut alike, so both use this file.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces.fields import field_of, is_combed
from vidfacedeblur.types import Box, Canvas, Face, FaceCrop, FloatImage, Region

SIZES = (64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512)
"""Sides of crops. Few, so that crops of several faces and frames make one batch."""

MARGIN = 0.2
"""What is cut around a face on each side, as a share of its box's longer side."""

_LARGEST_SHARE = 3
"""A square larger than this many times the picture's longer side is cut smaller."""


def crop_square(box: Box, *, margin: float = MARGIN) -> Box:
    """The square around a face: centred on its box, as long as its longer side plus the margins.

    Args:
        box: The face, in pixels.
        margin: Added on each side, as a share of the box's longer side.

    Raises:
        OptionError: The box has an edge that is not a finite number.
    """
    if not all(map(math.isfinite, box)):
        raise OptionError(f"a face's box must have finite edges, got {tuple(box)}")
    half = max(box.width, box.height) * (0.5 + margin)
    x, y = box.centre
    return Box(x - half, y - half, x + half, y + half)


def choose_size(side: float, *, crop_size: int | None, largest: int = 256) -> int:
    """Side of the network's input for a face whose square has the given side, all in pixels.

    `crop_size` decides if there is one; otherwise it is the smallest of `SIZES` that holds the
    face, and at most `largest`.
    """
    if crop_size is not None:
        return crop_size
    return next((size for size in SIZES if side <= size < largest), largest)


def cut(
    canvas: Canvas, face: Face, *, crop_size: int | None = None, largest: int = 256
) -> FaceCrop:
    """Cut the square around a face out of a picture.

    Without `crop_size`, a face up to `largest` is not resampled: its square is widened to one of a
    few sizes, on whole pixels. A larger one is shrunk for the network. With `crop_size`, every
    square is resized to it. Where the square hangs over the picture's edge, the picture is
    reflected, or its edge repeated if there is too little to reflect.

    Args:
        canvas: The picture.
        face: The face; its box may reach over the picture's edge, or lie outside.
        crop_size: Side of the crop; None chooses by the face's size.
        largest: Side of the largest crop that is chosen.

    Raises:
        OptionError: The face's box has an edge that is not a finite number.
    """
    region, size = _square_to_cut(canvas, face, crop_size, largest)
    return _whole(face, region, read_region(canvas, region), size)


def cut_all(canvas: Canvas, face: Face, *, crop_size: int | None = None) -> list[FaceCrop]:
    """Cut the square around a face as `cut` does, or a crop of each field where the two differ.

    Raises:
        OptionError: The face's box has an edge that is not a finite number.
    """
    region, size = _square_to_cut(canvas, face, crop_size)
    image = read_region(canvas, region)
    if is_combed(image, interlaced=canvas.interlaced):
        return [FaceCrop(face, region, field_of(image, f, size), f) for f in (0, 1)]
    return [_whole(face, region, image, size)]


def _whole(face: Face, region: Region, image: FloatImage, size: int) -> FaceCrop:
    image = resized(image, size)
    if size > region.width:
        image = np.clip(image, 0, 1)  # enlarging overshoots at edges
    return FaceCrop(face, region, image)


def _square_to_cut(
    canvas: Canvas, face: Face, crop_size: int | None, largest: int = 256
) -> tuple[Region, int]:
    """The square of the picture, and the side of the network's input."""
    square = crop_square(face.box)
    size = choose_size(square.width, crop_size=crop_size, largest=largest)
    fits = crop_size is None and square.width <= size
    side = size if fits else max(1, round(square.width))
    side = min(side, max(size, _LARGEST_SHARE * max(canvas.width, canvas.height)))
    return whole_pixels(square, side, canvas), size


def read_region(canvas: Canvas, region: Region) -> FloatImage:
    """Read a region that touches the picture, (h, w, 3) RGB in [0, 1].

    What lies outside the picture is its reflection, or its edge repeated if there is too little to
    reflect.
    """
    inside = visible(region, canvas)
    image = canvas.read(inside)
    above, below = inside.y0 - region.y0, region.y1 - inside.y1
    before, after = inside.x0 - region.x0, region.x1 - inside.x1
    image = _extended(image, (above, below, 0, 0), len(image))
    return np.ascontiguousarray(_extended(image, (0, 0, before, after), inside.width))


def resized(image: FloatImage, side: int) -> FloatImage:
    """Resize a square, (S, S) or (S, S, 3): averages when it shrinks, cubic when it grows."""
    if image.shape[0] == side:
        return image
    how = cv2.INTER_AREA if side < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.float32)


def visible(region: Region, canvas: Canvas) -> Region:
    """The part of a region that lies inside the picture."""
    return Region(
        max(region.x0, 0),
        max(region.y0, 0),
        min(region.x1, canvas.width),
        min(region.y1, canvas.height),
    )


def whole_pixels(square: Box, side: int, canvas: Canvas) -> Region:
    """The region of `side` pixels nearest the square that still touches the picture."""
    left = round((square.x0 + square.x1 - side) / 2)
    top = round((square.y0 + square.y1 - side) / 2)
    left = min(max(left, 1 - side), canvas.width - 1)
    top = min(max(top, 1 - side), canvas.height - 1)
    return Region(left, top, left + side, top + side)


def _extended(image: FloatImage, edges: tuple[int, int, int, int], there: int) -> FloatImage:
    """Add rows above and below, and columns before and after, of which `there` are given."""
    if not any(edges):
        return image
    # A second reflection of the same few rows would look like a texture. By cv2: numpy's `pad`
    # takes several times as long.
    how = cv2.BORDER_REFLECT_101 if max(edges) < there else cv2.BORDER_REPLICATE
    return np.asarray(cv2.copyMakeBorder(image, *edges, how), np.float32)
