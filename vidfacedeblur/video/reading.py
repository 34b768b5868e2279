"""From a file to pictures: one demuxer, one decoder, and what is broken is counted."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.video.ending import packet_end
from vidfacedeblur.video.opening import (
    accepted_codecs,
    check_size,
    main_video,
    open_container,
    open_decoder,
)
from vidfacedeblur.video.piped import PipedInput
from vidfacedeblur.video.timeline import DecodingOrder
from vidfacedeblur.whole import STANDARD

_SEEK_MARGINS = (0, 10, 60)
"""Seconds to go back further, where a seek did not land on a frame before the wanted one."""

_KEY_WITHIN = 2
"""Packets after a gap; the second, if it is a key frame, may begin a new recording."""


class Decoded(NamedTuple):
    """A picture, and the packets of the other streams that lie before it in the file."""

    picture: av.VideoFrame
    passengers: list[av.Packet[Any]]


_WITHOUT_TIMES = frozenset({"avi", "asf", "mxf"})
"""Formats that store no times of presentation, or, as MXF, not always."""


class Reader:
    """Iterates over the pictures of a file's main video, in order of presentation.

    The file is read once: the packets of the other streams travel with the pictures, so that
    nothing is held for longer than it lies apart in the file.
    """

    container: InputContainer
    stream: VideoStream
    decoder: VideoCodecContext
    head: Decoded | None
    """The next picture, decoded ahead."""

    def __init__(self, path: Path, options: VideoOptions) -> None:
        self.path = path
        self.bad_packets = 0
        self.late_streams = False
        """Whether streams turned up that were not there in the beginning, and are not read."""
        self._interrupted = False
        self._piped = PipedInput() if path == STANDARD else None
        self.packets_end = Fraction(0)
        """End of the last packet of any stream so far, in seconds."""
        self._options = options
        self._passengers: list[av.Packet[Any]] = []
        self._gap = 0  # packets within which a key frame must follow a gap
        self._open()

    def __iter__(self) -> Iterator[Decoded]:
        if self.head is not None:
            head, self.head = self.head, None
            yield head
        yield from self._pictures

    def interrupt(self) -> None:
        """Read no further; called by another thread."""
        self._interrupted = True
        if self._piped is not None:
            self._piped.interrupted = True

    def close(self) -> None:
        """Let go of the file."""
        self.container.close()

    @property
    def time_base(self) -> Fraction:
        """The unit of the pictures' times, in seconds."""
        return self.stream.time_base or Fraction(1, 90_000)

    @property
    def codec_name(self) -> str:
        """FFmpeg's name of the video codec."""
        return self.decoder.codec.canonical_name

    def packets(self) -> Iterator[av.Packet[Any]]:
        """All packets of the file from its beginning, to be copied; no pictures can be had then."""
        self.close()
        self.container = open_container(self.path)
        self.stream = main_video(self.container, self.path)
        yield from self._packets()

    def take_passengers(self) -> list[av.Packet[Any]]:
        """The packets that no picture has taken along yet."""
        passengers, self._passengers = self._passengers, []
        return passengers

    def seek(self, target: int, first: int) -> None:
        """Go on from a picture at or before `target`; `first` is the time of the first picture."""
        if self.path == STANDARD:
            return  # everything comes by once
        depth = self.decoder.reorder_depth
        for margin in _SEEK_MARGINS:
            offset = target - round(margin / self.time_base)
            if offset <= first:
                break
            try:
                self.container.seek(offset, stream=self.stream)
            except av.error.FFmpegError:
                break
            self.decoder.flush_buffers()
            self.decoder.reorder_depth = depth  # else the first B-frames may be dropped
            self._restart()
            if self._is_at_or_before(target):
                return
        self.close()
        self._open()

    def _open(self) -> None:
        self.container = open_container(self.path, self._piped)
        try:
            accepted = accepted_codecs(self._options)
            self.stream = main_video(self.container, self.path, accepted=accepted)
            self.decoder = open_decoder(self.stream, self.path, max_pixels=self._options.max_pixels)
            self._restart()
        except BaseException:
            self.close()
            raise

    def _restart(self) -> None:
        """Decode one picture, from where the container stands."""
        self._passengers = []
        self._gap = 0
        timeless = self.container.format.name in _WITHOUT_TIMES
        reorders = timeless and self.stream.codec_context.has_b_frames
        self._order = DecodingOrder() if reorders else None
        self._pictures = self._decode()
        self.head = next(self._pictures, None)

    def _is_at_or_before(self, target: int) -> bool:
        pts = self.head.picture.pts if self.head else None
        return pts is not None and pts <= target

    def _decode(self) -> Iterator[Decoded]:
        for packet in self._packets():
            if packet.stream_index == self.stream.index:
                self._notice_gap(packet)
                yield from self._decode_packet(packet)
            else:
                self._passengers.append(packet)
        if self._piped is not None:
            self._piped.check()
        self.bad_packets += self._gap > 0
        yield from self._decode_packet(None)

    def _notice_gap(self, packet: av.Packet[Any]) -> None:
        """Count what the demuxer missed, unless two recordings were merely joined there.

        A transport stream numbers its parts, so that a missing one is noticed, and the packet
        before it is marked, or the one before that. Where a key frame follows, nothing that is
        needed was missing.
        """
        if self._gap:
            self._gap = 0 if packet.is_keyframe else self._gap - 1
            self.bad_packets += not (packet.is_keyframe or self._gap)
        if packet.is_corrupt:
            self._gap = _KEY_WITHIN

    def _packets(self) -> Iterator[av.Packet[Any]]:
        demuxer = self.container.demux()
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError:
                self.bad_packets += 1
                return
            except IndexError:
                # PyAV's way, at the end of the file, of meeting streams that began on the way.
                self.late_streams = True
                return
            if packet is None or self._interrupted:
                return
            if packet.size:  # the empty ones only ask to flush, which is done at the end
                self.packets_end = max(self.packets_end, packet_end(packet))
                yield packet

    def _decode_packet(self, packet: av.Packet[Any] | None) -> Iterator[Decoded]:
        if self._order is not None and packet is not None:
            self._order.add(packet)
        try:
            pictures = self.decoder.decode(packet)
        except av.error.FFmpegError:
            self.bad_packets += 1
            return
        for picture in pictures:
            if self._order is not None:
                picture.pts = self._order.time(picture.pts)
            check_size(
                picture.width, picture.height, self.path, max_pixels=self._options.max_pixels
            )
            yield Decoded(picture, self.take_passengers())
