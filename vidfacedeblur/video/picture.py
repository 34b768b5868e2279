"""Still pictures, PNG and JPEG, through the same door as videos: one frame in, one frame out.

They are decoded by the same library under the same limits, never by OpenCV: its own decoders are
not kept as fresh. Pixels stay as stored; the EXIF orientation is respected where faces are looked
for, and carried over.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import av

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import DamagedInputError, InputError, LossError, OutputError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.draft import Draft, output_errors
from vidfacedeblur.video.frames import has_alpha, nearest_format, reformatter, without_side_data
from vidfacedeblur.video.layout import layouts
from vidfacedeblur.video.opening import check_size, readable_file
from vidfacedeblur.video.picture_bytes import (
    Kind,
    exif_orientation,
    extras_of,
    has_transparency,
    is_whole,
    kind_of,
    size_of,
    stripped,
    with_extras,
)
from vidfacedeblur.video.protocols import SourceInfo
from vidfacedeblur.video.tags import PROVENANCE
from vidfacedeblur.whole import STANDARD

_CODECS: dict[Kind, str] = {"png": "png", "jpeg": "mjpeg"}
_KINDS: dict[str, Kind] = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg"}
_FULL_RANGE, _BT601 = 2, 5  # what every JPEG is
_FINEST = 118
"""The finest quantizer, 1, in units of FF_QP2LAMBDA."""
_MAX_BYTES = 1 << 30
_HEAD = 1 << 16


def picture_kind(path: Path) -> Kind | None:
    """Whether a file is a still picture, by its first bytes.

    Raises:
        InputError: It is missing or unreadable.
    """
    if path == STANDARD:
        return None
    try:
        with readable_file(path).open("rb") as file:
            return kind_of(file.read(_HEAD))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def picture_suffix(kind: Kind, own: str) -> str:
    """The suffix to write a picture with: its own, in lower case, where that tells the truth."""
    if _KINDS.get(own) == kind:
        return own
    return next(suffix for suffix, known in _KINDS.items() if known == kind)


class PictureSource:
    """A PNG or JPEG file as a single frame; implements `Source`.

    Raises:
        InputError: The file is too large, or cannot be decoded.
        DamagedInputError: It is cut short, and not to be kept in part.
    """

    def __init__(self, path: Path, kind: Kind, options: VideoOptions) -> None:
        self.warnings: list[str] = []
        self.corrupt_frames = 0
        self.bad_packets = 0
        self.truncated: str | None = None
        self.trailing: tuple[av.Packet[Any], ...] = ()
        data = _bytes_of(path)
        self._judge(path, data, kind, options)
        check_size(*size_of(data, kind), path, max_pixels=options.max_pixels)
        decoded = _decode(data, kind, path, max_pixels=options.max_pixels)
        self.extras = extras_of(data, kind)
        for message in self.extras.dropped:
            lose(message, self.warnings, path, strict=options.strict)
        self._corrupt = decoded.is_corrupt or self.truncated is not None
        workable = self._workable(decoded, path, options, alpha=has_transparency(data))
        self._picture = without_side_data(workable)
        self._info = SourceInfo(
            path=path,
            format_name=kind,
            codec_name=_CODECS[kind],
            width=decoded.width,
            height=decoded.height,
            orientation=exif_orientation(self.extras.exif),
            pix_fmt=self._picture.format.name,
            average_rate=Fraction(1),
            duration=None,
            estimated_frames=1,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def interrupt(self) -> None:
        """There is only one frame."""

    def close(self) -> None:
        """Nothing is held open."""

    def __iter__(self) -> Iterator[Frame]:
        self.corrupt_frames = int(self._corrupt)
        yield Frame(
            index=0,
            picture=self._picture,
            pts=0,
            duration=1,
            orientation=self._info.orientation,
            corrupt=self._corrupt,
        )

    def _judge(self, path: Path, data: bytes, kind: Kind, options: VideoOptions) -> None:
        if is_whole(data, kind):
            return
        self.truncated = f"{path} is cut short"
        if not options.keep_partial:
            raise DamagedInputError(f"{self.truncated}; --keep-partial writes what is there")

    def _workable(
        self, picture: av.VideoFrame, path: Path, options: VideoOptions, *, alpha: bool
    ) -> av.VideoFrame:
        name = picture.format.name
        if name in layouts():
            return picture
        if name == "pal8":
            self.warnings.append("the picture's palette is given up; it is written in full colour")
            return reformatter().reformat(picture, format="rgba" if alpha else "rgb24")
        best, lossy = nearest_format(name, list(layouts()))
        if lossy:
            lose(f"{name} is converted to {best}", self.warnings, path, strict=options.strict)
        return reformatter().reformat(picture, format=best)


class PictureSink:
    """Writes a single frame as PNG or JPEG; implements `Sink`.

    Raises:
        OutputExistsError: The target exists and may not be overwritten, or is the input.
        OutputError: It cannot be written to.
    """

    def __init__(
        self,
        target: Path,
        source: PictureSource,
        options: VideoOptions,
        *,
        provenance: str | None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self.left_out: list[str] = []
        self.tag: str | None = None
        self.encoding: str | None = None
        self._target = target
        self._source = source
        self._options = options
        self._size = size or (source.info.width, source.info.height)
        self._provenance = provenance if options.provenance else None
        self._kind = _KINDS[target.suffix.lower()]
        self._data: bytes | None = None
        self._finished = False
        self._draft = Draft(target, source=source.info.path, overwrite=options.overwrite)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            self._draft.discard()

    def write(self, frame: Frame) -> None:
        if self._data is not None or not isinstance(frame.picture, av.VideoFrame):
            raise OutputError(f"{self._target}: a picture file takes one decoded frame")
        with output_errors(self._target):
            picture = self._converted(frame.picture)
            encoded = _encode(picture, self._kind)
            extras = self._source.extras
            if self._options.strip_metadata:
                extras = stripped(extras)
            self._data = with_extras(encoded, self._kind, extras, self._provenance)
        quality = f" global_quality={_FINEST}" if self._kind == "jpeg" else ""
        self.encoding = f"{_CODECS[self._kind]} {picture.format.name}{quality}"

    def finish(self) -> Path:
        if self._data is None:
            raise OutputError(f"{self._target}: there was no frame to write")
        limit = self._options.max_pixels
        written = _decode(self._data, self._kind, self._target, max_pixels=limit)
        if (written.width, written.height) != self._size:
            raise OutputError(f"{self._target} failed its check: its size is not the input's")
        with output_errors(self._target):
            self._draft.path.write_bytes(self._data)
        self.tag = PROVENANCE if self._provenance else None
        return self._publish()

    def leave_as_is(self) -> Path:
        self._draft.take_copy(self._source.info.path)
        self.encoding = None
        return self._publish()

    def _publish(self) -> Path:
        path = self._draft.publish()
        self._finished = True
        return path

    def _converted(self, picture: av.VideoFrame) -> av.VideoFrame:
        name = picture.format.name
        formats = [f.name for f in av.Codec(_CODECS[self._kind], "w").video_formats or []]
        best, lossy = (name, False) if name in formats else nearest_format(name, formats)
        if lossy and (name != "gray" or has_alpha(name)):
            message = f"{self._target.suffix} cannot hold pixel format {name}; written as {best}"
            lose(message, self.warnings, self._target, strict=self._options.strict)
        if self._kind == "png":
            return reformatter().reformat(picture, format=best)
        return reformatter().reformat(
            picture, format=best, dst_colorspace=_BT601, dst_color_range=_FULL_RANGE
        )


def lose(message: str, warnings: list[str], path: Path, *, strict: bool) -> None:
    """Note a loss, or raise it."""
    if strict:
        raise LossError(f"{path}: {message}")
    warnings.append(message)


def _bytes_of(path: Path) -> bytes:
    whole = readable_file(path)
    try:
        if whole.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: a picture file of over {_MAX_BYTES >> 20} MB is not read")
        return whole.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error


def _decode(data: bytes, kind: Kind, path: Path, *, max_pixels: int) -> av.VideoFrame:
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(_CODECS[kind], "r"))
    decoder.options = {"max_pixels": str(max_pixels)}
    try:
        pictures = decoder.decode(av.Packet(data)) or decoder.decode(None)
    except av.error.FFmpegError as error:
        raise InputError(f"{path}: the {kind.upper()} picture cannot be decoded") from error
    if not pictures:
        raise InputError(f"{path}: the {kind.upper()} picture cannot be decoded")
    return pictures[0]


def _encode(picture: av.VideoFrame, kind: Kind) -> bytes:
    encoder = cast(av.VideoCodecContext, av.CodecContext.create(_CODECS[kind], "w"))
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = picture.format.name
    encoder.time_base = Fraction(1)
    encoder.color_range = picture.color_range
    if kind == "jpeg":
        encoder.qscale = True
        encoder.qmin = 1
        encoder.global_quality = _FINEST
    picture.pts, picture.pict_type = 0, 0
    picture.time_base = Fraction(1)
    return b"".join(bytes(p) for p in (*encoder.encode(picture), *encoder.encode(None)))
