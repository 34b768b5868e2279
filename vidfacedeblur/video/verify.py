"""Reading back what was written, before it gets its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidfacedeblur.errors import InputError, OutputError
from vidfacedeblur.video.opening import main_video, open_container
from vidfacedeblur.video.tags import base_tag, told_of


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
    kinds: Counter[str]
    """Streams of each type, beside the video."""
    sample_aspect_ratio: Fraction | None
    tags: Mapping[str, str]
    """Tags of the whole file."""
    told: Counter[tuple[str, str]]
    """What the streams say of themselves; see `told_of`."""
    provenance: str | None
    """What was done; one of the tags holds it."""


class Findings(NamedTuple):
    """What the container has dropped without a word, in one line each."""

    losses: list[str]
    """Of the input's."""
    tag: str | None
    """Where the file says what was done to it."""


def verify(path: Path, expected: Expected) -> Findings:
    """Check a finished file against what was written into it.

    Raises:
        OutputError: The file cannot be read back, or frames or streams are missing.
    """
    try:
        with open_container(path) as container:
            return _check(container, main_video(container, path), expected)
    except (InputError, av.error.FFmpegError) as error:
        raise OutputError(f"{expected.name} was written, but cannot be read back") from error


def _check(container: InputContainer, stream: VideoStream, expected: Expected) -> Findings:
    size = (stream.width, stream.height)
    if size != (expected.width, expected.height):
        raise _mismatch(expected, "size", size, (expected.width, expected.height))
    found: Counter[str] = Counter(s.type for s in container.streams if s.index != stream.index)
    for kind, number in expected.kinds.items():
        # Data streams come and go: muxers write some themselves, for chapters and time codes.
        if kind != "data" and found[kind] < number:
            raise _mismatch(expected, f"number of {kind} streams", found[kind], number)
    times, count = _video_times(container, stream)
    if count != expected.frames:
        raise _mismatch(expected, "number of frames", count, expected.frames)
    tick = cast(Fraction, stream.time_base)
    # A program stream does not give every picture its time; then the ends may be unknown.
    span = (max(times) - min(times)) * tick if len(times) == count > 0 else expected.span
    if abs(span - expected.span) > 2 * tick:
        wanted = f"{float(expected.span):.3f} s"
        raise _mismatch(expected, "time span", f"{float(span):.3f} s", wanted)
    said = (key for key, value in container.metadata.items() if value == expected.provenance)
    return Findings(_lost(container, stream, expected), next(said, None))


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


def _lost(container: InputContainer, stream: VideoStream, expected: Expected) -> list[str]:
    losses = []
    kind = container.format.name.split(",")[0]
    wanted = {base_tag(key) for key, value in expected.tags.items() if value != expected.provenance}
    missing = wanted - {base_tag(key) for key in container.metadata}
    if missing:
        losses.append(f"{kind} cannot hold the tags {', '.join(sorted(missing))}")
    untold = expected.told - told_of(container.streams)
    if untold:
        kinds = ", ".join(sorted({what for what, _ in untold}))
        losses.append(f"{kind} cannot hold all that is said of streams: {kinds}")
    aspect = stream.sample_aspect_ratio or 1
    if aspect != (expected.sample_aspect_ratio or 1):
        losses.append(
            f"{kind} with {stream.codec_context.name} cannot hold the pixel aspect ratio"
            f" {expected.sample_aspect_ratio}; it is {aspect}"
        )
    return losses


def _mismatch(expected: Expected, what: str, found: object, wanted: object) -> OutputError:
    return OutputError(
        f"{expected.name} failed its check: {what} is {found}, but should be {wanted}"
    )
