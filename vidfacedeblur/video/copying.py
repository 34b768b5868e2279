"""Everything of the input that is not its main video: copied bit by bit, or said to be lost."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer, OutputContainer
from av.format import Flags
from av.stream import AttachmentStream, DataStream, Disposition, Stream

from vidfacedeblur.video.formats import CONTAINERS, Container
from vidfacedeblur.video.opening import open_container
from vidfacedeblur.video.tags import QUICKTIME, stream_tags
from vidfacedeblur.video.timeline import Cut
from vidfacedeblur.whole import STANDARD

_COVER_HOLDERS = frozenset({"mp4"})
"""Muxers that take a cover as a stream; Matroska's makes another video of it."""
_COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}


_PREROLL = 0.05
"""Seconds of sound before the first that is heard, which set a decoder going; Apple's AAC has 2,112
samples of it."""


class Copies:
    """The streams of an output that take over packets of an input as they are."""

    def __init__(self, target: OutputContainer, container: Container, *, strip: bool) -> None:
        self._target = target
        self._container = container
        self._strip = strip
        self._streams: dict[int, Stream] = {}  # by index in the input
        self._last: dict[int, int] = {}  # decoding times
        self._moved = 0
        self._hidden = 0

    @property
    def kinds(self) -> Counter[str]:
        """How many streams of each type are copied that a reader finds at once."""
        kinds: Counter[str] = Counter(stream.type for stream in self._streams.values())
        if self._container.muxer == "vob":
            # It has no list of its streams: subtitles are found where the first is shown.
            del kinds["subtitle"]
        return kinds

    def add(self, stream: Stream) -> bool:
        """Make room for a stream of the input; False if the container cannot hold it."""
        if not can_hold(self._container, stream):
            return False
        copy = self._target.add_stream_from_template(stream, opaque=True)
        # PyAV copies neither tags nor disposition.
        copy.metadata.update(stream_tags(stream.metadata, strip=self._strip))
        copy.disposition = cast(Any, int(stream.disposition))
        self._streams[stream.index] = copy
        return True

    def attach_cover(self, stream: Stream, path: Path) -> bool:
        """Put a cover picture into the header; False if it is none, or there is no place for it."""
        known = _COVERS.get(stream.codec_context.name) if stream.codec_context else None
        is_cover = bool(stream.disposition & Disposition.attached_pic)
        if not (is_cover and known and self._container.muxer == "matroska" and path != STANDARD):
            return False
        picture = _first_packet(path, stream.index)
        if picture is None:
            return False
        name, kind = (
            stream.metadata.get(key) or usual
            for key, usual in zip(("filename", "mimetype"), known, strict=True)
        )
        self._target.add_attachment(name, kind, picture)
        return True

    def copy(self, packets: Iterable[av.Packet[Any]]) -> None:
        """Write packets of the input; those of streams without room are left out."""
        for packet in packets:
            stream = self._streams.get(packet.stream_index)
            if stream is not None and self._has_place_for(packet):
                if stream.type == "audio" and packet.pts is not None:
                    # Sound is never reordered, but damaged files say so; QuickTime believes the
                    # decoding times.
                    packet.dts = packet.pts
                if self._container.constant_rate:
                    _count_in(packet, stream.time_base)
                self._keep_rising(packet)
                packet.stream = stream
                self._target.mux(packet)

    def losses(self) -> list[str]:
        """What could not be kept, in one line each."""
        said = []
        if self._moved:
            said.append(
                f"{self._moved} packets of other streams had times that ran backwards; moved"
            )
        if self._hidden:
            said.append(
                f"{self._hidden} packets of sound from before the beginning, which the input hides"
                " (.mp4 and .mov alone can)"
            )
        return said

    def _has_place_for(self, packet: av.Packet[Any]) -> bool:
        """Whether the output can hold what an edit list hides before the beginning.

        Elsewhere than in QuickTime's family it would be heard, and all else come later for it.
        """
        if not packet.is_discard or packet.pts is None or self._container.muxer in QUICKTIME:
            return True
        if (packet.pts + (packet.duration or 0)) * packet.time_base > -_PREROLL:
            return True
        self._hidden += 1
        return False

    def _keep_rising(self, packet: av.Packet[Any]) -> None:
        """Most muxers give up at a decoding time that does not rise."""
        if packet.dts is None:
            return
        last = self._last.get(packet.stream_index)
        least = None if last is None else last + (not allows_repeats(self._target))
        if least is not None and packet.dts < least:
            self._moved += 1
            packet.dts = least
            if packet.pts is not None:
                packet.pts = max(packet.pts, least)
        self._last[packet.stream_index] = packet.dts


def _count_in(packet: av.Packet[Any], unit: Fraction | None) -> None:
    """Give a packet's times in the muxer's own unit: in AVI two may then become the same."""
    if unit is None or packet.time_base == unit:
        return
    scale = packet.time_base / unit
    packet.pts, packet.dts = (
        None if time is None else round(time * scale) for time in (packet.pts, packet.dts)
    )
    packet.duration = round((packet.duration or 0) * scale)
    packet.time_base = unit


def _first_packet(path: Path, index: int) -> bytes | None:
    """What the first packet of a stream holds."""
    with open_container(path) as container:
        for packet in container.demux(container.streams[index]):
            if packet.size:
                return bytes(packet)
    return None


def allows_repeats(target: OutputContainer) -> bool:
    """Whether two packets of a stream may have the same time."""
    return bool(target.format.flags & cast(int, Flags.ts_nonstrict.value))


def is_remade(stream: Stream, source: InputContainer, container: Container) -> bool:
    """Whether the muxer makes this stream by itself, from chapters or from the time code."""
    if stream.type != "data":
        return False
    if "timecode" in stream.metadata:
        return True
    makes_chapters = container.muxer in QUICKTIME or container.muxer == "matroska"
    return makes_chapters and codec_of(stream) == "bin_data" and bool(source.chapters())


def copy_chapters(target: OutputContainer, source: InputContainer, cut: Cut) -> None:
    """Copy the chapters that lie in the cut, shortened to it and moved with it."""
    chapters = []
    for chapter in source.chapters():
        unit = chapter["time_base"]
        if unit is None:
            continue
        shift = 0 if cut.start is None else round(cut.start / unit)
        first, last = chapter["start"] - shift, chapter["end"] - shift
        if cut.end is not None:
            last = min(last, round(cut.end / unit) - shift)
        if last > 0 and first < last:
            chapters.append({**chapter, "start": max(first, 0), "end": last})
    if chapters:
        target.set_chapters(cast(Any, chapters))


def codec_of(stream: Stream) -> str | None:
    """FFmpeg's name of a stream's codec, which is not always that of its decoder; or of a file.

    None where it has no decoder for it, as for teletext: PyAV cannot say then what it is, and fails
    where it is asked.
    """
    if isinstance(stream, DataStream | AttachmentStream):
        return stream.name
    context = cast("av.CodecContext | None", stream.codec_context)
    return None if context is None else context.codec.canonical_name


def describe(stream: Stream) -> str:
    """A stream, in words for a message."""
    codec = codec_of(stream) or "unknown codec"
    language = f", {stream.language}" if stream.language not in (None, "und") else ""
    return f"{stream.type} stream {stream.index} ({codec}{language})"


def holders(stream: Stream) -> list[str]:
    """The suffixes of common outputs that can hold a stream, what holds most things first."""
    return [s for s in (".mkv", ".mov", ".avi") if can_hold(CONTAINERS[s], stream)]


def can_hold(container: Container, stream: Stream) -> bool:
    """Try it: muxers say no in different ways, some only when they write the header."""
    if container.copies is not None and codec_of(stream) not in container.copies:
        return False
    # These are taken by others as well, and never written, or as garbage.
    if stream.type == "data" and container.muxer not in QUICKTIME and container.copies is None:
        return False
    if stream.type == "attachment" and container.muxer != "matroska":
        return False
    if stream.disposition & Disposition.attached_pic and container.muxer not in _COVER_HOLDERS:
        return False
    try:
        with av.open(io.BytesIO(), "w", format=container.muxer) as trial:
            trial.add_stream_from_template(stream, opaque=True)
            trial.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True
