"""Writing a video: the frames encoded anew, everything else copied, the file whole or not there."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import LossError, OptionError, OutputError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.clock import Clock
from vidfacedeblur.video.copying import (
    Copies,
    allows_repeats,
    copy_chapters,
    describe,
    is_remade,
)
from vidfacedeblur.video.draft import Destination, Draft, StandardOutput, output_errors
from vidfacedeblur.video.encoder import configure, open_encoder
from vidfacedeblur.video.encoding import FRAME_COUNTERS, recipe_for
from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.frames import reformatter
from vidfacedeblur.video.opening import STANDARD
from vidfacedeblur.video.orientation import display_matrix
from vidfacedeblur.video.palette import Palettizer
from vidfacedeblur.video.source import VideoSource
from vidfacedeblur.video.tags import file_tags, kept_tags, muxer_options, timecode
from vidfacedeblur.video.verify import Expected, verify

_MAX_RATE = {"libsvtav1": Fraction(240)}


class VideoSink:
    """Encodes frames into a new file; implements `Sink`.

    Raises:
        OutputExistsError: The target exists and may not be overwritten, or is the input.
        OutputError: It cannot be written to.
        OptionError: The encoder that was asked for does not exist, or does not fit the container.
        LossError: Something of the input cannot be kept, and ``strict`` forbids it.
    """

    _container: OutputContainer | None = None

    def __init__(
        self,
        target: Path,
        source: VideoSource,
        options: VideoOptions,
        *,
        container: Container,
        provenance: str | None = None,
    ) -> None:
        self.warnings: list[str] = []
        self.left_out: list[str] = []
        self.tag: str | None = None
        self._target = target
        self._source = source
        self._options = options
        self._provenance = provenance if options.provenance else None
        self._frames = 0
        self._finished = False
        self._place = _place(target, source, options)
        try:
            with output_errors(target):
                self._open(container)
        except BaseException:
            self._abort()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            self._abort()

    def write(self, frame: Frame) -> None:
        if not isinstance(frame.picture, av.VideoFrame) or frame.pts is None:
            raise OutputError(f"{self._target}: a frame needs a decoded picture and a time")
        pts, duration = frame.pts, frame.duration or 0
        if self._container_kind.constant_rate:
            pts, duration = round(frame.pts * frame.time_base / self._clock.time_base), 1
        with output_errors(self._target):
            self._copies.copy(frame.passengers)
            picture = self._converted(frame.picture)
            # As decoded it is still marked as a key frame or not, which encoders would obey.
            picture.pict_type = 0
            picture.pts = self._clock.enter(pts, duration)
            picture.duration = 1 if self._clock.fixed else duration
            picture.time_base = self._clock.encoder_base
            self._encode(picture)
        self._frames += 1

    def finish(self) -> Path:
        with output_errors(self._target, "completed"):
            self._copies.copy(self._source.trailing)
            self._encode(None)
            # Not left to the garbage collector: a full disk often shows only here.
            self._output.close()
        losses = self._clock.losses() + self._copies.losses()
        if isinstance(self._place, Draft):
            found = verify(self._place.path, self._expected())
            losses, self.tag = losses + found.losses, found.tag
        for loss in losses:
            self._lose(loss)
        if self._provenance and self.tag is None and self._target != STANDARD:
            kind = self._container_kind.muxer
            self.warnings.append(f"{kind} has no place to say what was done; the file does not say")
        return self._publish()

    def leave_as_is(self) -> Path:
        if not isinstance(self._place, Draft):
            raise OutputError("what was written to standard output cannot be taken back")
        self._output.close()
        self._place.take_copy(self._source.path)
        return self._publish()

    def _publish(self) -> Path:
        path = self._place.publish()
        self._finished = True
        return path

    @property
    def _output(self) -> OutputContainer:
        assert self._container is not None
        return self._container

    def _lose(self, message: str) -> None:
        if self._options.strict:
            raise LossError(f"{self._target}: {message}")
        self.warnings.append(message)

    def _abort(self) -> None:
        if self._container is not None:
            with suppress(Exception):  # whatever it is, the file is thrown away
                self._container.close()
        self._place.discard()

    # --- at the start

    def _open(self, container: Container) -> None:
        source, original = self._source, self._source.reader.container
        strip = self._options.strip_metadata
        self._container_kind = container
        self._recipe = recipe_for(source, container, self._options)
        self.warnings += self._recipe.notes
        for loss in self._recipe.losses:
            self._lose(loss)
        self._container = av.open(
            self._place.url,
            "w",
            format=container.muxer,
            container_options=muxer_options(original, container),
        )
        tags = file_tags(original, container, self._provenance, strip=strip)
        self._output.metadata.update(tags)
        copy_chapters(self._output, original, source.cut)
        self._add_streams(container)
        open_encoder(self._video.codec_context, self._recipe, self._options)
        self._output.start_encoding()

    def _add_streams(self, container: Container) -> None:
        reader, strip = self._source.reader, self._options.strip_metadata
        self._copies = Copies(self._output, container, strip=strip)
        for stream in reader.container.streams:
            if stream.index == reader.stream.index:
                self._add_video()
            elif is_remade(stream, reader.container, container):
                continue
            elif strip and stream.type == "data":
                self.left_out.append(describe(stream))
            elif not self._copies.add(stream):
                self.left_out.append(describe(stream))
                self._lose(f"{container.muxer} cannot hold {describe(stream)}; it is left out")

    def _add_video(self) -> None:
        source, recipe = self._source, self._recipe
        rate = min(source.info.average_rate, _MAX_RATE.get(recipe.encoder, Fraction(1000)))
        try:
            video = cast(VideoStream, self._output.add_stream(recipe.encoder, rate))
        except ValueError as error:
            raise OptionError(
                f"--encoder {recipe.encoder} does not fit into {self._container_kind.muxer}; leave"
                " it out or write .mkv"
            ) from error
        self._video = video
        self._clock = Clock(
            1 / rate if self._container_kind.constant_rate else source.reader.time_base,
            rate,
            fixed=recipe.encoder in FRAME_COUNTERS,
            repeats=allows_repeats(self._output),
        )
        configure(video, source, recipe, self._clock.encoder_base)
        if recipe.encoder == "gif":
            self._palettizer = Palettizer(source.first, source.info.pix_fmt)
        strip = self._options.strip_metadata
        video.metadata.update(kept_tags(source.reader.stream.metadata, strip=strip))
        code = timecode(source.reader.container)
        if code is not None and not strip:
            video.metadata["timecode"] = code
        if not recipe.has_alpha:
            video.metadata.pop("alpha_mode", None)
        video.disposition = source.reader.stream.disposition
        video.set_display_matrix(display_matrix(source.side_data))

    # --- per frame

    def _converted(self, picture: av.VideoFrame) -> av.VideoFrame:
        if picture.format.name == self._recipe.pix_fmt:
            return picture
        if self._recipe.encoder == "gif":
            return self._palettizer.reduce(picture)
        # Only the layout of the samples may change, never their range.
        return reformatter().reformat(
            picture,
            format=self._recipe.pix_fmt,
            src_color_range=picture.color_range,
            dst_color_range=picture.color_range,
        )

    def _encode(self, picture: av.VideoFrame | None) -> None:
        for packet in self._video.encode(picture):
            self._clock.leave(packet)
            self._output.mux(packet)

    # --- at the end

    def _expected(self) -> Expected:
        info = self._source.info
        return Expected(
            name=self._target,
            frames=self._frames,
            span=self._clock.span,
            width=info.width,
            height=info.height,
            kinds=self._copies.kinds,
            sample_aspect_ratio=self._source.aspect,
            tags=dict(self._output.metadata),
            provenance=self._provenance,
        )


def _place(target: Path, source: VideoSource, options: VideoOptions) -> Destination:
    if target == STANDARD:
        return StandardOutput()
    return Draft(target, source=source.path, overwrite=options.overwrite)
