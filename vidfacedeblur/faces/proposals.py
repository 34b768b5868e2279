"""The detector's first step: where in a picture, and at which sizes, a face may be.

P-Net judges every 12x12 window of a pyramid of ever smaller copies of the picture. Published MTCNN
thins the windows twice, above an overlap of 0.5 within each level and of 0.7 across all. Two facts
make that cheap and leave the result the same. Within a level, windows that overlap by more than 0.5
are at most two cells apart, so only near cells are compared. Across levels, the second thinning
removes nothing: neighbouring levels' windows differ by half in area, which bounds their overlap to
less than 0.7.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import Boxes, Indices, iou, moved, ranked, squared, survivors
from vidfacedeblur.faces.resample import Batch, SumTable
from vidfacedeblur.stages import prefetch
from vidfacedeblur.types import Network

WINDOW = 12
"""Side of P-Net's window, and so the smallest face that can be looked for."""

_STRIDE = np.float32(2)
_FACTOR = 0.709
"""Each level of the pyramid has half the pixels of the one before."""
_OVERLAP = 0.5
_REACH = 2
"""Cells between windows that can overlap by more than `_OVERLAP`. At every scale of every smallest
face from 12 to 400 pixels the overlap is at most 0.53 two cells apart, and 0.34 three apart."""
_NEAR = [
    (dy, dx) for dy in range(_REACH + 1) for dx in range(-_REACH, _REACH + 1) if (dy, dx) > (0, 0)
]
"""Offsets to the later one of each pair of near cells."""


@dataclass(frozen=True)
class _Cells:
    """P-Net's answers above the threshold, of one level or of all, in (N,) arrays."""

    rows: Indices
    columns: Indices
    scale: NDArray[np.float32]
    """Pixels of the level for each pixel of the picture."""
    scores: NDArray[np.float32]
    regression: NDArray[np.float32]
    """(N, 4)"""


def pyramid(height: int, width: int, min_face: int) -> list[tuple[float, int, int]]:
    """Scale, height and width of each level, the largest first; none if no face can fit."""
    levels = []
    scale = WINDOW / min_face
    shorter = min(height, width) * scale
    while shorter >= WINDOW:
        levels.append((scale, int(height * scale + 1), int(width * scale + 1)))
        scale *= _FACTOR
        shorter *= _FACTOR
    return levels


def propose(
    pnet: Network, table: SumTable, levels: list[tuple[float, int, int]], threshold: float
) -> Boxes:
    """Squares that may hold a face, (N, 4), the likeliest first.

    Args:
        pnet: The network.
        table: The picture.
        levels: See `pyramid`.
        threshold: Least probability.
    """
    pictures = (table.level(height, width) for _, height, width in levels)
    # The next level is made while the network looks at this one.
    with closing(prefetch(pictures, ahead=1, name="pyramid")) as made:
        found = [
            _judge(pnet, picture, scale, threshold)
            for picture, (scale, _, _) in zip(made, levels, strict=True)
        ]
    cells = _Cells(
        np.concatenate([c.rows for c in found]),
        np.concatenate([c.columns for c in found]),
        np.concatenate([c.scale for c in found]),
        np.concatenate([c.scores for c in found]),
        np.concatenate([c.regression for c in found]),
    )
    boxes = _windows_of(cells)
    kept = _thinned(cells, boxes, [len(c.rows) for c in found])
    return squared(moved(boxes[kept], cells.regression[kept], extra=0))


def _judge(pnet: Network, picture: Batch, scale: float, threshold: float) -> _Cells:
    regression, scores = pnet(picture)  # (1, 4, h, w), (1, h, w)
    rows, columns = np.nonzero(scores[0] >= np.float32(threshold))
    return _Cells(
        rows,
        columns,
        np.full(len(rows), scale, np.float32),
        scores[0, rows, columns],
        regression[0][:, rows, columns].T,
    )


def _windows_of(cells: _Cells) -> Boxes:
    """What the cells see, in pixels of the picture counted from 1."""
    corner = np.stack([cells.columns, cells.rows], axis=1).astype(np.float32) * _STRIDE
    scale = cells.scale[:, None]
    return np.concatenate(
        [np.floor((corner + 1) / scale), np.floor((corner + WINDOW) / scale)], axis=1
    )


def _thinned(cells: _Cells, boxes: Boxes, counts: list[int]) -> Indices:
    """Indices of the windows left after thinning each level, the likeliest first."""
    order = ranked(cells.scores)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    first, second = _near_pairs(cells, counts)
    overlap = iou(boxes[first], boxes[second]) > _OVERLAP
    pair = np.stack([rank[first[overlap]], rank[second[overlap]]])
    return order[survivors(len(order), pair.min(axis=0), pair.max(axis=0))]


def _near_pairs(cells: _Cells, counts: list[int]) -> tuple[Indices, Indices]:
    """Every pair of found cells of one level that are at most `_REACH` rows and columns apart."""
    if not len(cells.rows):
        return cells.rows, cells.rows
    # All levels on one map, one below the other with empty rows between.
    level = np.repeat(np.arange(len(counts)), counts)
    height = int(cells.rows.max()) + 1 + _REACH
    rows = cells.rows + level * height
    columns = cells.columns + _REACH
    number = np.full((len(counts) * height, int(columns.max()) + 1 + _REACH), -1)
    number[rows, columns] = np.arange(len(rows))
    dy, dx = np.array(_NEAR).T
    near = number[rows[:, None] + dy, columns[:, None] + dx]  # (N, len(_NEAR))
    first, which = np.nonzero(near >= 0)
    return first, near[first, which]
