"""Reading back what was written, before it gets its name."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidfacedeblur.errors import InputError, OutputError
from vidfacedeblur.video.copying import base_tag
from vidfacedeblur.video.opening import main_video, open_container


@dataclass(frozen=True)
class Expected:
    """What the file must hold."""

    name: Path
    """What to call it in a message."""
    frames: int
    span: Fraction
    """Seconds from the first frame to the last."""
    width: int
    height: int
    streams: int
    """At least; muxers add streams for chapters and time codes."""
    sample_aspect_ratio: Fraction | None
    tags: frozenset[str]
    """Names of the tags of the whole file, in lower case, without a language."""


def verify(path: Path, expected: Expected) -> list[str]:
    """Check a finished file against what was written into it.

    Returns:
        What the container has dropped without a word, in one line each.

    Raises:
        OutputError: The file cannot be read back, or frames or streams are missing.
    """
    try:
        with open_container(path) as container:
            return _check(container, main_video(container, path), expected)
    except (InputError, av.error.FFmpegError) as error:
        raise OutputError(f"{expected.name} was written, but cannot be read back") from error


def _check(container: InputContainer, stream: VideoStream, expected: Expected) -> list[str]:
    losses = _missing(container, stream, expected)
    size = (stream.width, stream.height)
    if size != (expected.width, expected.height):
        raise _mismatch(expected, "size", size, (expected.width, expected.height))
    if len(container.streams) < expected.streams:
        raise _mismatch(expected, "number of streams", len(container.streams), expected.streams)
    times, count = _video_times(container, stream)
    if count != expected.frames:
        raise _mismatch(expected, "number of frames", count, expected.frames)
    tick = cast(Fraction, stream.time_base)
    span = (max(times) - min(times)) * tick if times else Fraction(0)
    if abs(span - expected.span) > 2 * tick:
        raise _mismatch(expected, "time span", f"{float(span):.3f} s", f"{expected.span:.3f} s")
    return losses


def _video_times(container: InputContainer, stream: VideoStream) -> tuple[list[int], int]:
    """Times of the video's packets, and how many there are; the first is decoded for a try."""
    times, count, decoded = [], 0, False
    for packet in container.demux(stream):
        if not decoded:
            decoded = bool(packet.decode())
        count += bool(packet.size)
        if packet.size and packet.pts is not None:
            times.append(packet.pts)
    return times, count


def _missing(container: InputContainer, stream: VideoStream, expected: Expected) -> list[str]:
    losses = []
    kind = container.format.name.split(",")[0]
    missing = expected.tags - {base_tag(key) for key in container.metadata}
    if missing:
        losses.append(f"{kind} cannot hold the tags {', '.join(sorted(missing))}")
    aspect, wanted = stream.sample_aspect_ratio or 1, expected.sample_aspect_ratio or 1
    if aspect != wanted:
        losses.append(
            f"{kind} with {stream.name} cannot hold the pixel aspect ratio {wanted}; it is {aspect}"
        )
    return losses


def _mismatch(expected: Expected, what: str, found: object, wanted: object) -> OutputError:
    return OutputError(
        f"{expected.name} failed its check: {what} is {found}, but should be {wanted}"
    )
