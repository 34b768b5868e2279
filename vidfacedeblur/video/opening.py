"""Opening an input that nobody vouches for: no network, no second file, no unlisted decoder."""

from __future__ import annotations

import sys
from collections.abc import Set
from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import InputError, NoVideoError
from vidfacedeblur.video.formats import PIPED_FORMATS, READABLE_CODECS, READABLE_FORMATS
from vidfacedeblur.video.piped import PipedInput
from vidfacedeblur.whole import STANDARD

_FENCE = {"protocol_whitelist": "file", "format_whitelist": READABLE_FORMATS}
_PIPE_BYTES = 1 << 18  # asked for at a time
_PIPE_FENCE = {"protocol_whitelist": "pipe", "format_whitelist": PIPED_FORMATS}
# The built-in decoders of VP8 and VP9 do not know their alpha channel; libvpx does.
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def readable_file(path: Path) -> Path:
    """The absolute path of a regular file.

    Raises:
        InputError: There is none.
    """
    # Absolute, so that a name like "concat:a" or "http:b" is a file's name and not a protocol.
    whole = path.absolute()
    if not whole.exists():
        raise InputError(f"{path} does not exist")
    if not whole.is_file():
        raise InputError(f"{path} is not a file")
    return whole


def open_container(path: Path, piped: PipedInput | None = None) -> InputContainer:
    """Open a video file, or standard input, for reading.

    Args:
        path: The file, or `STANDARD`.
        piped: Standard input's reader, so that it can be interrupted.

    Raises:
        InputError: It is missing, unreadable, not a video, or a playlist that names other files.
    """
    if path == STANDARD:
        return _open_standard_input(piped or PipedInput())
    whole = readable_file(path)
    if whole.stat().st_size == 0:
        raise InputError(f"{path} is empty")
    try:
        return av.open(str(whole), "r", options=_FENCE, metadata_errors="replace")
    except av.error.PermissionError as error:
        raise InputError(f"{path} may not be read") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a video that can be read: wrong kind of file, or its header is missing"
        ) from error


def _open_standard_input(piped: PipedInput) -> InputContainer:
    if sys.stdin is not None and sys.stdin.isatty():
        raise InputError("standard input is a terminal; pipe a video into it")
    try:
        container = av.open(
            piped, "r", options=_PIPE_FENCE, metadata_errors="replace", buffer_size=_PIPE_BYTES
        )
        piped.check()
        return container
    except (av.error.FFmpegError, OSError, ValueError) as error:
        piped.check()
        raise InputError("standard input is not a video in Matroska, NUT or y4m") from error


def accepted_codecs(options: VideoOptions) -> Set[str]:
    """The video codecs that may be decoded, as FFmpeg names them."""
    return READABLE_CODECS | set(options.allow_decoders)


def main_video(
    container: InputContainer, path: Path | str, *, accepted: Set[str] | None = None
) -> VideoStream:
    """The first video stream that is not a cover picture.

    Args:
        container: Open for reading.
        path: What to call it in a message.
        accepted: Codecs that may be decoded; None where the file is our own.

    Raises:
        NoVideoError: There is none.
        InputError: Its codec is not among the accepted ones.
    """
    moving = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    stream = next(moving, None)
    if stream is None:
        raise NoVideoError(f"{path} has no video in it")
    context = cast("VideoCodecContext | None", stream.codec_context)
    if context is None:
        raise InputError(f"{path}: the codec of its video is not known")
    codec = context.codec.canonical_name
    if accepted is not None and codec not in accepted:
        raise InputError(
            f"{path}: video codec {codec} is not accepted; --allow-decoder {codec} accepts it"
        )
    return stream


def open_decoder(stream: VideoStream, path: Path | str, *, max_pixels: int) -> VideoCodecContext:
    """A decoder that refuses larger pictures before it allocates them.

    Raises:
        InputError: The stream's declared size is larger already.
    """
    decoder = stream.codec_context
    check_size(decoder.width, decoder.height, path, max_pixels=max_pixels)
    name = _ALPHA_DECODERS.get(decoder.codec.canonical_name)
    if name is not None and has_alpha_tag(stream):
        declared = decoder
        decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
        # The container alone may say what the colours mean.
        for what in ("color_range", "colorspace", "color_primaries", "color_trc"):
            setattr(decoder, what, getattr(declared, what))
    # As an option of the container it would be ignored; and only before the decoder is opened.
    decoder.options = {"max_pixels": str(max_pixels)}
    _use_threads(decoder)
    return decoder


def _use_threads(decoder: VideoCodecContext) -> None:
    # FFmpeg's own decoders forget to mark a damaged picture now and then when several threads work
    # on one stream, and conceal the damage differently each time. The same input must give the
    # same output; and decoding is not what a run waits for.
    if decoder.codec.name == "libdav1d":
        decoder.thread_type = "AUTO"
    else:
        decoder.thread_type = "NONE"
        decoder.thread_count = 1


def has_alpha_tag(stream: VideoStream) -> bool:
    """Whether a VP8 or VP9 stream carries an alpha channel beside its pictures."""
    return any(key.lower() == "alpha_mode" and v == "1" for key, v in stream.metadata.items())


def check_size(width: int, height: int, path: Path | str, *, max_pixels: int) -> None:
    """Refuse a picture of too many pixels.

    Raises:
        InputError: It is larger than `max_pixels`.
    """
    if width * height > max_pixels:
        raise InputError(
            f"{path}: picture of {width}x{height} is over {max_pixels} pixels; --max-pixels"
            f" {width * height} takes it"
        )
