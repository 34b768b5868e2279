"""A video's faces, from pictures to what is to be deblurred: found, chosen, judged, steadied."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Protocol

from vidfacedeblur.config import FaceOptions
from vidfacedeblur.faces.select import Selector
from vidfacedeblur.faces.sharpness import sharpness
from vidfacedeblur.faces.steady import Found, Steadier
from vidfacedeblur.types import Canvas, Face


class Finder(Protocol):
    """Finds faces frame by frame; `FaceFinder` or `GivenFaces`."""

    def push(self, canvas: Canvas) -> list[Found]:
        """Take the next frame; the faces of each frame that is settled, in order."""

    def flush(self) -> list[Found]:
        """The faces of the frames that are held back; the next frame begins another scene."""


class FaceStream:
    """The faces of a video or stream, frame by frame.

    Args:
        finder: Where they come from.
        options: Which are wanted, and whether sharp ones are let pass.
        ahead: Frames that each waits for, beside those that the finder holds back, so that faces
            are steadied; more where `FaceOptions.min_track` needs it. 0 for a live stream, where
            each waits for one.
    """

    def __init__(self, finder: Finder, options: FaceOptions, *, ahead: int) -> None:
        least = options.min_track
        self._finder = finder
        self._select = Selector(options)
        self._steadier = Steadier(
            ahead=max(ahead, least - 1) if ahead else 1,
            min_track=least,
            gated=options.gate == "auto",
        )
        self._waiting: deque[Canvas] = deque()

    def push(self, canvas: Canvas) -> list[list[Face]]:
        """Take the next frame's canvas, before anything is changed on it.

        Returns:
            The faces of each frame that is settled, in order; see `Face.weight`.
        """
        found = self._finder.push(canvas)  # which may refuse a caller's faces
        self._waiting.append(canvas)
        return self._steadied(found)

    def flush(self) -> list[list[Face]]:
        """The faces of the frames that are still waiting; the next begins another scene."""
        return self._steadied(self._finder.flush()) + self._steadier.flush()

    def _steadied(self, found: Iterable[Found]) -> list[list[Face]]:
        settled = []
        for one in map(self._select, found):
            canvas = self._waiting.popleft()
            faces = [replace(f, sharpness=sharpness(canvas, f.box)) for f in one.faces]
            settled += self._steadier.push(Found(faces, one.scene))
        return settled
