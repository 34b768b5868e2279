"""Reading a video: every frame once, at its own time, with the packets that lie before it."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import DamagedInputError, LossError, OptionError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.ending import missing_seconds
from vidfacedeblur.video.frames import (
    PICTURE_CODECS,
    nearest_format,
    reformatter,
    side_data,
    without_side_data,
)
from vidfacedeblur.video.layout import layouts
from vidfacedeblur.video.orientation import display_matrix, orientation_of
from vidfacedeblur.video.protocols import SourceInfo
from vidfacedeblur.video.reading import Decoded, Reader
from vidfacedeblur.video.timeline import Cut, Timeline


class VideoSource:
    """Decodes the main video of a file; implements `Source`.

    Raises:
        InputError: The file is missing, unreadable, or refused for safety.
        NoVideoError: There is no video in it.
        DamagedInputError: None of its frames can be decoded.
    """

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self.path = path
        self.corrupt_frames = 0
        self.truncated: str | None = None
        self.warnings: list[str] = []
        self.trailing: tuple[av.Packet[Any], ...] = ()
        self.cut = Cut()
        """The part of the input that is read."""
        self._options = options
        self._frames = 0
        self._ended = False
        self._last_end = Fraction(0)  # of the last frame, in seconds of the input's clock
        self.reader = Reader(path, options)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    @property
    def info(self) -> SourceInfo:
        return self._info

    @property
    def aspect(self) -> Fraction | None:
        """Width of a pixel by its height; None if it is not known."""
        return self.reader.stream.sample_aspect_ratio

    @property
    def profile(self) -> str | None:
        """The codec's profile, as FFmpeg names it."""
        return self.reader.stream.codec_context.profile

    @property
    def bad_packets(self) -> int:
        """Packets that could not be read or decoded."""
        return self.reader.bad_packets

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def interrupt(self) -> None:
        self.reader.interrupt()

    def close(self) -> None:
        self.reader.close()

    @property
    def retimed(self) -> int:
        """Frames, so far, that had no time of their own, or one that ran backwards."""
        return self._timeline.guessed + self._timeline.moved

    def go_to(self, target: int, first: int) -> None:
        """Let the next iteration begin with a frame at or before a time, mostly a key frame.

        Frames are counted from there, and times are taken as they are in the file.

        Args:
            target: The time, in units of the reader's `time_base`.
            first: That of the first frame of the input.
        """
        self.reader.seek(target, first)
        self._frames = 0
        self._timeline = Timeline(self.reader.time_base, self._step)

    def __iter__(self) -> Iterator[Frame]:
        held: Frame | None = None
        for decoded in self._wanted():
            frame = self._frame(decoded)
            if held is not None and held.pts is not None and frame.pts is not None:
                # Decoders report the duration of the packet that came in, not of the picture that
                # goes out; with B-frames that is another one's.
                held.duration = frame.pts - held.pts
                yield held
            held = frame
        if held is not None:
            yield held
        self._conclude()

    def _start(self) -> None:
        """Learn from the first picture, which alone tells the pixel format and the orientation."""
        if self.reader.head is None:
            raise DamagedInputError(
                f"{self.path}: no frame of its {self.reader.codec_name} video can be decoded"
            )
        first = self.reader.head.picture
        self.side_data = side_data(first, self.reader.codec_name)
        """Of the first picture; those of later ones are taken to be the same."""
        self._info = self._describe(first)
        self._step = max(1, round(1 / (self._info.average_rate * self.reader.time_base)))
        self._timeline = Timeline(self.reader.time_base, self._step)
        self.began = first.pts or 0
        """Time of the first picture, in units of the reader's `time_base`."""
        self._cut_from(self.began)
        if self._options.start and first.pts is not None:
            self.reader.seek(round((self.cut.start or 0) / self.reader.time_base), first.pts)
            self.reader.bad_packets = 0  # what lies before the cut is nobody's concern
            first = self.reader.head.picture if self.reader.head else first
        self.first = first
        """A picture that shows the properties which all are taken to have."""

    def _describe(self, first: av.VideoFrame) -> SourceInfo:
        stream = self.reader.stream
        rates = (stream.average_rate, stream.guessed_rate)
        rate = next((r for r in rates if r and r <= 1000), Fraction(25))
        seconds = self._declared_seconds()
        return SourceInfo(
            path=self.path,
            format_name=self.reader.container.format.name,
            codec_name=self.reader.codec_name,
            width=first.width,
            height=first.height,
            orientation=orientation_of(display_matrix(self.side_data)),
            pix_fmt=self._usable(first.format.name),
            average_rate=rate,
            duration=seconds,
            estimated_frames=None if seconds is None else max(1, round(seconds * rate)),
        )

    def _declared_seconds(self) -> float | None:
        stream, container = self.reader.stream, self.reader.container
        if stream.duration is not None:
            seconds = float(stream.duration * self.reader.time_base)
        elif container.duration is not None:
            seconds = container.duration / av.time_base
        else:
            return self._options.duration
        seconds = max(0.0, seconds - self._options.start)
        return min(seconds, self._options.duration or seconds)

    def _cut_from(self, first: int) -> None:
        options = self._options
        start = first * self.reader.time_base + Fraction(options.start).limit_denominator(10**6)
        self.cut = Cut(
            start=start if options.start else None,
            end=None if options.duration is None else start + Fraction(options.duration),
        )

    def _wanted(self) -> Iterator[Decoded]:
        """The pictures within the cut, and the packets, all on the output's clock."""
        shift = round((self.cut.start or 0) / self.reader.time_base)
        waiting: list[av.Packet[Any]] = []
        for picture, passengers in self.reader:
            pts = self._timeline.place(picture.pts)
            waiting += self._placed(passengers)
            time = pts * self.reader.time_base
            if self.cut.after(time):
                self.trailing = (*waiting, *self._read_on(time))
                return
            if not self.cut.before(time):
                self._last_end = time + (picture.duration or self._step) * self.reader.time_base
                picture.pts = pts - shift
                yield Decoded(picture, waiting)
                waiting = []
        self.trailing = (*waiting, *self._placed(self.reader.take_passengers()))
        self._ended = True

    def _read_on(self, time: Fraction) -> list[av.Packet[Any]]:
        """The last wanted packets of the other streams, which may lie behind the last picture."""
        passengers: list[av.Packet[Any]] = []
        for picture, more in self.reader:
            passengers += more
            if (picture.pts or 0) * self.reader.time_base > time + 2:
                break
        return self._placed(passengers + self.reader.take_passengers())

    def _placed(self, passengers: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        for packet in passengers:
            self._timeline.place_packet(packet)
        wanted = [packet for packet in passengers if self.cut.takes(packet)]
        for packet in wanted:
            self.cut.move(packet)
        return wanted

    def _frame(self, decoded: Decoded) -> Frame:
        picture = self._uniform(decoded.picture)
        corrupt = picture.is_corrupt
        self.corrupt_frames += corrupt
        if self._info.codec_name in PICTURE_CODECS:
            picture = without_side_data(picture)
        frame = Frame(
            index=self._frames,
            picture=picture,
            pts=picture.pts,
            time_base=self.reader.time_base,
            duration=picture.duration or self._step,
            orientation=self._info.orientation,
            corrupt=corrupt,
            key=decoded.picture.key_frame,
            passengers=tuple(decoded.passengers),
        )
        self._frames += 1
        return frame

    def _usable(self, pix_fmt: str) -> str:
        """The pixel format, among those a canvas can work on, that is nearest to the given one."""
        if pix_fmt in layouts():
            return pix_fmt
        best, lossy = nearest_format(pix_fmt, list(layouts()))
        message = f"pixel format {pix_fmt} cannot be worked on; converted to {best}"
        if lossy:
            self._lose(message)
        else:
            self.warnings.append(message)
        return best

    def _uniform(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture in the size and pixel format of the first one."""
        info = self._info
        if (picture.width, picture.height) != (info.width, info.height):
            self._lose_once(
                f"the size changes to {picture.width}x{picture.height} on the way;"
                f" scaled to {info.width}x{info.height}"
            )
        elif picture.format.name == info.pix_fmt:
            return picture
        return reformatter().reformat(picture, info.width, info.height, info.pix_fmt)

    def _conclude(self) -> None:
        """Say what was repaired, and whether the input is whole."""
        if self.reader.late_streams:
            self._lose_once("streams that begin on the way only are left out")
        if self._timeline.moved:
            self._lose_once(f"{self._timeline.moved} frames had times that ran backwards; moved")
        if not self._ended:
            return
        if self._frames == 0:
            raise OptionError(
                f"--start {self._options.start:g} is after the last frame of {self.path}"
            )
        reader = self.reader
        ends = missing_seconds(reader.container, reader.stream, self._last_end, reader.packets_end)
        if ends is None:
            return
        tolerance = self._step * reader.time_base + Fraction(1, 10)
        reached, declared = ends
        if declared - reached > tolerance:
            self.truncated = (
                f"{self.path} is cut short: read {float(reached):.2f} s of {float(declared):.2f} s,"
                f" {self._frames} frames"
            )
            if not self._options.keep_partial:
                raise DamagedInputError(
                    f"{self.truncated}; --keep-partial writes them", frames=self._frames
                )

    def _lose(self, message: str) -> None:
        if self._options.strict:
            raise LossError(f"{self.path}: {message}")
        self.warnings.append(message)

    def _lose_once(self, message: str) -> None:
        if message not in self.warnings:
            self._lose(message)
