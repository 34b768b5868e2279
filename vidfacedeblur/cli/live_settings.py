"""The options of ``vidfacedeblur-live``: those of the model and the faces, and its own."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from vidfacedeblur import __version__
from vidfacedeblur.cli.options import Parser, Setting, add_settings, pair, path
from vidfacedeblur.cli.settings import SETTINGS
from vidfacedeblur.config import LiveOptions

_LIVE = LiveOptions()
_SHARED = frozenset(
    {"event-interval", "no-provenance", "allow-decoder", "max-pixels"}
    | {"no-progress", "quiet", "verbose"}
)
"""Options that both commands have, beside those of the model and the faces."""

OWN: tuple[Setting, ...] = (
    Setting(
        "transport",
        str,
        _LIVE.transport,
        "what RTSP is carried over; udp loses pictures",
        choices=("tcp", "udp"),
        group="camera",
    ),
    Setting(
        "camera-timeout",
        float,
        _LIVE.timeout,
        "seconds without an answer or a packet after which to connect again",
        "S",
        group="camera",
    ),
    Setting(
        "stall",
        float,
        _LIVE.stall,
        "seconds without a picture after which to connect again",
        "S",
        group="camera",
    ),
    Setting(
        "max-lag",
        float,
        _LIVE.max_lag,
        "seconds that the decoder may be behind before it skips to the next key frame",
        "S",
        group="camera",
    ),
    Setting(
        "max-backoff",
        float,
        _LIVE.max_backoff,
        "longest wait, in seconds, between attempts to connect",
        "S",
        group="camera",
    ),
    Setting(
        "ca-file",
        path,
        None,
        "certificates to check the camera's against (any will do)",
        "FILE",
        group="camera",
    ),
    Setting(
        "input-option",
        pair,
        (),
        "option of FFmpeg's demuxer, as video_size=1280x720; may be repeated",
        "NAME=VALUE",
        group="camera",
        many=True,
    ),
    Setting("duration", float, None, "seconds after which to end (never)", "S", group="camera"),
    Setting("segments", path, None, "record into this folder", "DIR", group="outputs"),
    Setting("segment-seconds", float, 60.0, "length of a file", "S", group="outputs"),
    Setting(
        "segment-format",
        str,
        "mkv",
        "Matroska, or fragmented MP4",
        choices=("mkv", "mp4"),
        group="outputs",
    ),
    Setting("crf", float, 20.0, "quality of x264, lower is better", "N", group="outputs"),
    Setting("preset", str, "veryfast", "x264's speed preset", "NAME", group="outputs"),
    Setting(
        "publish",
        str,
        None,
        "send the pictures on: rtsp://, rtsps:// (a server that takes RECORD) or udp:// (MPEG-TS)",
        "URL",
        group="outputs",
    ),
    Setting(
        "events",
        path,
        None,
        "append a JSON line for each face that comes, stays and goes; - is standard output",
        "FILE",
        group="outputs",
    ),
    Setting("best-faces", path, None, "keep each face's best crops there", "DIR", group="outputs"),
    Setting(
        "status",
        path,
        None,
        "append how it is doing as JSON lines; - is standard output",
        "FILE",
        group="outputs",
    ),
    Setting("status-interval", float, 1.0, "seconds between two of them", "S", group="outputs"),
)

LIVE_SETTINGS: tuple[Setting, ...] = (
    *(s for s in SETTINGS if s.group in ("model", "faces")),
    *OWN,
    *(s for s in SETTINGS if s.name in _SHARED),
)


def build_live_parser() -> argparse.ArgumentParser:
    """The command line's parser. Options that are not given are absent from its result."""
    parser = Parser(
        prog="vidfacedeblur-live",
        usage="vidfacedeblur-live URL [options]",
        description="Deblur the faces that a camera sees, for as long as it takes: record, publish,"
        " and tell of them.",
        epilog="Options can also be set as VIDFACEDEBLUR_<NAME> or in the --config file; the URL as"
        " VIDFACEDEBLUR_URL, where no list of processes shows its password.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="rtsp://, rtsps://, http://, https://, udp:// (MPEG-TS), or a device as /dev/video0",
    )
    parser.add_argument("--config", metavar="FILE", type=path, help="options from a TOML file")
    parser.add_argument("-V", "--version", action="version", version=f"vidfacedeblur {__version__}")
    add_settings(parser, LIVE_SETTINGS)
    return parser


def live_options(values: Mapping[str, Any]) -> LiveOptions:
    """What the settled values say of the camera.

    Raises:
        OptionError: One is out of range.
    """
    return LiveOptions(
        transport=values["transport"],
        timeout=values["camera_timeout"],
        stall=values["stall"],
        max_lag=values["max_lag"],
        max_backoff=values["max_backoff"],
        ca_file=values["ca_file"],
        input_options=values["input_option"],
        allow_decoders=values["allow_decoder"],
        max_pixels=values["max_pixels"],
    )
