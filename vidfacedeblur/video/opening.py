"""Opening an input that nobody vouches for: no network, no second file, no unlisted decoder."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.errors import InputError, NoVideoError
from vidfacedeblur.video.formats import READABLE_CODECS, READABLE_FORMATS

_FENCE = {"protocol_whitelist": "file", "format_whitelist": READABLE_FORMATS}
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


def open_container(path: Path) -> InputContainer:
    """Open a video file for reading.

    Raises:
        InputError: It is missing, unreadable, not a video, or a playlist that names other files.
    """
    whole = readable_file(path)
    try:
        return av.open(str(whole), "r", options=_FENCE, metadata_errors="replace")
    except av.error.PermissionError as error:
        raise InputError(f"{path} may not be read") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a video that can be read: wrong kind of file, or its header is missing"
        ) from error


def main_video(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a cover picture.

    Raises:
        NoVideoError: There is none.
        InputError: Its codec is not among the accepted ones.
    """
    moving = (s for s in container.streams.video if not s.disposition & Disposition.attached_pic)
    stream = next(moving, None)
    if stream is None:
        raise NoVideoError(f"{path} has no video in it")
    context = cast("VideoCodecContext | None", stream.codec_context)
    codec = "unknown" if context is None else context.codec.canonical_name
    if codec not in READABLE_CODECS:
        raise InputError(
            f"{path}: video codec {codec} is not accepted; accepted: {' '.join(READABLE_CODECS)}"
        )
    return stream


def open_decoder(stream: VideoStream, path: Path, *, max_pixels: int) -> VideoCodecContext:
    """A decoder that refuses larger pictures before it allocates them.

    Raises:
        InputError: The stream's declared size is larger already.
    """
    decoder = stream.codec_context
    check_size(decoder.width, decoder.height, path, max_pixels=max_pixels)
    name = _ALPHA_DECODERS.get(decoder.codec.canonical_name)
    if name is not None and has_alpha_tag(stream):
        decoder = cast(VideoCodecContext, av.CodecContext.create(name, "r"))
    # As an option of the container it would be ignored; and only before the decoder is opened.
    decoder.options = {"max_pixels": str(max_pixels)}
    decoder.thread_type = "AUTO"
    return decoder


def has_alpha_tag(stream: VideoStream) -> bool:
    """Whether a VP8 or VP9 stream carries an alpha channel beside its pictures."""
    return any(key.lower() == "alpha_mode" and v == "1" for key, v in stream.metadata.items())


def check_size(width: int, height: int, path: Path, *, max_pixels: int) -> None:
    """Refuse a picture of too many pixels.

    Raises:
        InputError: It is larger than `max_pixels`.
    """
    if width * height > max_pixels:
        raise InputError(f"{path}: picture of {width}x{height} is over {max_pixels} pixels")
