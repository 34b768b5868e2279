"""Encoding pictures as they come, into a file that survives a kill, or to a server."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.codec.context import Flags
from av.video.frame import PictureType

from vidfacedeblur.errors import OptionError, OutputError, VidFaceDeblurError
from vidfacedeblur.video.frames import reformatter, without_side_data
from vidfacedeblur.video.opening import open_container

_TIME_BASE = Fraction(1, 90_000)
_FORMATS = ("yuv420p", "yuvj420p")
_KEY_SECONDS = 2
"""Seconds from one key frame to the next: who tunes in, or plays a killed file, waits no longer."""
_NEVER = 1 << 30
"""Frames after which x264 makes a key frame of its own accord."""


@dataclass(frozen=True)
class Stream:
    """How a live output is written."""

    muxer: str
    """FFmpeg's name of it."""
    options: Mapping[str, str]
    """The muxer's and the protocol's."""
    encoder: Mapping[str, str]
    """Settings of x264, beside quality and preset."""


SEGMENTS: Mapping[str, Stream] = {
    "mkv": Stream("matroska", {"cluster_time_limit": "1000", "flush_packets": "1"}, {}),
    "mp4": Stream(
        "mp4",
        {
            "movflags": "frag_keyframe+empty_moov+default_base_moof+use_metadata_tags",
            "frag_duration": "1000000",
            "flush_packets": "1",
        },
        {"bf": "0"},  # with B-frames, and no edit list, the first picture would come late
    ),
}
"""Files of which a killed process leaves all that was written: x264 holds some tens of pictures."""


def published(scheme: str, *, transport: str, timeout: float) -> Stream:
    """How to publish to an address of a scheme; `timeout` in seconds."""
    at_once = {"tune": "zerolatency"}
    if scheme == "udp":
        return Stream("mpegts", {"flush_packets": "1", "pkt_size": "1316"}, at_once)
    microseconds = str(round(timeout * 1e6))
    return Stream("rtsp", {"rtsp_transport": transport, "timeout": microseconds}, at_once)


class StreamWriter:
    """Encodes pictures of one size as H.264.

    Args:
        url: What FFmpeg is to open.
        stream: How.
        first: The first picture; the others must be of its size.
        rate: Frames per second, about: what x264 plans with; the file claims none.
        crf: Constant rate factor of x264.
        preset: x264's.
        tags: Of the file.
        timeout: Seconds that opening or writing may take; None: as long as it needs.

    Raises:
        av.error.FFmpegError: It cannot be opened; also an `OSError`.
        OptionError: The preset does not exist.
        OutputError: The encoder cannot be opened now.
    """

    def __init__(
        self,
        url: str,
        stream: Stream,
        first: av.VideoFrame,
        *,
        rate: Fraction,
        crf: float,
        preset: str,
        tags: Mapping[str, str],
        timeout: float | None = None,
    ) -> None:
        self._begin: Fraction | None = None
        self._last, self._key = -1, 0
        self._step = round(1 / rate / _TIME_BASE)
        self._container = av.open(
            url,
            "w",
            format=stream.muxer,
            container_options=dict(stream.options),
            timeout=timeout,
        )
        try:
            self._container.metadata.update(tags)
            self._add_video(first, rate, stream, {"crf": f"{crf:g}", "preset": preset})
            self._container.start_encoding()
        except BaseException:
            self.abandon()
            raise

    def write(self, picture: av.VideoFrame, time: Fraction) -> None:
        """Encode a picture, which is copied.

        Args:
            picture: Of the first one's size.
            time: When it was taken, in seconds; where that does not rise it is taken for the next
                tick.

        Raises:
            av.error.FFmpegError: It cannot be written; also an `OSError`.
        """
        if self._begin is None:
            self._begin = time
        copy = self._own(picture)
        tick = max(self._last + 1, round((time - self._begin) / _TIME_BASE))
        if tick:
            self._step = tick - self._last
        self._last = tick
        # As long as the one before: with the last one's the file ends, and another may be joined.
        copy.pts, copy.duration, copy.time_base = tick, self._step, _TIME_BASE
        # Not by counting: pictures may come at any rate. Otherwise the encoder decides.
        key = self._last == 0 or self._last - self._key >= _KEY_SECONDS / _TIME_BASE
        copy.pict_type = PictureType.I if key else PictureType.NONE
        self._key = self._last if key else self._key
        self._container.mux(self._video.encode(copy))

    def finish(self) -> None:
        """Write what is left, and close.

        Raises:
            av.error.FFmpegError: It cannot be written; also an `OSError`.
        """
        self._container.mux(self._video.encode(None))
        self._container.close()

    def abandon(self) -> None:
        """Close without a word."""
        with suppress(Exception):
            self._container.close()

    def _add_video(
        self, first: av.VideoFrame, rate: Fraction, stream: Stream, settings: dict[str, str]
    ) -> None:
        video = self._container.add_stream("libx264", rate)
        context = video.codec_context
        context.width, context.height = (
            first.width - first.width % 2,
            first.height - first.height % 2,
        )
        context.pix_fmt = _FORMATS[first.format.name.startswith("yuvj")]
        context.time_base = video.time_base = _TIME_BASE
        context.gop_size = _NEVER
        context.color_range, context.colorspace = first.color_range, first.colorspace
        context.color_primaries, context.color_trc = first.color_primaries, first.color_trc
        context.flags |= Flags.frame_duration
        # Matroska's header would claim the encoder's rate, and who makes another file of it would
        # get pictures twice or lose some. x264 needs one all the same: its level comes from it.
        context.framerate = Fraction(0)
        planned = {"x264-params": f"fps={rate.numerator}/{rate.denominator}"}
        context.options = settings | planned | dict(stream.encoder)
        try:
            context.open()
        except av.error.ArgumentError as error:
            raise OptionError(
                f"libx264 cannot be used with {settings}: {error.strerror}; choose another --preset"
            ) from error
        except av.error.FFmpegError as error:  # memory, threads: another time it may work
            raise OutputError(f"libx264 cannot be opened: {error.strerror}") from error
        self._video = video

    def _own(self, picture: av.VideoFrame) -> av.VideoFrame:
        """A copy in the encoder's format: others look at the picture at the same time."""
        context = self._video.codec_context
        same = (picture.width, picture.height, picture.format.name) == (
            context.width,
            context.height,
            context.pix_fmt,
        )
        if same:
            return without_side_data(picture)
        return reformatter().reformat(picture, context.width, context.height, context.pix_fmt)


def has_picture(path: Path) -> bool:
    """Whether a picture can be read from a file."""
    try:
        with open_container(path) as container:
            return next(container.decode(video=0), None) is not None
    except (VidFaceDeblurError, av.error.FFmpegError, IndexError):
        return False
