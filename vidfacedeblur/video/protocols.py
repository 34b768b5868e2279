"""What a source and a sink are, whether of a video or of a still picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import av

from vidfacedeblur.types import Frame


@dataclass(frozen=True)
class SourceInfo:
    """What is known about an input once its first frame is decoded."""

    path: Path
    format_name: str
    """FFmpeg's name of the container, as detected; ``png`` or ``jpeg`` for a picture."""
    codec_name: str
    """FFmpeg's name of the codec, not of the decoder."""
    width: int
    """Of the stored picture, before any turning; in pixels."""
    height: int
    orientation: int
    """How to turn the stored picture upright: the EXIF orientation, 1 to 8."""
    pix_fmt: str
    """FFmpeg's name of the pixel format that the frames have."""
    average_rate: Fraction
    """Frames per second over the whole input; a plain average where the rate varies."""
    duration: float | None
    """Seconds that the run will cover, as the container declares them; None if it does not."""
    estimated_frames: int | None
    """For a progress bar only: the true number is known at the end."""


class Source(Protocol):
    """A context manager that yields the frames of an input, each once, in order."""

    warnings: list[str]
    """Each thing that was repaired or could not be kept, in one line."""

    @property
    def info(self) -> SourceInfo:
        """What the input is."""

    @property
    def corrupt_frames(self) -> int:
        """Frames, so far, in which the decoder had to conceal damage."""

    @property
    def bad_packets(self) -> int:
        """Packets, so far, that could not be read or decoded."""

    @property
    def truncated(self) -> str | None:
        """After iteration: one line saying how far an input that is cut short could be read."""

    @property
    def trailing(self) -> tuple[av.Packet[Any], ...]:
        """After iteration: packets of the other streams that lie after the last frame."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, once.

        Raises:
            DamagedInputError: At the end, where the input is cut short and not to be kept in part.
            InputError: A frame is larger than allowed.
            LossError: Something has to be converted, and ``strict`` forbids it.
        """

    def interrupt(self) -> None:
        """Let an iteration in another thread come to its end soon: the run is over."""

    def close(self) -> None:
        """Let go of the file; may be called more than once."""


class Sink(Protocol):
    """A context manager that writes frames. Without `finish`, nothing is left behind."""

    warnings: list[str]
    """Each thing that the output cannot hold, in one line."""
    left_out: list[str]
    """Streams of the input that are not in the output, in words."""
    tag: str | None
    """After `finish`: the tag of the output that says what was done; None if none does."""
    encoding: str | None
    """After `finish`: encoder, pixel format and settings; None if the output is the input."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Frame) -> None:
        """Encode a frame, and copy its passengers.

        Raises:
            OutputError: The disk is full, or the encoder refuses.
            LossError: Something of the input cannot be kept, and ``strict`` forbids it.
        """

    def finish(self) -> Path:
        """Complete, check and name the output; return its path.

        Raises:
            OutputError: It cannot be completed, or what was written is not what was to be written.
        """

    def leave_as_is(self) -> Path:
        """Instead of `finish`: give the output's name to a copy of the input, byte by byte.

        Raises:
            OutputError: It cannot be written.
        """
