"""What this package reads and writes: containers, codecs and suffixes, as plain tables.

The lists for reading are a fence: whatever is not in them is refused before any of its bytes reach
a decoder, so that a playlist, a session description or a forgotten decoder cannot be used to read
other files, reach the network, or find a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

READABLE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,asf,h264,hevc,gif,apng,ogg,mxf,dv"
)
"""FFmpeg's names of the demuxers that may open an input."""

PIPED_FORMATS = "yuv4mpegpipe,nut,matroska,webm"
"""FFmpeg's names of the demuxers that may open standard input."""

READABLE_CODECS = frozenset(
    {
        "h264",
        "hevc",
        "vp8",
        "vp9",
        "av1",
        "mpeg1video",
        "mpeg2video",
        "mpeg4",
        "msmpeg4v3",
        "h263",
        "mjpeg",
        "prores",
        "dnxhd",
        "dvvideo",
        "vc1",
        "wmv3",
        "ffv1",
        "rawvideo",
        "gif",
        "png",
        "apng",
    }
)
"""FFmpeg's names of the video codecs (not of the decoders) that may be decoded."""

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
"""Suffixes, in lower case, of the still pictures that are read."""


@dataclass(frozen=True)
class Container:
    """A file format that can be written."""

    muxer: str
    """FFmpeg's name of it."""
    codecs: tuple[str, ...]
    """Video codecs to write into it, the one to fall back to first."""
    copies: frozenset[str] | None = None
    """Codecs of other streams that it can hold; None: its muxer knows, ask it."""
    pix_fmts: tuple[str, ...] = ()
    """Pixel formats that it can hold; empty: all that the encoder can."""
    constant_rate: bool = False
    """Frames have no times of their own."""
    bare: bool = False
    """It holds uncompressed pictures, but neither rotation nor colour tags."""
    settings: tuple[tuple[str, str], ...] = ()
    """Options of the muxer."""


_TS_COPIES = frozenset(
    {
        "mp2",
        "mp3",
        "aac",
        "aac_latm",
        "ac3",
        "eac3",
        "dts",
        "truehd",
        "opus",
        "dvb_subtitle",
        "timed_id3",
        "klv",
    }
)
_Y4M_PIX_FMTS = (
    *("gray", "yuv411p", "yuv420p", "yuv422p", "yuv444p", "yuva444p"),
    *("gray10le", "gray12le", "gray16le", "yuv420p10le", "yuv422p10le", "yuv444p10le"),
    *("yuv420p12le", "yuv422p12le", "yuv444p12le", "yuv420p16le", "yuv422p16le", "yuv444p16le"),
)
_MP4 = Container("mp4", ("h264", "hevc", "av1", "vp9"))
_MATROSKA = Container("matroska", ("h264", "hevc", "av1", "vp9", "prores", "ffv1", "mjpeg"))
# The muxers of the transport and program streams take any codec, and write some as garbage.
_TRANSPORT = Container("mpegts", ("h264", "hevc"), _TS_COPIES)
_BLU_RAY = Container(
    "mpegts",
    ("h264", "hevc"),
    frozenset({"ac3", "eac3", "dts", "truehd", "pcm_bluray", "hdmv_pgs_subtitle"}),
    settings=(("mpegts_m2ts_mode", "1"),),
)
_PROGRAM = Container("vob", ("h264",), frozenset({"mp2", "mp3", "ac3", "dts", "dvd_subtitle"}))

CONTAINERS: MappingProxyType[str, Container] = MappingProxyType(
    {
        ".mp4": _MP4,
        ".m4v": _MP4,
        ".f4v": _MP4,
        ".3gp": Container("3gp", ("h264",)),
        ".3g2": Container("3g2", ("h264",)),
        ".mov": Container("mov", ("h264", "hevc", "prores", "mjpeg")),
        ".mkv": _MATROSKA,
        ".webm": Container("webm", ("vp9", "av1")),
        ".ts": _TRANSPORT,
        ".m2ts": _TRANSPORT,
        ".mts": _TRANSPORT,
        ".mpg": _PROGRAM,
        ".mpeg": _PROGRAM,
        ".vob": _PROGRAM,
        ".flv": Container("flv", ("h264",)),
        ".avi": Container("avi", ("h264", "mjpeg", "ffv1"), constant_rate=True),
        ".gif": Container("gif", ("gif",)),
        ".apng": Container("apng", ("apng",)),
    }
)
"""What a suffix of the output means."""

BLU_RAY: MappingProxyType[str, Container] = MappingProxyType({".m2ts": _BLU_RAY, ".mts": _BLU_RAY})
"""Preferred to those, where it holds every stream: as discs and AVCHD cameras have it, with sound
and subtitles that other transport streams cannot hold."""

PIPES: MappingProxyType[str, Container] = MappingProxyType(
    {
        "matroska": _MATROSKA,
        "nut": Container("nut", ("rawvideo",), bare=True),
        "y4m": Container(
            "yuv4mpegpipe", ("rawvideo",), frozenset(), _Y4M_PIX_FMTS, constant_rate=True, bare=True
        ),
    }
)
"""What can be written to standard output, by the name that the user gives it."""

VIDEO_SUFFIXES = frozenset(
    (
        *CONTAINERS,
        *(".wmv", ".asf", ".ogv", ".mxf", ".dv", ".dif"),
        *(".h264", ".264", ".hevc", ".265"),
    )
)
"""Suffixes, in lower case, of the videos that are looked for in a folder."""

_FAMILIES: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "mov,mp4,m4a,3gp,3g2,mj2": (".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".f4v"),
        "matroska,webm": (".mkv", ".webm"),
        "mpegts": (".ts", ".m2ts", ".mts"),
        "mpeg": (".mpg", ".mpeg", ".vob"),
        "flv": (".flv",),
        "gif": (".gif",),
        "apng": (".apng",),
    }
)
"""Suffixes by the name of the demuxer; the first is used where the file's own name misleads."""


_UNWRITTEN: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        "avi": (".avi",),
        "asf": (".wmv", ".asf"),
        "ogg": (".ogv", ".ogg"),
        "mxf": (".mxf",),
        "dv": (".dv", ".dif"),
        "h264": (".h264", ".264"),
        "hevc": (".hevc", ".265"),
        "png": (".png",),
        "jpeg": (".jpg", ".jpeg"),
    }
)
"""Suffixes of what is copied as it is, if at all."""


def pipe_for(format_name: str) -> str:
    """The key of `PIPES` that stands for the format of standard input, as FFmpeg names it."""
    return {"nut": "nut", "yuv4mpegpipe": "y4m"}.get(format_name, "matroska")


def is_own_suffix(format_name: str, suffix: str) -> bool:
    """Whether a file of a format, as FFmpeg (or `PictureSource`) names it, may be called so."""
    return suffix.lower() in (_FAMILIES.get(format_name) or _UNWRITTEN.get(format_name, ()))


def suffix_for(format_name: str, own_suffix: str, *, brand: str = "") -> str:
    """The suffix of the container to write for an input.

    Args:
        format_name: FFmpeg's name of the input's format, as detected.
        own_suffix: The suffix of the input's name; kept where it tells the truth.
        brand: The major brand of an MP4 or QuickTime file.

    Returns:
        A key of `CONTAINERS`; ``.mkv``, which holds any timing and any codec, for the formats that
        are not written: AVI, ASF, Ogg, MXF, DV and raw streams.
    """
    family = _FAMILIES.get(format_name)
    if family is None:
        return ".mkv"
    if own_suffix.lower() in family:
        return own_suffix.lower()
    return ".mov" if brand.strip() == "qt" else family[0]
