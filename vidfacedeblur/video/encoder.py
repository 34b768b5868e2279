"""Setting up an encoder as its recipe says, with the properties of the source's pictures."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, cast

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.clock import Clock
from vidfacedeblur.video.colour import RGB_MATRIX
from vidfacedeblur.video.copying import allows_repeats
from vidfacedeblur.video.encoding import FRAME_COUNTERS, INTERLACING, USER_DATA, Recipe, is_rgb
from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.frames import reformatter
from vidfacedeblur.video.interlacing import FieldOrder
from vidfacedeblur.video.palette import Palettizer
from vidfacedeblur.video.side import fit_to_encode
from vidfacedeblur.video.source import VideoSource

_MAX_RATE = {"libsvtav1": Fraction(240)}

_FIELDS_BY_PICTURE = frozenset({"ffv1"})
"""Encoders that say of each picture by itself whether it is interlaced, and how."""


class FrameEncoder:
    """Encodes the frames of one stream, each at its own time.

    Args:
        output: Gets a stream for them, whose encoder is not open yet.
        source: Where the frames come from.
        recipe: How they are to be encoded.
        container: What kind of file it is.
        size: Width and height of the frames, as stored.

    Raises:
        OptionError: The container cannot hold what the encoder makes.
    """

    def __init__(
        self,
        output: OutputContainer,
        source: VideoSource,
        recipe: Recipe,
        container: Container,
        size: tuple[int, int],
    ) -> None:
        rate = min(source.info.average_rate, _MAX_RATE.get(recipe.encoder, Fraction(1000)))
        try:
            self.stream = cast(VideoStream, output.add_stream(recipe.encoder, rate))
        except ValueError as error:
            raise OptionError(
                f"--encoder {recipe.encoder} does not fit into {container.muxer}; leave it out or"
                " write .mkv"
            ) from error
        self.clock = Clock(
            1 / rate if container.constant_rate else source.reader.time_base,
            rate,
            fixed=recipe.encoder in FRAME_COUNTERS,
            repeats=allows_repeats(output),
        )
        self._recipe = recipe
        self._on_grid = container.constant_rate
        self._begun = False
        self._user_data = recipe.settings.get(USER_DATA, "0") != "0"
        fields, by_picture = source.first.interlaced_frame, recipe.encoder in _FIELDS_BY_PICTURE
        keeps = fields and recipe.encoder in INTERLACING and not by_picture
        self._order = FieldOrder(source.first) if keeps else None
        self._loses_fields = not fields and not by_picture
        self._lost: Counter[str] = Counter()
        configure(self.stream, source, recipe, self.clock.encoder_base, size)
        if recipe.encoder == "gif":
            self._palettizer = Palettizer(source.first, source.info.pix_fmt, size)

    @property
    def extradata(self) -> bytes:
        """What a decoder needs to know beside the packets; once the encoder is open."""
        return self.stream.codec_context.extradata or b""

    def open(self, options: VideoOptions) -> None:
        """Open the encoder.

        Raises:
            OptionError: It does not take the settings, or does not know one of the user's.
        """
        open_encoder(self.stream.codec_context, self._recipe, options)

    def encode(self, frame: Frame) -> list[av.Packet[Any]]:
        """The packets that are ready after a frame, with the times that they are to have."""
        assert isinstance(frame.picture, av.VideoFrame)
        assert frame.pts is not None
        pts, duration = frame.pts, frame.duration or 0
        if self._on_grid:
            pts, duration = round(frame.pts * frame.time_base / self.clock.time_base), 1
        picture = self._fit(self._converted(frame.picture))
        # As decoded it is still marked as a key frame or not, which encoders would obey.
        picture.pict_type = 0
        picture.pts = self.clock.enter(pts, duration)
        picture.duration = 1 if self.clock.fixed else duration
        picture.time_base = self.clock.encoder_base
        self._begun = True
        return self._timed(self.stream.encode(picture))

    def flush(self) -> list[av.Packet[Any]]:
        """The packets that the encoder still holds; no frame may follow."""
        return self._timed(self.stream.encode(None)) if self._begun else []

    def losses(self) -> list[str]:
        """What could not be kept of the frames so far, in one line each."""
        lost = (f"{what} cannot be kept ({count} pictures)" for what, count in self._lost.items())
        return [*self.clock.losses(), *lost]

    def _fit(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture with what the encoder can take beside the samples; what it cannot counts."""
        fit = fit_to_encode(picture, user_data=self._user_data)
        if fit.lost is not None:
            self._lost[fit.lost] += 1
        if self._loses_fields and picture.interlaced_frame:
            self._lost["that pictures are interlaced which come after progressive ones"] += 1
        return fit.picture if self._order is None else self._order.marked(fit.picture)

    def _converted(self, picture: av.VideoFrame) -> av.VideoFrame:
        if picture.format.name == self._recipe.pix_fmt:
            return picture
        if self._recipe.encoder == "gif":
            return self._palettizer.reduce(picture)
        # Only the layout of the samples may change, never their range.
        return reformatter().reformat(
            picture,
            format=self._recipe.pix_fmt,
            src_color_range=picture.color_range,
            dst_color_range=picture.color_range,
        )

    def _timed(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        for packet in packets:
            self.clock.leave(packet)
        return packets


def configure(
    video: VideoStream,
    source: VideoSource,
    recipe: Recipe,
    time_base: Fraction,
    size: tuple[int, int],
) -> None:
    """Tell a new stream's encoder what it will be given.

    Args:
        video: The stream, its encoder not yet open.
        source: Where the pictures come from.
        recipe: How they are to be encoded.
        time_base: Unit of the pictures' times.
        size: Width and height of the pictures.
    """
    context, first = video.codec_context, source.first
    context.width, context.height = size
    context.pix_fmt = recipe.pix_fmt
    context.time_base = video.time_base = time_base
    if source.aspect:
        context.sample_aspect_ratio = source.aspect
    context.color_range = first.color_range
    context.colorspace = RGB_MATRIX if is_rgb(recipe.pix_fmt) else first.colorspace
    context.color_primaries = first.color_primaries
    context.color_trc = first.color_trc
    context.flags |= Flags.frame_duration
    # PyAV's own choice, slices, is slower, and a picture in slices compresses worse.
    context.thread_type = "AUTO"
    context.options = dict(recipe.settings)
    if recipe.constant_rate:
        context.max_b_frames = 0
    if recipe.quantizer is not None:
        context.qscale = True
        context.global_quality = recipe.quantizer
    if first.interlaced_frame and recipe.encoder in INTERLACING:
        context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        context.field_order = source.reader.stream.codec_context.field_order


def open_encoder(context: VideoCodecContext, recipe: Recipe, options: VideoOptions) -> None:
    """Open a configured encoder.

    Raises:
        OptionError: It does not take the settings, or does not know one of the user's.
    """
    try:
        with _quiet(recipe.encoder):
            context.open()
    except av.error.FFmpegError as error:
        settings = " ".join(f"{key}={value}" for key, value in recipe.settings.items())
        raise OptionError(
            f"encoder {recipe.encoder} cannot be used here for {recipe.pix_fmt} with"
            f" {settings or 'its defaults'}: {error.strerror}; choose another --encoder"
        ) from error
    # What the encoder does not know is left over, and would be ignored.
    unknown = [key for key, _ in options.encoder_options if key in context.options]
    if unknown:
        raise OptionError(
            f"--encoder-option: {recipe.encoder} has no option {', '.join(unknown)};"
            f" ffmpeg -h encoder={recipe.encoder} lists them"
        )


@contextmanager
def _quiet(encoder: str) -> Iterator[None]:
    """Keep an encoder from talking on standard error while it is opened."""
    # SVT-AV1 knows no other switch than its variable, and reads it when it is opened.
    name = "SVT_LOG"
    if encoder != "libsvtav1" or name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]
