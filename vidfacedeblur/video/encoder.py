"""Setting up an encoder as its recipe says, with the properties of the source's pictures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import av
from av.codec.context import Flags
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.video.colour import RGB_MATRIX
from vidfacedeblur.video.encoding import INTERLACING, Recipe, is_rgb
from vidfacedeblur.video.source import VideoSource


def configure(video: VideoStream, source: VideoSource, recipe: Recipe, time_base: Fraction) -> None:
    """Tell a new stream's encoder what it will be given.

    Args:
        video: The stream, its encoder not yet open.
        source: Where the pictures come from.
        recipe: How they are to be encoded.
        time_base: Unit of the pictures' times.
    """
    context, first = video.codec_context, source.first
    context.width, context.height = source.info.width, source.info.height
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
