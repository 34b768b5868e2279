"""Arithmetic on many boxes at once: overlaps, squares, and the thinning of overlapping boxes.

Boxes are (N, 4) float32 rows of x0, y0, x1, y1 in pixels. The arithmetic stays in float32 and in
the order of the published detector, because its rounding decides which pixels a crop begins with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]
Indices = NDArray[np.intp]

_ROWS = 512
"""Boxes compared with all others at once; bounds the memory that crowds take."""


def ranked(scores: NDArray[np.float32]) -> Indices:
    """Indices of scores from the highest to the lowest; equal ones in their order."""
    return np.argsort(-scores, kind="stable")


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of boxes (..., 4) with boxes that broadcast against them."""
    common = _common(a, b, 0)
    return _ratio(common, _area(a, 0) + _area(b, 0) - common)


def share_of_smaller(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over the smaller area, with edges counted as inside (a pixel more each way)."""
    common = _common(a, b, 1)
    return _ratio(common, np.minimum(_area(a, 1), _area(b, 1)))


def thinned(
    boxes: Boxes,
    scores: NDArray[np.float32],
    *,
    threshold: float,
    measure: Literal["union", "smaller"] = "union",
) -> Indices:
    """Greedy non-maximum suppression: indices of the boxes kept, best first.

    A box goes if a better one that stays overlaps it by more than `threshold`.
    """
    overlap = iou if measure == "union" else share_of_smaller
    order = ranked(scores)
    best_first = boxes[order]
    pairs = [_pairs_above(best_first, first, overlap, threshold) for first in _starts(len(order))]
    winners, losers = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0), np.intp)
    return order[survivors(len(order), winners, losers)]


def survivors(count: int, winners: Indices, losers: Indices) -> NDArray[np.bool_]:
    """Who is left when everyone who stays removes those he wins against.

    Every winner's number is lower than his loser's. The result is that of going through the
    numbers one by one, but all whom no one undecided beats are settled at once.
    """
    kept = np.zeros(count, bool)
    undecided = np.ones(count, bool)
    while len(winners):
        settled = undecided.copy()
        settled[losers] = False
        kept |= settled
        undecided &= ~settled
        undecided[losers[settled[winners]]] = False
        open_pairs = undecided[winners] & undecided[losers]
        winners, losers = winners[open_pairs], losers[open_pairs]
    return kept | undecided


def squared(boxes: Boxes) -> Boxes:
    """Squares with the same centres, as long as the boxes' longer sides."""
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.maximum(width, height)
    half = np.float32(0.5)
    left = boxes[:, 0] + width * half - side * half
    top = boxes[:, 1] + height * half - side * half
    return np.stack([left, top, left + side, top + side], axis=1)


def moved(boxes: Boxes, regression: NDArray[np.float32], *, extra: int) -> Boxes:
    """Move every edge by its regression (N, 4), in units of the box's width or height.

    `extra` is 1 where the networks' training counted the last pixel as part of the width.
    """
    size = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)
    result: Boxes = boxes + regression * np.concatenate([size, size], axis=1)
    return result


def windows(boxes: Boxes, width: int, height: int) -> NDArray[np.int64]:
    """Whole pixels that boxes cover inside a picture: (N, 4), right and bottom exclusive.

    Boxes count pixels from 1, as the networks' training did. A box that is outside or has no pixel
    gives a window without area.
    """
    whole = np.trunc(boxes).astype(np.int64)
    first = np.maximum(whole[:, :2], 1) - 1
    last = np.minimum(whole[:, 2:], (width, height))
    return np.concatenate([first, last], axis=1)


def _starts(count: int) -> range:
    return range(0, count, _ROWS)


def _pairs_above(
    boxes: Boxes,
    first: int,
    overlap: Callable[[Boxes, Boxes], NDArray[np.float32]],
    threshold: float,
) -> NDArray[np.intp]:
    """Pairs (2, M) of a box from `first` on, `_ROWS` of them, and a later one that it overlaps."""
    values = overlap(boxes[first : first + _ROWS, None], boxes[None, first:])
    # Only the part above the diagonal: each pair once, the better box first.
    winners, losers = np.nonzero(np.triu(values > threshold, 1))
    return np.stack([winners, losers]) + first


def _ratio(part: NDArray[np.float32], whole: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio = np.zeros_like(part)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _common(a: Boxes, b: Boxes, extra: int) -> NDArray[np.float32]:
    add = np.float32(extra)
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0]) + add
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1]) + add
    common: NDArray[np.float32] = np.maximum(width, 0) * np.maximum(height, 0)
    return common


def _area(boxes: Boxes, extra: int) -> NDArray[np.float32]:
    add = np.float32(extra)
    area: NDArray[np.float32] = (boxes[..., 2] - boxes[..., 0] + add) * (
        boxes[..., 3] - boxes[..., 1] + add
    )
    return area
