"""Which encoder writes the video, in which pixel format, with which settings."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av.codec.codec import UnknownCodecError
from av.sidedata.sidedata import Type

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.frames import SideData, has_alpha, nearest_format
from vidfacedeblur.video.hdr import (
    has_dynamic_hdr,
    has_static_hdr,
    svtav1_parameters,
    x265_parameters,
)
from vidfacedeblur.video.layout import layouts
from vidfacedeblur.video.side import has_user_data, without_place
from vidfacedeblur.video.source import VideoSource

_FOLLOWERS = {"vp8": "vp9", "rawvideo": "ffv1", "png": "ffv1"}
"""What a source codec is written as, where that is not itself."""

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "vp9": "libvpx-vp9",
    "av1": "libsvtav1",
    "prores": "prores_ks",
    "ffv1": "ffv1",
    "mjpeg": "mjpeg",
    "gif": "gif",
    "apng": "apng",
    "rawvideo": "rawvideo",
}

_SETTINGS: dict[str, dict[str, str]] = {
    "libx264": {"crf": "18", "preset": "veryfast"},
    "libx264rgb": {"crf": "18", "preset": "veryfast"},
    "libx265": {"crf": "20", "preset": "veryfast", "a53cc": "1"},
    "libvpx-vp9": {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"},
    "libsvtav1": {"crf": "24", "preset": "9"},
    "prores_ks": {"vendor": "apl0"},
    "ffv1": {"level": "3", "slicecrc": "1"},
    "mjpeg": {"strict": "unofficial"},  # or it takes full range only
}
"""Visually lossless, at a speed that keeps up with the deblurring."""

_X264 = ("libx264", "libx264rgb")

# Announced, but refused when the encoder is opened.
_REFUSED = {("libvpx-vp9", name) for name in ("yuva422p", "yuva444p", "gbrap")}

_NO_ASPECT = frozenset({"vp9", "av1"})
"""Codecs whose streams do not tell the shape of their pixels."""

FRAME_COUNTERS = frozenset({"mpeg1video", "mpeg2video", "mpeg4", "h263", "h263p", "libxvid"})
"""Encoders that know no other times than multiples of a frame's duration."""

INTERLACING = frozenset({"libx264", "libx264rgb", "prores_ks", "ffv1", "mpeg2video", "mpeg4"})
"""Encoders that can keep two fields in a frame apart."""

_CAPTIONING = frozenset({"libx264", "libx264rgb", "libx265"})
"""Encoders that write the closed captions which a picture carries."""

USER_DATA = "udu_sei"
"""The option of encoders that has them write the user data which a picture carries."""

_WITH_USER_DATA = frozenset({"h264", "hevc"})
"""Codecs whose pictures carry such, as cameras write times and places into them."""

_FINEST = 2 * 118
"""A quantizer of 2, in units of FF_QP2LAMBDA: JPEG at about 95 %."""

_UNSAID = (0, 2)
"""Values of colour tags that say nothing."""

_PRORES_PROFILES = {"Proxy": "proxy", "LT": "lt", "Standard": "standard", "HQ": "hq"}


@dataclass(frozen=True)
class Recipe:
    """How the video is to be encoded."""

    encoder: str
    pix_fmt: str
    has_alpha: bool
    settings: dict[str, str]
    """Options of the encoder, as FFmpeg names them."""
    quantizer: int | None = None
    """A fixed quantizer in FFmpeg's units, for encoders that know no other quality."""
    losses: tuple[str, ...] = ()
    """What cannot be kept that way, each in one line."""
    notes: tuple[str, ...] = ()
    """Options that do not apply, each in one line."""
    constant_rate: bool = False
    """Frames have no times of their own."""

    def __str__(self) -> str:
        """As for a report: ``libx264 yuv420p crf=18 preset=veryfast``."""
        settings = [f"{name}={value}" for name, value in self.settings.items()]
        if self.quantizer is not None:
            settings.append(f"global_quality={self.quantizer}")
        return " ".join((self.encoder, self.pix_fmt, *settings))


def recipe_for(source: VideoSource, container: Container, options: VideoOptions) -> Recipe:
    """Choose an encoder and its settings for a source; the user's choices go first.

    Raises:
        OptionError: The encoder that was asked for does not exist.
    """
    pix_fmt = source.info.pix_fmt
    codec, notes = _codec_for(source, container)
    encoder = options.encoder or _encoder_for(codec, pix_fmt)
    formats = list(container.pix_fmts) or _formats(encoder)
    target, losses = _nearest(pix_fmt, formats, encoder)
    settings, unused = _settings(encoder, options)
    if encoder == "prores_ks" and "444" not in target:
        settings["profile"] = _PRORES_PROFILES.get(source.profile or "", "auto")
    if encoder == "libvpx-vp9" and has_alpha(target):
        settings["auto-alt-ref"] = "0"  # libvpx cannot combine hidden frames with alpha
    losses += _tell_hdr(source.side_data, encoder, settings)
    if source.first.interlaced_frame and encoder not in INTERLACING:
        losses.append(f"{encoder} writes the interlaced pictures as progressive ones")
    if Type.A53_CC in source.side_data and encoder not in _CAPTIONING:
        losses.append(f"{encoder} cannot write the closed captions that are in the pictures")
    losses += _tell_user_data(source, encoder, settings, options)
    losses += without_place(source.side_data, source.reader.stream.metadata, container)
    losses += _not_held(source, container)
    return Recipe(
        encoder=encoder,
        pix_fmt=target,
        has_alpha=has_alpha(target),
        settings=settings,
        quantizer=_FINEST if encoder == "mjpeg" else None,
        losses=tuple(losses),
        notes=(*(() if options.encoder else notes), *unused),
        constant_rate=container.constant_rate,
    )


def is_rgb(pix_fmt: str) -> bool:
    """Whether a pixel format that can be worked on holds red, green and blue."""
    layout = layouts().get(pix_fmt)
    return layout is not None and layout.model == "rgb"


def _codec_for(source: VideoSource, container: Container) -> tuple[str, list[str]]:
    """The codec to write, and why it is not the source's where that is not plain."""
    info = source.info
    codec = info.codec_name
    if codec not in container.codecs:
        codec = _FOLLOWERS.get(codec, codec)
    if codec not in container.codecs:
        codec = container.codecs[0]
    plain = not has_alpha(info.pix_fmt)
    if codec == "vp9" and plain and layouts()[info.pix_fmt].bits > 8:
        # The libvpx that comes with PyAV is built for 8 bits.
        return "av1", ["written as AV1, which can hold the bit depth here"]
    shapeless = codec in _NO_ASPECT and container.muxer == "matroska"
    if shapeless and plain and source.aspect not in (None, 1):
        # Nor can PyAV make Matroska hold it.
        return "h264", [f"written as H.264, which can hold the pixel aspect {source.aspect}"]
    return codec, []


def _encoder_for(codec: str, pix_fmt: str) -> str:
    name = _ENCODERS[codec]
    if name == "libx264" and is_rgb(pix_fmt) and layouts()[pix_fmt].bits == 8:
        return "libx264rgb"
    return name


def _formats(encoder: str) -> list[str]:
    try:
        codec = av.Codec(encoder, "w")
    except (UnknownCodecError, ValueError) as error:
        known = ", ".join(sorted({*_ENCODERS.values()} & av.codecs_available))
        raise OptionError(f"--encoder: no encoder is called {encoder!r}; there are {known}") from (
            error
        )
    if codec.type != "video":
        raise OptionError(f"--encoder {encoder} does not encode video")
    names = [video_format.name for video_format in codec.video_formats or []]
    return [name for name in names if (encoder, name) not in _REFUSED]


def _nearest(pix_fmt: str, formats: list[str], encoder: str) -> tuple[str, list[str]]:
    """The pixel format of an encoder that loses least, and what it loses."""
    # "yuvj" only says full range, which the frame's tags say as well.
    for name in (pix_fmt, pix_fmt.replace("yuvj", "yuv")):
        if name in formats or not formats:
            return name, []
    if encoder == "gif":
        return "pal8", []  # with a palette for each frame, see `palette`
    best, lossy = nearest_format(pix_fmt, formats)
    losses = [f"{encoder} cannot hold pixel format {pix_fmt}; written as {best}"]
    return best, losses if lossy else []


def _settings(encoder: str, options: VideoOptions) -> tuple[dict[str, str], list[str]]:
    settings = dict(_SETTINGS.get(encoder, {}))
    if encoder == "libx265":
        settings["x265-params"] = "log-level=error"
    if encoder in _X264 and _has_avx512():
        # Its code for AVX-512 reads memory that nobody has written: the same pictures come out
        # otherwise each time, by a hair. Without it encoding takes 2 % longer.
        settings["x264-params"] = "asm=avx2"
    wanted = {"crf": options.crf, "preset": options.preset}
    context = cast(av.VideoCodecContext, av.CodecContext.create(encoder, "w"))
    known = {option.name for option in context.supported_options.private}
    notes = []
    for name, value in wanted.items():
        if value is None:
            continue
        # The hardware encoders of NVIDIA call it otherwise.
        key = "cq" if name == "crf" and "crf" not in known and "cq" in known else name
        if key in known:
            settings[key] = f"{value:g}" if isinstance(value, float) else str(value)
        else:
            notes.append(f"--{name} does not apply to {encoder}")
    for name, value in options.encoder_options:
        own = settings.get(name) if name.endswith("-params") else None
        settings[name] = f"{own}:{value}" if own else value
    return settings, notes


@functools.cache
def _has_avx512() -> bool:
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False


def _tell_hdr(data: SideData, encoder: str, settings: dict[str, str]) -> list[str]:
    """Put HDR10 data into the encoder's settings; return what cannot be kept."""
    if not has_static_hdr(data):
        return []
    if encoder == "libx265":
        parameters = [settings["x265-params"], *x265_parameters(data)]
        settings["x265-params"] = ":".join(parameters)
    elif encoder == "libsvtav1":
        settings["svtav1-params"] = ":".join(svtav1_parameters(data))
    else:
        return [f"{encoder} cannot hold the HDR10 mastering data"]
    return []


def _tell_user_data(
    source: VideoSource, encoder: str, settings: dict[str, str], options: VideoOptions
) -> list[str]:
    """Have user data of the pictures written; return what cannot be kept."""
    if options.strip_metadata or source.info.codec_name not in _WITH_USER_DATA:
        return []
    if encoder in _X264:
        settings.setdefault(USER_DATA, "1")
    elif has_user_data(source.first, source.info.codec_name):
        # libx265 can, but begins all of them with its own name.
        return [f"{encoder} cannot write the user data that are in the pictures"]
    return []


def _not_held(source: VideoSource, container: Container) -> Iterator[str]:
    """Losses that come with the kind of container, whichever the encoder."""
    name, first = container.muxer, source.first
    if has_dynamic_hdr(source.side_data):
        yield "HDR data that change from scene to scene cannot be kept"
    if container.constant_rate and source.info.format_name != name:
        yield f"{name} holds no times of frames; they are put on the grid of a constant rate"
    if not container.bare:
        return
    if source.info.orientation != 1:
        yield f"{name} cannot hold the rotation; a player will not turn the picture"
    tags = (first.colorspace, first.color_primaries, first.color_trc)
    if not is_rgb(source.info.pix_fmt) and any(int(tag) not in _UNSAID for tag in tags):
        yield f"{name} cannot hold the colour tags"
