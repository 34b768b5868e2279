"""Whether pixels that nobody was to touch are as they were, as far as encoding allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import av
import numpy as np
from check_facts import Media
from numpy.typing import NDArray

Box = tuple[int, int, int, int]
"""x, y, width and height, in stored pixels."""

IDENTICAL = 99.0
"""Stands for the PSNR of pictures that do not differ, in dB."""


def worst_psnr(before: Media, after: Media, exclude: Sequence[Box]) -> float | None:
    """The lowest PSNR of any frame's first plane, outside the excluded boxes.

    Args:
        before: The input.
        after: The output.
        exclude: What may differ.

    Returns:
        Decibels, or None if no frames can be compared.
    """
    worst: float | None = None
    for a, b in zip(_frames(before), _frames(after), strict=False):
        if (a.width, a.height) != (b.width, b.height):
            continue
        if a.format.components[0].bits != b.format.components[0].bits:
            return None
        if a.format.is_rgb != b.format.is_rgb:
            return None
        found = _psnr(a, b, exclude)
        worst = found if worst is None else min(worst, found)
    return worst


def _frames(media: Media) -> Iterator[av.VideoFrame]:
    """The frames that can be decoded."""
    with av.open(media.path) as container:
        for packet in container.demux(container.streams[media.video["index"]]):
            try:
                yield from packet.decode()  # type: ignore[misc]  # no audio, no subtitles
            except av.FFmpegError:
                continue


def _psnr(a: av.VideoFrame, b: av.VideoFrame, exclude: Sequence[Box]) -> float:
    square = (_plane(a) - _plane(b)) ** 2
    counts = np.ones(square.shape, bool)
    for x, y, width, height in exclude:
        counts[y : y + height, x : x + width] = False
    error = float(square[counts].mean()) if counts.any() else 0.0
    peak = (1 << a.format.components[0].bits) - 1
    return 10 * math.log10(peak**2 / error) if error else IDENTICAL


def _plane(frame: av.VideoFrame) -> NDArray[np.float32]:
    """(H, W): luma, or the first of three colours."""
    depth = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    rows = np.frombuffer(bytes(frame.planes[0]), depth).reshape(frame.height, -1)
    return rows[:, : frame.width].astype(np.float32)
