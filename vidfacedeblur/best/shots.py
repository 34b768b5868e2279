"""Pictures of one face, and which of them are worth keeping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidfacedeblur.best.quality import Quality
from vidfacedeblur.faces import crop_square, whole_pixels
from vidfacedeblur.faces.crop import visible
from vidfacedeblur.types import Box, ByteImage, Canvas, Face, Region

_MARGIN = 0.3
"""What is kept around a face on each side, as a share of its box's longer side."""
_APART = 0.5
"""Seconds between two pictures of a track: what follows sooner shows the same."""
_STRETCH = 0.6
"""Seconds of which only the best shot is looked at; somewhat more, so that the last shots of each,
which are the best of a face that comes nearer, are apart."""
_POOR = 0.4
"""A picture whose quality is less than this share of the best one's adds nothing to it."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Picture:
    """A face cut out, and where it comes from."""

    index: int
    """The frame's."""
    pts: int | None
    time: float | None
    """Seconds."""
    wall: float | None
    """Seconds since 1970."""
    region: Region
    """What was cut; may reach over the picture's edge."""
    restored: ByteImage
    """(S, S, 3) RGB."""
    original: ByteImage
    """The same, before."""


@dataclass(frozen=True, eq=False)
class Shot:
    """A face on a frame, that is or may be among the best; equal to itself only."""

    face: Face
    quality: Quality
    moment: float
    """Seconds."""
    picture: Picture | None = None
    """None while it is not known whether it is needed."""


def kept(shots: Sequence[Shot], most: int) -> list[Shot]:
    """The shots worth keeping, best first: as many as are wanted, apart in time, and one more.

    Of each stretch of time only the best is looked at. The one more is for a track whose best is a
    neighbour of what was best before: if a still better one follows further away, both are wanted.
    """
    by_stretch: dict[int, Shot] = {}
    for shot in sorted(shots, key=_worth):
        by_stretch.setdefault(math.floor((shot.moment + _ROUNDING) / _STRETCH), shot)
    ordered = list(by_stretch.values())
    wanted = apart(ordered)[:most]
    others = [shot for shot in ordered if shot not in wanted]
    return sorted([*wanted, *others[:1]], key=_worth)


def chosen(shots: Sequence[Shot], most: int) -> list[Shot]:
    """Of shots, best first, those to be shown: apart in time, and none that is much worse."""
    least = _POOR * max((shot.quality.value for shot in shots), default=0.0)
    return [shot for shot in apart(shots)[:most] if shot.quality.value >= least]


def apart(shots: Sequence[Shot]) -> list[Shot]:
    """Of shots, best first, each that is no neighbour of one before it."""
    found: list[Shot] = []
    for shot in shots:
        if all(abs(shot.moment - other.moment) > _APART - _ROUNDING for other in found):
            found.append(shot)
    return found


def _worth(shot: Shot) -> float:
    return -shot.quality.value


def region_of(box: Box, canvas: Canvas) -> Region:
    """The square around a face; of a face larger than the picture, no more than the picture."""
    square = crop_square(box, margin=_MARGIN)
    side = max(1, round(min(square.width, max(canvas.width, canvas.height))))
    return whole_pixels(square, side, canvas)


def pixels(canvas: Canvas, region: Region) -> ByteImage:
    """A region of the picture as it is now, (S, S, 3) RGB.

    Black beyond the picture's edge: its reflection could be taken for half a face.
    """
    inside = visible(region, canvas)
    image = np.zeros((region.height, region.width, 3), np.uint8)
    left, top = inside.x0 - region.x0, inside.y0 - region.y0
    seen = np.rint(canvas.read(inside) * np.float32(255)).astype(np.uint8)
    image[top : top + inside.height, left : left + inside.width] = seen
    return image
