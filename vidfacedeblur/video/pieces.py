"""Parts of a video: found again in the file, encoded apart from each other, put together."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import PieceError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.encoded import Encoded, decoding_times
from vidfacedeblur.video.encoder import FrameEncoder
from vidfacedeblur.video.encoding import recipe_for
from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.frames import checksum
from vidfacedeblur.video.sink import VideoSink
from vidfacedeblur.video.source import VideoSource
from vidfacedeblur.whole import STANDARD

_ENCODERS = frozenset(
    {"libx264", "libx265", "libvpx-vp9", "libsvtav1", "prores_ks", "mjpeg", "ffv1"}
)
"""Encoders whose parts, one after the other, are a video: each begins with a frame that needs no
other, and what a decoder must know beforehand is the same for all."""

_FURTHER_BACK = 10
"""Seconds before a part from which it is decoded, where it came out wrong from its key frame."""


class Look(NamedTuple):
    """What tells a decoded frame from all others."""

    pts: int
    corrupt: bool
    checksum: int


def look_of(frame: Frame) -> Look:
    """What a decoded frame is known by, as long as nothing was changed on it."""
    assert isinstance(frame.picture, av.VideoFrame)
    assert frame.pts is not None
    return Look(frame.pts, frame.corrupt, checksum(frame.picture))


def frames_from(source: VideoSource, first: Look, start: int) -> Iterator[Frame]:
    """The frames of a source from one that is a key frame on.

    Args:
        source: Just opened.
        first: Of the frame to begin with.
        start: Time of the source's first frame.

    Raises:
        PieceError: That frame is not there, or cannot be decoded from the middle of the file.
    """
    back = round(_FURTHER_BACK / source.reader.time_base)
    for number, target in enumerate((first.pts, first.pts - back, start)):
        if number or target != start:  # else it stands there already
            source.go_to(target, start)
        frames = iter(source)
        begin = next((frame for frame in frames if (frame.pts or 0) >= first.pts), None)
        if begin is not None and look_of(begin) == first:
            yield begin
            yield from frames
            return
    raise PieceError(f"{source.path}: the frame at {first.pts} is not what it was before")


def why_whole(
    source: VideoSource,
    target: Path,
    container: Container,
    options: VideoOptions,
    *,
    seconds: float,
) -> str | None:
    """Why a video cannot be done in pieces, as far as headers tell; None if it can.

    Args:
        source: Open.
        target: Where the result is to go.
        container: What it is to be written as.
        options: How.
        seconds: Length of a piece.
    """
    if STANDARD in (source.path, target):
        return "it goes through a pipe"
    if options.isolate or options.start or options.duration is not None:
        return "--isolate, --start and --duration are for whole videos"
    if container.constant_rate or container.bare:
        return f"{container.muxer} is written as a whole"
    recipe = recipe_for(source, container, options)
    if recipe.encoder not in _ENCODERS:
        return f"what {recipe.encoder} writes cannot be put together"
    if recipe.encoder == "libvpx-vp9" and recipe.has_alpha:
        return "VP9 keeps transparency beside its packets"
    if source.info.duration is None:
        return "its duration is not known"
    if source.info.duration < 2 * seconds:
        return f"it is shorter than two pieces of {seconds:g} s"
    return None


class PieceEncoder:
    """Encodes a part of a source exactly as the sink of the whole would.

    Args:
        source: Open.
        container: What the whole is written as.
        options: How.

    Raises:
        OptionError: The encoder does not exist, or does not fit.
    """

    def __init__(self, source: VideoSource, container: Container, options: VideoOptions) -> None:
        # Nothing is ever written here: which settings an encoder has depends on the container.
        self._output = av.open(io.BytesIO(), "w", format=container.muxer)
        size = (source.info.width, source.info.height)
        recipe = recipe_for(source, container, options)
        self._encoder = FrameEncoder(self._output, source, recipe, container, size)
        self._encoder.open(options)

    @property
    def extradata(self) -> bytes:
        """What a decoder needs to know beside the packets."""
        return self._encoder.extradata

    def encode(self, frame: Frame) -> list[av.Packet[Any]]:
        """The packets that are ready after a frame."""
        return self._encoder.encode(frame)

    def flush(self) -> list[av.Packet[Any]]:
        """The packets that the encoder still holds."""
        return self._encoder.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._output.close()


@dataclass(frozen=True)
class Joined:
    """Encoded frames in the order of decoding, and their times in the order of showing."""

    packets: Iterable[Encoded]
    times: Iterable[int]
    delay: int
    """Frames by which decoding must be ahead of showing."""


def write_joined(source: VideoSource, sink: VideoSink, joined: Joined) -> Iterator[int]:
    """Write encoded frames, and the other streams' packets where they lie in the source.

    Args:
        source: Just opened; its pictures cannot be read any more.
        sink: Of that source; it is still to be finished.
        joined: All frames.

    Yields:
        The number of each frame, in order, as soon as so many are written.
    """
    video = source.reader.stream.index
    steps = _written(sink, joined)
    for packet in source.reader.packets():
        if packet.stream_index == video:
            yield from islice(steps, 1)
        else:
            sink.copy([packet])
    yield from steps


def _written(sink: VideoSink, joined: Joined) -> Iterator[int]:
    times = iter(joined.times)
    first = list(islice(times, joined.delay + 1))
    before = decoding_times(first, joined.delay)
    late: deque[int] = deque()  # shown, and not yet a decoding time
    rising = chain(first, times)
    for number, packet in enumerate(joined.packets):
        now = next(rising)
        late.append(now)
        dts = next(before, None)
        sink.write_encoded(packet, late.popleft() if dts is None else dts, now)
        yield number
