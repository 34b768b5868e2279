"""One connection to a camera: opened with timeouts, demuxed here, decoded there.

Only what the address itself names is opened: no playlist, no session description, no second host.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.container import InputContainer

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import InputError
from vidfacedeblur.video.address import Address
from vidfacedeblur.video.formats import READABLE_CODECS
from vidfacedeblur.video.frames import (
    PICTURE_CODECS,
    nearest_format,
    reformatter,
    without_side_data,
)
from vidfacedeblur.video.layout import layouts
from vidfacedeblur.video.opening import check_size, main_video, open_decoder

_PROTOCOLS = {
    "rtsp": "rtsp,rtp,srtp,tcp,udp",
    "rtsps": "rtsp,rtsps,rtp,srtp,tcp,udp,tls",
    "http": "http,tcp",
    "https": "https,http,tls,tcp",
    "udp": "udp",
    "v4l2": "file",
}
_FORMATS = {
    "rtsp": "rtsp",
    "rtsps": "rtsp",
    "http": "mpjpeg,mjpeg,mpegts,matroska,webm,flv,mov,mp4,h264,hevc",
    "https": "mpjpeg,mjpeg,mpegts,matroska,webm,flv,mov,mp4,h264,hevc",
    "udp": "mpegts",
    "v4l2": "video4linux2,v4l2",
}
_FORCED = {"udp": "mpegts", "v4l2": "v4l2"}
_TIMELESS = ("mpjpeg", "mjpeg")
"""Formats in which pictures have no times: FFmpeg counts them as 25 a second."""
_PROBED_MICROSECONDS = 1_000_000
_USUAL = {"max_redirects": "0"}
"""What `LiveOptions.input_options` may change."""
_UDP_BUFFER = 4 << 20


class Picture(NamedTuple):
    """A decoded picture, in a format that can be worked on."""

    picture: av.VideoFrame
    corrupt: bool
    """The decoder had to conceal damage."""


class Camera:
    """An open connection. One thread demuxes, another may decode.

    Raises:
        InputError: It cannot be opened, or has no video that may be decoded. The message hides
            what is secret in the address.
    """

    def __init__(self, address: Address, options: LiveOptions) -> None:
        self.address = address
        self._max_pixels = options.max_pixels
        self._container = _open(address, options)
        try:
            accepted = READABLE_CODECS | set(options.allow_decoders)
            self._stream = main_video(self._container, address.shown, accepted=accepted)
            self._decoder = open_decoder(
                self._stream, self.address.shown, max_pixels=options.max_pixels
            )
        except BaseException:
            self._container.close()
            raise

    @property
    def codec_name(self) -> str:
        """FFmpeg's name of the video codec."""
        return self._decoder.codec.canonical_name

    @property
    def time_base(self) -> Fraction:
        """The unit of the pictures' times, in seconds."""
        return self._stream.time_base or Fraction(1, 90_000)

    def packets(self) -> Iterator[av.Packet[Any]]:
        """The video's packets, until the other side ends it.

        Raises:
            InputError: The connection breaks, or nothing comes for as long as the timeout.
        """
        try:
            for packet in self._container.demux(self._stream):
                if self._container.format.name in _TIMELESS:
                    packet.pts = packet.dts = None
                if packet.size:
                    yield packet
        except av.error.ExitError as error:
            raise InputError(f"{self.address} sends nothing any more") from error
        except (av.error.FFmpegError, OSError, IndexError) as error:
            raise InputError(f"{self.address}: the connection broke: {_reason(error)}") from error

    def decode(self, packet: av.Packet[Any] | None) -> list[Picture]:
        """The pictures that are complete with this packet; with None, those that are left.

        Raises:
            av.error.FFmpegError: The packet is damaged.
            InputError: A picture is larger than accepted.
        """
        return [self._usable(picture) for picture in self._decoder.decode(packet)]

    def forget(self) -> None:
        """Begin decoding anew; the next packet must be a key frame's."""
        self._decoder.flush_buffers()

    def close(self) -> None:
        """End the connection. By the thread that demuxes, when no other uses it."""
        self._container.close()

    def _usable(self, picture: av.VideoFrame) -> Picture:
        check_size(picture.width, picture.height, self.address.shown, max_pixels=self._max_pixels)
        corrupt = picture.is_corrupt
        if self.codec_name in PICTURE_CODECS:
            picture = without_side_data(picture)
        name = picture.format.name
        if name not in layouts():
            best, _ = nearest_format(name, list(layouts()))
            pts, picture = picture.pts, reformatter().reformat(picture, format=best)
            picture.pts = pts
        return Picture(picture, corrupt)


def _open(address: Address, options: LiveOptions) -> InputContainer:
    try:
        return av.open(
            address.url,
            "r",
            format=_FORCED.get(address.scheme),
            options=_settings(address.scheme, options),
            timeout=(options.timeout, options.timeout),
            metadata_errors="replace",
        )
    except av.error.ExitError as error:
        raise InputError(f"{address} does not answer within {options.timeout:g} s") from error
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise InputError(f"{address} cannot be opened: {_reason(error)}") from error


def _settings(scheme: str, options: LiveOptions) -> dict[str, str]:
    """FFmpeg's options for a scheme."""
    microseconds = str(round(options.timeout * 1e6))
    settings = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": _FORMATS[scheme],
        "analyzeduration": str(_PROBED_MICROSECONDS),
        # Else 20 pictures would be waited for to guess a rate, which nobody asks for.
        "fpsprobesize": "0",
    }
    if scheme in ("rtsp", "rtsps"):
        settings |= {
            "rtsp_transport": options.transport,
            "allowed_media_types": "video",
            "timeout": microseconds,
        }
    elif scheme in ("http", "https"):
        settings |= {"rw_timeout": microseconds, "multiple_requests": "0"}
    elif scheme == "udp":
        settings |= {
            "timeout": microseconds,
            "buffer_size": str(_UDP_BUFFER),
            "overrun_nonfatal": "1",
        }
    if scheme in ("rtsps", "https") and options.ca_file is not None:
        settings |= {"ca_file": str(options.ca_file), "tls_verify": "1"}
    return _USUAL | dict(options.input_options) | settings


def _reason(error: BaseException) -> str:
    """What FFmpeg or the system says, without the address that it may repeat."""
    said = getattr(error, "strerror", None)
    return str(said) if said else type(error).__name__
