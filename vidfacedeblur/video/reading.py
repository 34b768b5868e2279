"""From a file to pictures: one demuxer, one decoder, and what is broken is counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from vidfacedeblur.video.ending import packet_end
from vidfacedeblur.video.opening import check_size, main_video, open_container, open_decoder

_SEEK_MARGINS = (0, 10, 60)
"""Seconds to go back further, where a seek did not land on a frame before the wanted one."""


class Decoded(NamedTuple):
    """A picture, and the packets of the other streams that lie before it in the file."""

    picture: av.VideoFrame
    passengers: list[av.Packet[Any]]


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

    def __init__(self, path: Path, *, max_pixels: int) -> None:
        self.path = path
        self.bad_packets = 0
        self.packets_end = Fraction(0)
        """End of the last packet of any stream so far, in seconds."""
        self._max_pixels = max_pixels
        self._passengers: list[av.Packet[Any]] = []
        self._sent: deque[int] = deque(maxlen=64)  # times of packets whose pictures are to come
        self._last = 0  # time of a picture
        self._open()

    def __iter__(self) -> Iterator[Decoded]:
        if self.head is not None:
            head, self.head = self.head, None
            yield head
        yield from self._pictures

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

    def take_passengers(self) -> list[av.Packet[Any]]:
        """The packets that no picture has taken along yet."""
        passengers, self._passengers = self._passengers, []
        return passengers

    def seek(self, target: int, first: int) -> None:
        """Go on from a picture at or before `target`; `first` is the time of the first picture."""
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
        self.container = open_container(self.path)
        try:
            self.stream = main_video(self.container, self.path)
            self.decoder = open_decoder(self.stream, self.path, max_pixels=self._max_pixels)
            self._restart()
        except BaseException:
            self.close()
            raise

    def _restart(self) -> None:
        """Decode one picture, from where the container stands."""
        self._passengers = []
        self._sent.clear()
        self._pictures = self._decode()
        self.head = next(self._pictures, None)

    def _is_at_or_before(self, target: int) -> bool:
        pts = self.head.picture.pts if self.head else None
        return pts is not None and pts <= target

    def _decode(self) -> Iterator[Decoded]:
        for packet in self._packets():
            if packet.stream_index == self.stream.index:
                yield from self._decode_packet(packet)
            else:
                self._passengers.append(packet)
        before = self.bad_packets
        yield from self._decode_packet(None)
        self.bad_packets = max(self.bad_packets, before + self._lost_at_the_end())

    def _packets(self) -> Iterator[av.Packet[Any]]:
        demuxer = self.container.demux()
        while True:
            try:
                packet = next(demuxer, None)
            except av.error.FFmpegError:
                self.bad_packets += 1
                return
            if packet is None:
                return
            if packet.size:  # the empty ones only ask to flush, which is done at the end
                self.packets_end = max(self.packets_end, packet_end(packet))
                yield packet

    def _decode_packet(self, packet: av.Packet[Any] | None) -> Iterator[Decoded]:
        bad = packet is not None and packet.is_corrupt
        try:
            pictures = self.decoder.decode(packet)
        except av.error.FFmpegError:
            pictures, bad = [], True
        # What the demuxer says of a packet has to be counted too: with several threads, decoders
        # sometimes forget to mark the picture.
        self.bad_packets += bad
        if packet is not None and packet.pts is not None and not (bad or packet.is_discard):
            self._sent.append(packet.pts)
        for picture in pictures:
            check_size(picture.width, picture.height, self.path, max_pixels=self._max_pixels)
            if picture.pts is not None:
                self._last = picture.pts
                if picture.pts in self._sent:
                    self._sent.remove(picture.pts)
            yield Decoded(picture, self.take_passengers())

    def _lost_at_the_end(self) -> int:
        """Packets whose pictures did not come.

        A decoder of several threads gives up at damage among the last packets that are in its
        hands, and PyAV keeps quiet about it.
        """
        rate = self.stream.average_rate or 25
        # The second field of a picture may come as a packet of its own, half a picture later.
        end = self._last + round(3 / (4 * rate * self.time_base))
        return sum(pts > end for pts in self._sent)
