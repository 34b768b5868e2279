"""Two pictures of the same thing in one: side by side, or apart at a line that moves.

Left and right are the viewer's. Pictures stay as they are stored, in their own samples: what is to
be seen side by side lies one below the other in a picture that a player turns.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, Protocol

import av
import cv2
import numpy as np

from vidfacedeblur.types import ByteImage, Region
from vidfacedeblur.video.blocks import alignment, enlarged, matched, painted, paste
from vidfacedeblur.video.orientation import stored_region, swaps_sides, turned_back
from vidfacedeblur.video.protocols import SourceInfo

How = Literal["side", "wipe"]

_PERIOD = 4
"""Seconds in which the line goes to the right and back."""

_CELL = 4
"""Labels and lines are multiples of this in pixels, as are all chroma samples."""

_HDR_CURVES = (16, 18)
"""Transfers by which full white is a glare: PQ and HLG."""

_SAID = ("before", "after")


class Composer(Protocol):
    """Makes one picture of two."""

    size: tuple[int, int]
    """Width and height of what it makes, as stored."""

    def __call__(
        self, before: av.VideoFrame, after: av.VideoFrame, seconds: Fraction | None
    ) -> av.VideoFrame:
        """One picture of two that have the source's size.

        Args:
            before: In the source's pixel format; what goes with it is taken along. May be changed.
            after: In any pixel format.
            seconds: Since the first picture; None where there is only one.
        """


def composer(info: SourceInfo, how: How) -> Composer:
    """What puts two pictures of a source together."""
    return Side(info) if how == "side" else Wipe(info)


class _View:
    """How a viewer sees a stored picture of a source, and what is drawn on it."""

    def __init__(self, info: SourceInfo) -> None:
        self.orientation = info.orientation
        self.stored = (info.width, info.height)
        self.down = swaps_sides(info.orientation)
        """Whether what a viewer sees from left to right is stored from top to bottom."""
        self.backwards = info.orientation in (2, 3, 6, 7)
        """Whether it is stored from its right end on."""
        self.width = info.height if self.down else info.width
        self.height = info.width if self.down else info.height
        self.step = alignment(info.pix_fmt)[int(self.down)]
        """Pixels at whose multiples it can be cut, from left to right."""

    def band(self, begin: int, end: int) -> Region:
        """The region from one stored column to another, or row, in the order of the viewer."""
        width, height = self.stored
        return Region(0, begin, width, end) if self.down else Region(begin, 0, end, height)

    def place(self, begin: int) -> tuple[int, int]:
        """Where a band begins, as x and y."""
        return (0, begin) if self.down else (begin, 0)

    def back(self, image: ByteImage) -> ByteImage:
        """An image as it is to be stored."""
        return np.ascontiguousarray(turned_back(image, self.orientation))


class _Labels:
    """The words on the picture, opaque and upright; none where they would hide too much."""

    def __init__(self, view: _View, like: av.VideoFrame, *, room: int) -> None:
        """`room` is the width that a label may be drawn in, in upright pixels."""
        self._view = view
        self._align = alignment(like.format.name)
        lines = max(10, min(view.width, view.height) // 24)
        images = [_lettered(word, lines, _white(like)) for word in _SAID]
        self.margin = lines
        self.width = max(image.shape[1] for image in images)
        high = images[0].shape[0]
        fits = self.width + 2 * lines <= room and 4 * high + 2 * lines <= view.height
        self._pictures = [painted(view.back(image), like) for image in images] if fits else []

    def draw(self, number: int, picture: av.VideoFrame, left: int) -> None:
        """Put a word (0: before, 1: after) at a distance from the left, in upright pixels."""
        if not self._pictures:
            return
        label = self._pictures[number]
        wide, high = label.width, label.height
        seen = (high, wide) if self._view.down else (wide, high)
        region = Region(left, self.margin, left + seen[0], self.margin + seen[1])
        size = (picture.width, picture.height)
        x, y = stored_region(region, self._view.orientation, *size)[:2]
        across, down = self._align
        paste(picture, label, Region(0, 0, wide, high), x - x % across, y - y % down)


class Side:
    """The two pictures next to each other, before on the left."""

    def __init__(self, info: SourceInfo) -> None:
        self._view = view = _View(info)
        self._second = -(-view.width // view.step) * view.step  # where the second picture begins
        width = self._second + view.width
        self.size = (view.height, width) if view.down else (width, view.height)
        self._labels: _Labels | None = None

    def __call__(
        self,
        before: av.VideoFrame,
        after: av.VideoFrame,
        seconds: Fraction | None,  # noqa: ARG002 - as `Composer` has it
    ) -> av.VideoFrame:
        view = self._view
        pictures = [before, matched(after, before)]
        both = enlarged(before, *self.size)
        if self._second > view.width:
            self._fill_gap(both, before)
        whole = Region(0, 0, *view.stored)
        for picture, begin in zip(
            reversed(pictures) if view.backwards else pictures, (0, self._second), strict=True
        ):
            paste(both, picture, whole, *view.place(begin))
        labels = self._labels = self._labels or _Labels(view, before, room=view.width)
        for number in (0, 1):
            labels.draw(number, both, number * self._second + labels.margin)
        return both

    def _fill_gap(self, both: av.VideoFrame, like: av.VideoFrame) -> None:
        """Black, where a picture of odd width ends within a chroma sample."""
        view = self._view
        last = view.band(self._second - view.step, self._second)
        black = painted(np.zeros((last.height, last.width, 3), np.uint8), like)
        paste(both, black, Region(0, 0, last.width, last.height), last.x0, last.y0)


class Wipe:
    """One picture, before on the left of a line and after on the right."""

    def __init__(self, info: SourceInfo) -> None:
        self._view = view = _View(info)
        self.size = view.stored
        self._thick = min(_CELL * max(1, view.width // 640), view.width // view.step * view.step)
        self._line: av.VideoFrame | None = None
        self._labels: _Labels | None = None

    def __call__(
        self, before: av.VideoFrame, after: av.VideoFrame, seconds: Fraction | None
    ) -> av.VideoFrame:
        view = self._view
        line = self._line = self._line or self._drawn(before)
        labels = self._labels = self._labels or _Labels(view, before, room=view.width // 2)
        begin = self._begin(seconds)
        before.make_writable()  # the decoder may still predict from these samples
        later = (0, begin) if view.backwards else (begin, view.width)
        paste(before, matched(after, before), view.band(*later), *view.place(later[0]))
        paste(before, line, Region(0, 0, line.width, line.height), *view.place(begin))
        left = view.width - begin - self._thick if view.backwards else begin
        self._say(before, labels, left)
        return before

    def _begin(self, seconds: Fraction | None) -> int:
        """Where the line is stored: its first column, or row, at a time."""
        view = self._view
        share = Fraction(1, 2) if seconds is None else abs((seconds * 2 / _PERIOD + 1) % 2 - 1)
        free = view.width - self._thick
        begin = round(free * (1 - share if view.backwards else share))
        return begin - begin % view.step

    def _say(self, picture: av.VideoFrame, labels: _Labels, left: int) -> None:
        """Put each word on its side of the line, where it is not in the line's way."""
        right = self._view.width - labels.margin - labels.width
        if labels.margin + labels.width <= left:
            labels.draw(0, picture, labels.margin)
        if left + self._thick <= right:
            labels.draw(1, picture, right)

    def _drawn(self, like: av.VideoFrame) -> av.VideoFrame:
        """The line: white with dark edges, to be seen on anything."""
        image = np.zeros((self._view.height, self._thick, 3), np.uint8)
        edge = self._thick // 4
        image[:, edge : self._thick - edge] = _white(like)
        return painted(self._view.back(image), like)


def _white(like: av.VideoFrame) -> int:
    return 150 if int(like.color_trc) in _HDR_CURVES else 255


def _lettered(word: str, lines: int, white: int) -> ByteImage:
    """A word on black, (H, W, 3); letters are some `lines` high, both sides multiples of a cell."""
    font, thick = cv2.FONT_HERSHEY_SIMPLEX, max(1, lines // 9)
    scale = lines / 22  # its capitals are 22 lines high
    (wide, high), below = cv2.getTextSize(word, font, scale, thick)
    pad = max(2, lines // 3)
    size = (high + below + pad, wide + 2 * pad)
    image = np.zeros((*(-(-side // _CELL) * _CELL for side in size), 3), np.uint8)
    colour = (white, white, white)
    cv2.putText(image, word, (pad, high + pad // 2), font, scale, colour, thick, cv2.LINE_AA)
    return image
