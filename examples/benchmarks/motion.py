"""How much followed faces tremble, and whether they lag, against boxes detected frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.faces.boxes import iou
from vidfacedeblur.types import Face

Values = NDArray[np.float64]
"""Centre and size of a box, (4,)."""
Pair = tuple[Values, Values, int | None]
"""A detected face, the same as followed, and its track."""
_SPAN = 3
"""Frames on either side among which the lag is looked for."""


def trembling(pairs: Sequence[Pair | None]) -> tuple[float, float]:
    """Mean acceleration of centre and size in face widths, as detected and as followed."""
    changes = [
        np.array([abs(a[i] - 2 * b[i] + c[i]).mean() / b[0][2] for i in (0, 1)])
        for a, b, c in _runs(pairs, 3)
    ]
    detected, followed = np.mean(changes, axis=0) if changes else (np.nan, np.nan)
    return float(detected), float(followed)


def lag(pairs: Sequence[Pair | None]) -> float:
    """Frames by which the followed centre is late: the shift at which it fits detection best."""
    runs = list(_runs(pairs, 2 * _SPAN + 1))
    if not runs:
        return float("nan")
    steps = np.arange(-1.5, 1.51, 0.05)
    times = np.arange(-_SPAN, _SPAN + 1)
    errors = np.zeros(len(steps))
    for run in runs:
        detected, followed = (np.array([pair[i][:2] for pair in run]) for i in (0, 1))
        shifted = np.stack([np.interp(-steps, times, detected[:, axis]) for axis in (0, 1)])
        errors += ((shifted.T - followed[_SPAN]) ** 2).sum(axis=1) / run[_SPAN][0][2] ** 2
    return float(steps[errors.argmin()])


def paired(known: Sequence[Face], faces: Sequence[Face]) -> Pair | None:
    """The largest detected face of a frame and the followed one that overlaps it by half."""
    if not known or not faces:
        return None
    overlaps = iou(
        np.array([known[0].box], np.float32), np.array([face.box for face in faces], np.float32)
    )
    best = int(overlaps.argmax())
    if overlaps[best] <= 0.5:
        return None
    return _values(known[0]), _values(faces[best]), faces[best].track


def _runs(pairs: Sequence[Pair | None], length: int) -> Iterator[list[Pair]]:
    """Every stretch of frames that show the same face without a jump of its detection."""
    for first in range(len(pairs) - length + 1):
        run = [pair for pair in pairs[first : first + length] if pair is not None]
        if len(run) < length or len({track for _, _, track in run}) > 1:
            continue
        centres = np.array([detected[:2] for detected, _, _ in run])
        if np.abs(np.diff(centres, axis=0)).max() < 0.5 * run[0][0][2]:
            yield run


def _values(face: Face) -> Values:
    return np.array([*face.box.centre, face.box.width, face.box.height])
