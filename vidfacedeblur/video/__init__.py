"""Videos and pictures: reading, changing regions of frames, writing. All media files open here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import OptionError, PieceError
from vidfacedeblur.video import pieces
from vidfacedeblur.video.address import PUBLISH_SCHEMES, Address, parse_address
from vidfacedeblur.video.beside import Composer, How, composer
from vidfacedeblur.video.camera import Camera
from vidfacedeblur.video.canvas import open_canvas
from vidfacedeblur.video.copying import can_hold, holders
from vidfacedeblur.video.draft import clear_leftovers, output_errors
from vidfacedeblur.video.encoded import Encoded, PacketReader, PacketWriter
from vidfacedeblur.video.formats import (
    BLU_RAY,
    CONTAINERS,
    PICTURE_SUFFIXES,
    PIPES,
    VIDEO_SUFFIXES,
    Container,
    is_own_suffix,
    pipe_for,
    suffix_for,
)
from vidfacedeblur.video.isolation import isolated_suffix, open_isolated
from vidfacedeblur.video.opening import open_container
from vidfacedeblur.video.orientation import turned_by
from vidfacedeblur.video.picture import PictureSink, PictureSource, picture_kind, picture_suffix
from vidfacedeblur.video.pieces import (
    Joined,
    Look,
    PieceEncoder,
    frames_from,
    look_of,
    write_joined,
)
from vidfacedeblur.video.protocols import Sink, Source, SourceInfo
from vidfacedeblur.video.sink import VideoSink
from vidfacedeblur.video.source import VideoSource
from vidfacedeblur.video.streaming import SEGMENTS, StreamWriter, has_picture, published
from vidfacedeblur.video.tags import PROVENANCE
from vidfacedeblur.whole import STANDARD

__all__ = [
    "PICTURE_SUFFIXES",
    "PROVENANCE",
    "PUBLISH_SCHEMES",
    "SEGMENTS",
    "VIDEO_SUFFIXES",
    "Address",
    "Camera",
    "Composer",
    "Encoded",
    "How",
    "Joined",
    "Look",
    "PacketReader",
    "PacketWriter",
    "PieceEncoder",
    "Sink",
    "Source",
    "SourceInfo",
    "StreamWriter",
    "VideoSource",
    "clear_leftovers",
    "composer",
    "find_suffix",
    "frames_from",
    "glance",
    "has_picture",
    "is_own_suffix",
    "look_of",
    "open_canvas",
    "open_job",
    "open_joint",
    "open_pieces",
    "open_sink",
    "open_source",
    "output_errors",
    "output_suffix",
    "parse_address",
    "piece_encoder",
    "published",
    "turned_by",
    "why_whole",
    "write_joined",
]


@contextmanager
def open_job(
    source: Path, target: Path, options: VideoOptions, *, provenance: str | None = None
) -> Iterator[tuple[Source, Sink]]:
    """Open an input and its output; in a child process where ``isolate`` is on.

    The output is left behind only if it was finished.

    Raises:
        DamagedInputError: The child crashed, or does not answer.
        VidFaceDeblurError: Whatever `open_source` and `open_sink` raise.
    """
    if options.isolate:
        opened, sink = open_isolated(source, target, options, provenance=provenance)
        with opened, sink:
            yield opened, sink
        return
    with (
        open_source(source, options) as plain,
        open_sink(target, plain, options, provenance=provenance) as written,
    ):
        yield plain, written


@contextmanager
def open_pieces(source: Path, options: VideoOptions) -> Iterator[VideoSource]:
    """Open a video that is done in pieces.

    Raises:
        PieceError: It is a still picture.
        VidFaceDeblurError: Whatever `open_source` raises.
    """
    with open_source(source, options) as opened:
        if not isinstance(opened, VideoSource):
            raise PieceError(f"{source} cannot be done in pieces: it is a still picture")
        yield opened


@contextmanager
def open_joint(
    source: Path, target: Path, options: VideoOptions, *, provenance: str | None = None
) -> Iterator[tuple[VideoSource, VideoSink]]:
    """Open an input and the output that pieces of it are put together in.

    Raises:
        VidFaceDeblurError: Whatever `open_pieces` and `open_sink` raise.
    """
    with open_pieces(source, options) as opened:
        sink = open_sink(target, opened, options, provenance=provenance)
        assert isinstance(sink, VideoSink)
        with sink:
            yield opened, sink


def piece_encoder(source: VideoSource, target: Path, options: VideoOptions) -> PieceEncoder:
    """What encodes a piece of a source, as the sink of `target` would."""
    return PieceEncoder(source, _container_for(target, source, options), options)


def why_whole(source: Source, target: Path, options: VideoOptions, *, seconds: float) -> str | None:
    """Why an input cannot be done in pieces, as far as its headers tell; None if it can.

    Args:
        source: Open.
        target: Where the result is to go.
        options: How it is to be read and written.
        seconds: Length of a piece.
    """
    if not isinstance(source, VideoSource):
        return "it is a still picture, or read in a child process"
    if target.suffix.lower() in PICTURE_SUFFIXES:
        return "it is written as a picture"
    container = _container_for(target, source, options)
    return pieces.why_whole(source, target, container, options, seconds=seconds)


def find_suffix(path: Path, options: VideoOptions) -> str:
    """As `output_suffix`, in a child process where ``isolate`` is on."""
    return isolated_suffix(path, options) if options.isolate else output_suffix(path)


def open_source(path: Path, options: VideoOptions) -> Source:
    """Open a video or a still picture for reading.

    Raises:
        InputError: It is missing, unreadable, or refused for safety.
        NoVideoError: There is no video in it.
        DamagedInputError: Nothing of its video can be decoded.
    """
    kind = picture_kind(path)
    return VideoSource(path, options) if kind is None else PictureSource(path, kind, options)


def open_sink(
    target: Path,
    source: Source,
    options: VideoOptions,
    *,
    provenance: str | None = None,
    size: tuple[int, int] | None = None,
) -> Sink:
    """Begin the output of what comes from `source`.

    Args:
        target: The file to write, or ``-``. Its suffix, where it is known, chooses the container.
        source: Where the frames come from; what goes with them is copied from there.
        options: How to encode, and whether to overwrite.
        provenance: What was done, to be kept in a tag of the file.
        size: Width and height of the frames as stored, where they are not the source's.

    Raises:
        OutputExistsError: The target exists and may not be overwritten, or is the input.
        OutputError: It cannot be written to.
        OptionError: The encoder that was asked for does not exist, or does not fit.
        LossError: Something cannot be kept, and ``strict`` forbids it.
    """
    suffix = target.suffix.lower()
    if isinstance(source, PictureSource):
        if suffix not in PICTURE_SUFFIXES:
            raise OptionError(f"{target}: a picture can be written as .png or .jpg only")
        return PictureSink(target, source, options, provenance=provenance, size=size)
    if not isinstance(source, VideoSource):
        raise TypeError(f"{source!r} was not made by open_source")
    if suffix in PICTURE_SUFFIXES:
        raise OptionError(f"{target}: a video cannot be written as a picture")
    container = _container_for(target, source, options)
    return VideoSink(target, source, options, container=container, provenance=provenance, size=size)


def _container_for(target: Path, source: VideoSource, options: VideoOptions) -> Container:
    if target == STANDARD:
        return PIPES[options.pipe_format or pipe_for(source.info.format_name)]
    suffix = target.suffix.lower()
    if suffix not in CONTAINERS:
        suffix = suffix_of(source.reader.container, source.info.path)
    others = [s for s in source.reader.container.streams if s.index != source.reader.stream.index]
    better = BLU_RAY.get(suffix)
    if better is not None and all(can_hold(better, stream) for stream in others):
        return better
    return CONTAINERS[suffix]


def output_suffix(path: Path) -> str:
    """The suffix, with its dot, of what will be written for an input if nothing else is asked for.

    Raises:
        InputError: The input is missing or unreadable.
    """
    return glance(path)[0]


def glance(path: Path) -> tuple[str, float | None]:
    """As `output_suffix`, and how long the input says that it is, in seconds; None if unknown.

    Raises:
        InputError: The input is missing or unreadable.
    """
    kind = picture_kind(path)
    if kind is not None:
        return picture_suffix(kind, path.suffix.lower()), None
    with open_container(path) as container:
        length = container.duration
        seconds = None if length is None else length / av.time_base
        return suffix_of(container, path), seconds


def suffix_of(container: InputContainer, path: Path) -> str:
    """The suffix to write an open input with, whose own name is `path`."""
    brand = container.metadata.get("major_brand", "")
    suffix = suffix_for(container.format.name, path.suffix, brand=brand)
    if suffix != ".mkv" or container.format.name == "matroska,webm":
        return suffix
    # AVI and ASF are not written, for their times, unless only AVI can hold their sound.
    held = [holders(stream) for stream in container.streams.audio] or [[suffix]]
    return next((one for one in held[0] if all(one in each for each in held)), suffix)
