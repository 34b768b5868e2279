"""Motion blur by averaging: the mean of L frames in a row is blurred, the middle one sharp.

The paper's second recipe. Its restrictions are checks here: frames in a row differ, there is
motion, and the first and the last frame still show the same thing. What fails a check is left out,
with the reason.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.errors import OptionError
from vidfacedeblur.faces import read_region, resized, whole_pixels
from vidfacedeblur.types import Box, ByteImage, FloatImage, Frame, Region
from vidfacedeblur.video import open_canvas

SAME = "frames in a row are the same"
STILL = "nothing moves"
APART = "the first and the last frame do not overlap"
FACELESS = "no face"

_CHECK_SIDE = 128
_LEAST_PATH = 2.0
"""Pixels, at `_CHECK_SIDE`, that the picture moves in all from the first frame to the last."""
_LEAST_OVERLAP = 0.5
"""Correlation of the first with the last frame."""


@dataclass(frozen=True)
class AveragedFace:
    """A blurred face and its sharp partner."""

    sharp: FloatImage
    """(S, S, 3) RGB in [0, 1]: the middle frame."""
    blurred: FloatImage
    """The mean over the frames, of the same shape and range."""
    middle: int
    """Number of the middle frame in its clip, from 0."""
    region: Region
    """What was cut, in pixels of the frame."""


def middle_of(length: int) -> int:
    """Index of the sharp frame among `length`; of an even number the later of the middle two."""
    return length // 2


def average(images: Sequence[FloatImage], *, gamma: float = 1.0) -> FloatImage:
    """Mean of images in [0, 1].

    Args:
        images: All of one shape.
        gamma: 1 averages the values as they are stored (the paper); about 2.2 averages light, as a
            shutter does.
    """
    light = np.mean([image**gamma for image in images], axis=0)
    return np.asarray(light ** (1 / gamma), np.float32)


def why_unfit(images: Sequence[FloatImage]) -> str | None:
    """The paper's restrictions on frames that are averaged: why these fail, or None.

    Args:
        images: (S, S, 3) in [0, 1], in order.
    """
    if any(np.array_equal(a, b) for a, b in itertools.pairwise(images)):
        return SAME
    grays = [_gray(image) for image in images]
    if _correlation(grays[0], grays[-1]) < _LEAST_OVERLAP:
        return APART
    window = cv2.createHanningWindow((_CHECK_SIDE, _CHECK_SIDE), cv2.CV_32F)
    moves = [cv2.phaseCorrelate(a, b, window)[0] for a, b in itertools.pairwise(grays)]
    return STILL if sum(math.dist(move, (0, 0)) for move in moves) < _LEAST_PATH else None


def averaged_faces(
    frames: Iterable[ByteImage | None],
    find: Callable[[ByteImage], Sequence[Box]],
    *,
    length: int,
    side: int,
    gamma: float = 1.0,
) -> Iterator[AveragedFace | str]:
    """Average every `length` frames of a clip around each face of the middle one.

    Args:
        frames: The clip, (H, W, 3) uint8 RGB; a change of size begins a new clip, and so does a
            frame that is missing, None.
        find: Gives the squares to cut, in pixels.
        length: Frames to average, 2 or more.
        side: Side of what comes back, in pixels.
        gamma: See `average`.

    Yields:
        A pair, or why there is none.

    Raises:
        OptionError: `length` or `gamma` is out of range.
    """
    if length < 2 or not 0.1 <= gamma <= 10:
        raise OptionError(f"cannot average {length} frames at gamma {gamma:g}")
    kept: deque[ByteImage] = deque(maxlen=length)
    for number, frame in enumerate(frames):
        if frame is None:
            kept.clear()
            continue
        if kept and kept[0].shape != frame.shape:
            kept.clear()
        kept.append(frame)
        if len(kept) == length:
            first = number - length + 1
            yield from _window(list(kept), first, find(kept[middle_of(length)]), side, gamma)
            kept.clear()


def averaged_at(
    frames: Sequence[ByteImage], region: Region, *, side: int, gamma: float = 1.0
) -> tuple[FloatImage, FloatImage, list[FloatImage]]:
    """Sharp and blurred face of some frames, and what each frame shows, all (side, side, 3)."""
    canvases = [open_canvas(Frame(0, frame)) for frame in frames]
    images = [read_region(canvas, region) for canvas in canvases]
    # Averaged before it is shrunk: a gamma and an average over pixels cannot change places.
    blurred = _cut(average(images, gamma=gamma), side)
    shown = [_cut(image, side) for image in images]
    return shown[middle_of(len(shown))], blurred, shown


def _window(
    frames: Sequence[ByteImage], first: int, squares: Sequence[Box], side: int, gamma: float
) -> Iterator[AveragedFace | str]:
    if not squares:
        yield FACELESS
    canvas = open_canvas(Frame(0, frames[0]))
    for square in squares:
        region = whole_pixels(square, max(2, round(square.width)), canvas)
        sharp, blurred, shown = averaged_at(frames, region, side=side, gamma=gamma)
        reason = why_unfit(shown)
        if reason is None:
            yield AveragedFace(sharp, blurred, first + middle_of(len(frames)), region)
        else:
            yield reason


def _cut(image: FloatImage, side: int) -> FloatImage:
    return np.clip(resized(image, side), 0, 1)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Of two pictures, -1 to 1; 0 if one is of a single shade, as black is."""
    if not a.std() or not b.std():
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def _gray(image: FloatImage) -> NDArray[np.float32]:
    gray = cv2.cvtColor(resized(image, _CHECK_SIDE), cv2.COLOR_RGB2GRAY)
    return np.asarray(gray, np.float32)
