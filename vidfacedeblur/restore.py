"""From frames with known faces to frames with deblurred ones: cut, deblur, paste."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Protocol

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.deblur import Deblurrer
from vidfacedeblur.faces import changed_as, cut_all, paste_all, roll, sharpness, turned
from vidfacedeblur.timing import share
from vidfacedeblur.types import Face, FaceCrop, FloatImage
from vidfacedeblur.work import Work


class Watcher(Protocol):
    """Is shown every frame before and after its faces are deblurred, and changes nothing."""

    def before(self, work: Work) -> None:
        """A frame as it came; its faces are known."""

    def after(self, work: Work) -> None:
        """The same frame with its faces deblurred."""


def restore(
    works: Sequence[Work],
    deblurrer: Deblurrer,
    options: FaceOptions,
    watcher: Watcher | None = None,
) -> None:
    """Deblur the faces of some frames in place; crops of one size run as one batch.

    A face whose `weight` is 0 costs nothing.
    """
    if watcher is None:
        _restore(works, deblurrer, options)
        return
    for work in works:
        watcher.before(work)
    _restore(works, deblurrer, options)
    for work in works:
        watcher.after(work)


def _restore(works: Sequence[Work], deblurrer: Deblurrer, options: FaceOptions) -> None:
    begin = time.perf_counter()
    busy = [work for work in works if _changing(work, options)]
    if not busy:
        return
    size = options.crop_size
    crops = [
        [
            crop
            for face in _changing(work, options)
            for crop in cut_all(work.canvas, face, crop_size=size)
        ]
        for work in busy
    ]
    restored = iter(_deblurred(list(chain.from_iterable(crops)), deblurrer))
    share([work.clock for work in busy], "deblur", 1e3 * (time.perf_counter() - begin))
    for work, own in zip(busy, crops, strict=True):
        with work.clock.measure("paste"):
            paste_all(work.canvas, own, list(islice(restored, len(own))), strength=options.strength)
            work.faces = [_judged(work, face, options) for face in work.faces]


def _deblurred(crops: Sequence[FaceCrop], deblurrer: Deblurrer) -> list[FloatImage]:
    """What crops become; faces that lie are turned upright for the network."""
    angles = [roll(crop.face) for crop in crops]
    upright = [replace(c, image=turned(c.image, a)) for c, a in zip(crops, angles, strict=True)]
    after = deblurrer.crops(upright)
    return [
        changed_as(crop.image, before.image, image, angle)
        for crop, before, image, angle in zip(crops, upright, after, angles, strict=True)
    ]


def _changing(work: Work, options: FaceOptions) -> list[Face]:
    return [face for face in work.faces if _changes(work, face, options)]


def _changes(work: Work, face: Face, options: FaceOptions) -> bool:
    canvas, box = work.canvas, face.box  # a caller's box may have left the picture
    seen = box.x0 < canvas.width and box.x1 > 0 and box.y0 < canvas.height and box.y1 > 0
    return seen and options.strength * face.weight > 0


def _judged(work: Work, face: Face, options: FaceOptions) -> Face:
    """A face with its sharpness after, as it is in the picture now."""
    if not _changes(work, face, options):
        return face
    return replace(face, sharpness_after=sharpness(work.canvas, face.box))
