"""Writing a video: the frames encoded anew, everything else copied, the file whole or not there."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.container import OutputContainer

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import LossError, OutputError
from vidfacedeblur.types import Frame
from vidfacedeblur.video.copying import (
    Copies,
    copy_chapters,
    describe,
    holders,
    is_remade,
)
from vidfacedeblur.video.draft import Destination, Draft, StandardOutput, output_errors
from vidfacedeblur.video.encoded import Encoded
from vidfacedeblur.video.encoder import FrameEncoder
from vidfacedeblur.video.encoding import recipe_for
from vidfacedeblur.video.formats import Container
from vidfacedeblur.video.orientation import display_matrix
from vidfacedeblur.video.source import VideoSource
from vidfacedeblur.video.tags import (
    QUICKTIME,
    file_tags,
    is_countable,
    muxer_options,
    stream_tags,
    timecode,
    told_of,
)
from vidfacedeblur.video.verify import Expected, verify
from vidfacedeblur.whole import STANDARD


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
        with output_errors(self._target):
            self._copies.copy(frame.passengers)
            self._output.mux(self._encoder.encode(frame))
        self._frames += 1

    @property
    def extradata(self) -> bytes:
        """What a decoder needs to know beside the packets, by this sink's own encoder."""
        return self._encoder.extradata

    def copy(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Copy packets of the other streams, where no frame takes them along."""
        with output_errors(self._target):
            self._copies.copy(packets)

    def write_encoded(self, encoded: Encoded, dts: int, next_pts: int) -> None:
        """Write a packet that was encoded elsewhere, as this sink would have.

        Args:
            encoded: In the order of decoding.
            dts: When it is decoded, in units of the source's `time_base`.
            next_pts: The time of the next frame in the order of showing.

        Raises:
            OutputError: The disk is full, or two frames have one time.
        """
        clock = self._encoder.clock
        packet: av.Packet[Any] = av.Packet(encoded.data)
        packet.pts, packet.dts, packet.duration = encoded.pts, dts, encoded.duration
        packet.time_base, packet.stream = clock.time_base, self._encoder.stream
        packet.is_keyframe = encoded.key
        if clock.enter(next_pts, 0) != next_pts:
            raise OutputError(f"{self._target}: two frames have one time")
        with output_errors(self._target):
            self._output.mux(packet)
        self._frames += 1

    def finish(self) -> Path:
        with output_errors(self._target, "completed"):
            self._copies.copy(self._source.trailing)
            self._output.mux(self._encoder.flush())
            # Not left to the garbage collector: a full disk often shows only here.
            self._output.close()
        losses = self._encoder.losses() + self._copies.losses()
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
        self.encoding = None
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
        self.encoding = str(self._recipe)
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
        self._told = told_of(self._output.streams)
        self._leave_out_timecode()
        self._encoder.open(self._options)
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
            elif self._copies.attach_cover(stream, reader.path):
                continue
            elif not self._copies.add(stream):
                self.left_out.append(describe(stream))
                others = " or ".join(holders(stream))
                advice = f"; {others} would keep it" if others else ""
                self._lose(
                    f"{container.muxer} cannot hold {describe(stream)}; it is left out{advice}"
                )

    def _add_video(self) -> None:
        source, recipe = self._source, self._recipe
        self._encoder = FrameEncoder(self._output, source, recipe, self._container_kind, self._size)
        video = self._encoder.stream
        strip = self._options.strip_metadata
        video.metadata.update(stream_tags(source.reader.stream.metadata, strip=strip))
        if not strip:
            video.metadata.update(timecode(source.reader.container))
        if not recipe.has_alpha:
            video.metadata.pop("alpha_mode", None)
        video.disposition = source.reader.stream.disposition
        video.set_display_matrix(display_matrix(source.side_data))

    def _leave_out_timecode(self) -> None:
        """Leave out a time code that the muxer could not write, and would give up at."""
        if self._container_kind.muxer not in QUICKTIME:
            return
        video = self._encoder.stream
        rate = video.average_rate or Fraction(25)
        for tags in (self._output.metadata, video.metadata):
            for key in [key for key in tags if key.lower() == "timecode"]:
                if not is_countable(tags[key], rate):
                    del tags[key]

    # --- at the end

    def _expected(self) -> Expected:
        return Expected(
            name=self._target,
            frames=self._frames,
            span=self._encoder.clock.span,
            width=self._size[0],
            height=self._size[1],
            kinds=self._copies.kinds,
            sample_aspect_ratio=self._source.aspect,
            tags=dict(self._output.metadata),
            told=self._told,
            provenance=self._provenance,
        )


def _place(target: Path, source: VideoSource, options: VideoOptions) -> Destination:
    if target == STANDARD:
        return StandardOutput()
    return Draft(target, source=source.path, overwrite=options.overwrite)
