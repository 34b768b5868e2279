"""Videos and pictures: reading, changing regions of frames, writing. All media files open here."""

from __future__ import annotations

from pathlib import Path

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import OptionError
from vidfacedeblur.video.canvas import open_canvas
from vidfacedeblur.video.formats import CONTAINERS, PICTURE_SUFFIXES, VIDEO_SUFFIXES, suffix_for
from vidfacedeblur.video.opening import open_container
from vidfacedeblur.video.picture import PictureSink, PictureSource, picture_kind, picture_suffix
from vidfacedeblur.video.protocols import Sink, Source, SourceInfo
from vidfacedeblur.video.sink import VideoSink
from vidfacedeblur.video.source import VideoSource

__all__ = [
    "PICTURE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "Sink",
    "Source",
    "SourceInfo",
    "open_canvas",
    "open_sink",
    "open_source",
    "output_suffix",
]


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
    target: Path, source: Source, options: VideoOptions, *, comment: str | None = None
) -> Sink:
    """Begin the output of what comes from `source`.

    Args:
        target: The file to write. Its suffix, where it is known, chooses the container.
        source: Where the frames come from; what goes with them is copied from there.
        options: How to encode, and whether to overwrite.
        comment: What was done, to be kept in a tag of the file.

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
        return PictureSink(target, source, options, comment=comment)
    if not isinstance(source, VideoSource):
        raise TypeError(f"{source!r} was not made by open_source")
    if suffix in PICTURE_SUFFIXES:
        raise OptionError(f"{target}: a video cannot be written as a picture")
    if suffix not in CONTAINERS:
        suffix = output_suffix(source.info.path)
    return VideoSink(target, source, options, suffix=suffix, comment=comment)


def output_suffix(path: Path) -> str:
    """The suffix, with its dot, of what will be written for an input if nothing else is asked for.

    Raises:
        InputError: The input is missing or unreadable.
    """
    kind = picture_kind(path)
    if kind is not None:
        return picture_suffix(kind, path.suffix.lower())
    with open_container(path) as container:
        brand = container.metadata.get("major_brand", "")
        return suffix_for(container.format.name, path.suffix, brand=brand)
