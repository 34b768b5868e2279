"""What a user can choose, as frozen dataclasses; checked when made.

The command line, the configuration file and the environment fill the same classes, so an option
means the same everywhere. A wrong value raises `OptionError` with the flag's name in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from vidfacedeblur.errors import OptionError
from vidfacedeblur.settle import settle, settled

CROP_SIZES = range(32, 513, 32)
"""Sides, in pixels, of the squares that a deblurring network is given."""

DEFAULT_MODEL = "deblurgan"

Engine = Literal["auto", "torch", "openvino", "tensorrt"]
"""What runs the networks; ``auto``: the fastest that can be used."""
ENGINES: tuple[Engine, ...] = get_args(Engine)

Rectangle = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the upright picture."""

_LONGEST = 1e9
"""Seconds, 31 years; time stamps overflow somewhere beyond."""
_MOST: dict[str, int | None] = {"all": None, "none": 0, "largest": 1}
"""Faces of a frame that are deblurred at most, by `FaceOptions.faces`."""


@dataclass(frozen=True)
class ModelOptions:
    """Which network deblurs, and what runs it."""

    model: str = DEFAULT_MODEL
    weights: Path | None = None
    """A safetensors file of the user's own; None takes the bundled weights."""
    engine: Engine = "auto"
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    threads: int | None = None
    """CPU threads for each network; None: the cores that this process may use, up to 16."""

    def __post_init__(self) -> None:
        settle(self)
        check_engine(self.engine, self.device)
        if self.threads is not None:
            _within("--threads", self.threads, 1, 1024)


def check_engine(engine: str, device: str) -> None:
    """Refuse an engine or a device that there is not, and two that do not go together.

    Raises:
        OptionError: Says which there are.
    """
    settled("--engine", engine, Engine)
    name, _, number = device.partition(":")
    plain = device in ("auto", "cpu", "cuda")
    if not plain and not (name == "cuda" and number.isdecimal()):
        raise OptionError(f"--device must be auto, cpu, cuda or cuda:N, got {device!r}")
    if engine == "openvino" and name == "cuda":
        raise OptionError("--engine openvino runs on the CPU only; use --device cpu or auto")
    if engine == "tensorrt" and name == "cpu":
        raise OptionError("--engine tensorrt needs an NVIDIA GPU; use --device cuda or auto")


@dataclass(frozen=True)
class FaceOptions:
    """Which faces are deblurred, and how strongly."""

    faces: Literal["all", "none", "largest"] | int = "all"
    """All, none, the largest, or so many of the largest of each frame."""
    regions: tuple[Rectangle, ...] = ()
    """Where the middle of a face must be; none: anywhere."""
    exclude: tuple[Rectangle, ...] = ()
    """Where it must not be."""
    min_track: int = 1
    """Frames on which a face must be seen, unless its scene is shorter; 1 to 100. In files, frames
    wait for that many; in a stream, a face's first frames pass untouched."""
    min_face: int | None = None
    """Smallest face looked for, in pixels of height; None: 40 at 1080 lines, scaled with the
    picture's shorter side, never below 20."""
    min_score: float = 0.9
    """Least detector probability of a face that is deblurred, 0 to 1."""
    detect_every: int | None = None
    """Frames from one search of the whole picture to the next; None: as the video needs it."""
    gate: Literal["auto", "off"] = "auto"
    """Whether faces that are sharp pass untouched, at no cost, and nearly sharp ones are changed
    less; or every face is deblurred."""
    strength: float = 1.0
    """How much of the network's correction is applied, 0 (nothing) to 1."""
    crop_size: int | None = None
    """Side of every crop given to the network; None: each face at its own size."""

    def __post_init__(self) -> None:
        settle(self, regions="--region")
        if isinstance(self.faces, int):
            _within("--faces", self.faces, 1, 1000)
        for flag, regions in (("--region", self.regions), ("--exclude", self.exclude)):
            for region in regions:
                _check_rectangle(flag, region)
        _within("--min-track", self.min_track, 1, 100)
        _within("--strength", self.strength, 0, 1)
        _within("--min-score", self.min_score, 0, 1)
        if self.detect_every is not None:
            _within("--detect-every", self.detect_every, 1, 1000)
        if self.min_face is not None:
            _within("--min-face", self.min_face, 12, 10_000)
        if self.crop_size is not None and self.crop_size not in CROP_SIZES:
            raise OptionError(
                f"--crop-size must be auto or a multiple of 32 from 32 to 512, got {self.crop_size}"
            )

    @property
    def most(self) -> int | None:
        """Faces of a frame that are deblurred at most; None: all."""
        if isinstance(self.faces, int):
            return self.faces
        return _MOST[self.faces]

    def min_face_for(self, width: int, height: int) -> int:
        """Smallest face to look for in a picture of this size, in pixels."""
        if self.min_face is not None:
            return self.min_face
        return max(20, round(40 * min(width, height) / 1080))


@dataclass(frozen=True)
class VideoOptions:
    """Which part of the video is read, and how the result is written."""

    start: float = 0.0
    """Seconds of the input to leave out at the beginning."""
    duration: float | None = None
    """Seconds to write; None: to the end."""
    encoder: str | None = None
    """FFmpeg's name of the video encoder; None: what fits the source codec, else libx264."""
    crf: float | None = None
    """Constant rate factor, lower is better and larger; None: visually lossless (18 for x264)."""
    preset: str | None = None
    """The encoder's own speed preset; None: ``veryfast`` for x264 and x265."""
    encoder_options: tuple[tuple[str, str], ...] = ()
    """Further options of the encoder, as FFmpeg names them, with their values."""
    pipe_format: Literal["matroska", "nut", "y4m"] | None = None
    """What is written to standard output; None: what came from standard input, else Matroska."""
    overwrite: bool = False
    copy_if_no_faces: bool = False
    """Where no face was changed, copy the input byte by byte instead of encoding it anew."""
    strip_metadata: bool = False
    """Leave out what the input says of itself: tags, time code, GPS and other data streams."""
    provenance: bool = True
    """Write a tag into the output that says what was done to it."""
    keep_partial: bool = False
    """Write the readable part of an input that is cut short, instead of nothing."""
    strict: bool = False
    """Treat anything that the output cannot hold as an error."""
    allow_decoders: tuple[str, ...] = ()
    """Video codecs to accept beside the usual ones, as FFmpeg names them."""
    max_pixels: int = 134_217_728
    """Largest width x height accepted, against picture bombs; 8K is 33 million."""
    isolate: bool = False
    """Read and write in a child process, so that a crash in FFmpeg costs one file only."""
    max_memory: int = 4096
    """Address space of that child in MiB."""
    timeout: float = 60.0
    """Seconds without a frame after which that child is given up."""

    def __post_init__(self) -> None:
        settle(self, encoder_options="--encoder-option", allow_decoders="--allow-decoder")
        if not 0 <= self.start <= _LONGEST:
            raise OptionError(f"--start must be 0 or more seconds, got {self.start:g}")
        if self.duration is not None and not 0 < self.duration <= _LONGEST:
            raise OptionError(f"--duration must be more than 0 seconds, got {self.duration:g}")
        if self.crf is not None:
            _within("--crf", self.crf, 0, 63)
        _within("--max-pixels", self.max_pixels, 1, 2**31)
        _within("--max-memory", self.max_memory, 1024, 2**24)
        _within("--timeout", self.timeout, 1, 86_400)
        self._check_copy()

    def _check_copy(self) -> None:
        asked = {
            "--start": self.start > 0,
            "--duration": self.duration is not None,
            "--strip-metadata": self.strip_metadata,
        }
        for flag, given in asked.items():
            if self.copy_if_no_faces and given:
                raise OptionError(
                    f"--copy-if-no-faces and {flag} contradict each other; give one of them"
                )


@dataclass(frozen=True)
class ScanOptions:
    """Which files of a folder are taken."""

    match: tuple[str, ...] = ()
    """Patterns, as ``*.dat`` or ``2024/*/cam?.mp4``, of which a file must fit one; none: the usual
    suffixes of videos and pictures. One with a slash is for the path below the folder, where ``*``
    stands for slashes too."""
    ignore: tuple[str, ...] = ()
    """Patterns of files and folders to leave out."""
    hidden: bool = False
    """Take files and folders whose names begin with a dot."""
    follow_links: bool = False
    """Look into folders behind links; files behind links are taken in any case."""

    def __post_init__(self) -> None:
        settle(self)


@dataclass(frozen=True)
class LiveOptions:
    """How a camera is received, and how long anything may take."""

    transport: Literal["tcp", "udp"] = "tcp"
    """What RTSP carries the pictures over; UDP loses some."""
    timeout: float = 10.0
    """Seconds to wait for an answer or a packet; 0.5 to 600."""
    stall: float = 20.0
    """Seconds without a picture after which the camera is connected to anew, whatever it sends."""
    max_lag: float = 1.0
    """Seconds that a packet may wait for the decoder; then it goes on from the next key frame."""
    backoff: float = 1.0
    """Seconds before the first attempt to connect again; doubled with each that fails ..."""
    max_backoff: float = 60.0
    """... up to so many. Each wait is shortened at random by up to a half."""
    ca_file: Path | None = None
    """Certificates to check the camera's against; None: any certificate will do."""
    input_options: tuple[tuple[str, str], ...] = ()
    """Further options of FFmpeg's demuxer with their values, as ``video_size`` of a V4L2 device."""
    allow_decoders: tuple[str, ...] = ()
    """Video codecs to accept beside the usual ones, as FFmpeg names them."""
    max_pixels: int = 134_217_728
    """Largest width x height accepted."""

    def __post_init__(self) -> None:
        settle(
            self,
            timeout="--camera-timeout",
            backoff="backoff",
            max_backoff="max_backoff",
            input_options="--input-option",
            allow_decoders="--allow-decoder",
        )
        _within("--camera-timeout", self.timeout, 0.5, 600)
        _within("--stall", self.stall, 1, 3600)
        _within("--max-lag", self.max_lag, 0.1, 60)
        _within("backoff", self.backoff, 0.1, 3600)
        _within("max_backoff", self.max_backoff, self.backoff, 3600)
        _within("--max-pixels", self.max_pixels, 1, 2**31)
        if self.ca_file is not None and not self.ca_file.is_file():
            raise OptionError(f"--ca-file: there is no file {self.ca_file}")


_NOT_SEEN = frozenset(
    {"weights", "threads", "overwrite", "strict", "max_pixels", "isolate", "max_memory", "timeout"}
)
"""Options that say how to work, not what comes out; weights have a hash of their own."""


def options_sha256(options: Iterable[ModelOptions | FaceOptions | VideoOptions]) -> str:
    """A hash of everything asked for that shows in the output, to tell two runs apart."""
    values: dict[str, Any] = {}
    for group in options:
        values |= {key: value for key, value in asdict(group).items() if key not in _NOT_SEEN}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _within(flag: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        said = (f"{n:d}" if isinstance(n, int) else f"{n:g}" for n in (low, high, value))
        raise OptionError("{} must be within {} to {}, got {}".format(flag, *said))


def _check_rectangle(flag: str, region: Rectangle) -> None:
    if min(region[2:]) <= 0:
        given = ",".join(f"{value:g}" for value in region)
        raise OptionError(
            f"{flag} must be X,Y,WIDTH,HEIGHT in pixels, width and height above 0; got {given}"
        )
