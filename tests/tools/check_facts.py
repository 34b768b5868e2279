"""What a media file says of itself (ffprobe), and what is found when it is read (PyAV)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import av

Facts = dict[str, Any]
"""An object of ffprobe's JSON."""

_VOLATILE = {
    *("encoder", "major_brand", "minor_version", "compatible_brands", "handler_name", "vendor_id"),
    *("duration", "writing_application", "bps", "number_of_frames", "number_of_bytes"),
    *("encoding_tool", "variant_bitrate", "service_name", "service_provider"),
}
"""Tags that every writer sets anew; also those that start with ``_statistics``."""

FLOATING = {"mpeg", "mpegts", "avi", "flv", "h264", "hevc"}
"""Formats whose writers move the time's origin, or that have none."""

_AAC = ("aac", "aac_latm", "aac_fixed")


@dataclass
class Payload:
    """What one stream's packets hold."""

    codec: str | None
    time_base: Fraction
    data: bytearray = field(default_factory=bytearray)
    """The packets in a row, without AAC's ADTS headers; nothing for the video that is decoded."""
    start: Fraction | None = None
    """When its first packet with a time is presented, in seconds."""


@dataclass
class Reading:
    """What reading a whole file gave."""

    time_base: Fraction
    """Of the decoded video."""
    times: list[Fraction | None] = field(default_factory=list)
    """When each frame is presented, in seconds and in the order of decoding; None if unknown."""
    last_duration: Fraction = Fraction(0)
    """How long the last decoded frame says it is shown, in seconds; 0 if it does not say."""
    payloads: dict[int, Payload] = field(default_factory=dict)
    """By the stream's index."""
    errors: int = 0
    """How often demuxing or decoding failed."""


@dataclass(frozen=True)
class Media:
    """One file, read to its end."""

    path: Path
    facts: Facts
    video: Facts
    """The stream with the video, within `facts`."""
    reading: Reading

    @cached_property
    def formats(self) -> set[str]:
        """What ffprobe calls the format; one format may have several names."""
        return set(self.facts["format"]["format_name"].split(","))

    @cached_property
    def times(self) -> list[Fraction]:
        """The times that are known, in seconds and in the order of decoding."""
        return [time for time in self.reading.times if time is not None]

    @property
    def timed(self) -> bool:
        """Whether every frame has a time."""
        return len(self.times) == len(self.reading.times)

    @property
    def span(self) -> Fraction:
        """Seconds from the first frame's time to the last's; there must be one."""
        return max(self.times) - min(self.times)

    def origin(self, other: Media) -> Fraction:
        """The time in seconds that counts as zero when this file's are compared with another's.

        A change of container may move the whole file, but no stream against another.
        """
        steady = self.formats & other.formats and not FLOATING & (self.formats | other.formats)
        return Fraction(0) if steady or not self.times or not other.times else min(self.times)

    def others(self, kind: str) -> list[Facts]:
        """The streams of a kind, without the video."""
        streams = self.facts["streams"]
        return [s for s in streams if s["index"] != self.video["index"] and kind_of(s) == kind]


def kind_of(stream: Facts) -> str:
    """``cover``, or ffprobe's word for the type of a stream."""
    return "cover" if is_cover(stream) else str(stream.get("codec_type", "data"))


def load(path: Path) -> Media | None:
    """Read a file; None if there is no video in it.

    Raises:
        av.FFmpegError: It cannot be opened.
    """
    av.open(path).close()  # unlike ffprobe, it says what is wrong
    facts = probe(path)
    video = main_video(facts)
    return Media(path, facts, video, read(path, video["index"])) if video else None


def probe(path: Path) -> Facts:
    """What ffprobe says of a file's format, streams and chapters; nothing if it cannot read it."""
    result = _ffprobe("-show_format", "-show_streams", "-show_chapters", path)
    return _parse(result.stdout) if result.returncode == 0 else {}


def probe_first_frame(path: Path, stream: Facts) -> Facts:
    """What ffprobe says of a video stream's first frame; nothing if there is none."""
    which = ("-select_streams", str(stream["index"]), "-read_intervals", "%+#1")
    frames = _parse(_ffprobe(*which, "-show_frames", path).stdout).get("frames")
    return dict(frames[0]) if frames else {}


def _ffprobe(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["ffprobe", "-v", "error", "-of", "json", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _parse(text: str) -> Facts:
    try:
        return dict(json.loads(text or "{}"))
    except json.JSONDecodeError:
        return {}


def main_video(facts: Facts) -> Facts | None:
    """The first video stream that is no cover picture, or None."""
    streams = facts.get("streams", [])
    found = (s for s in streams if s.get("codec_type") == "video" and not is_cover(s))
    return next(found, None)


def is_cover(stream: Facts) -> bool:
    """Whether a stream is a cover picture."""
    return bool(stream.get("disposition", {}).get("attached_pic"))


def tags(facts: Facts) -> dict[str, str]:
    """Tags of a stream or a format that a copy must keep, by their names in lower case."""
    found = {name.lower(): value for name, value in (facts.get("tags") or {}).items()}
    return {
        name: value
        for name, value in found.items()
        if name not in _VOLATILE and not name.startswith("_statistics")
    }


def read(path: Path, video: int) -> Reading:
    """Read a file to its end, or to where it cannot be read any further.

    Args:
        path: The file.
        video: Index of the video stream to decode.

    Raises:
        av.FFmpegError: The file cannot be opened.
    """
    with av.open(path) as container:
        stream: Any = container.streams[video]
        stream.codec_context.thread_type = "AUTO"
        reading = Reading(stream.time_base)
        for other in container.streams:
            reading.payloads[other.index] = _empty_payload(other)
        for packet in _demux(container, reading):
            if packet.stream.index == video:
                _decode(stream, packet if packet.size else None, reading)
            elif packet.size:
                _collect(packet, reading.payloads[packet.stream.index])
    return reading


def _empty_payload(stream: Any) -> Payload:
    namer = stream.codec_context or stream
    payload = Payload(getattr(namer, "name", None), stream.time_base)
    if stream.type == "attachment":
        payload.data += stream.data
    return payload


def _demux(container: av.container.InputContainer, reading: Reading) -> Iterator[Any]:
    try:
        yield from container.demux()
    except av.FFmpegError:
        reading.errors += 1


def _decode(stream: Any, packet: Any, reading: Reading) -> None:
    """Decode a packet of the video; None takes out what the decoder still holds."""
    try:
        frames = stream.codec_context.decode(packet)
    except (av.FFmpegError, ValueError):
        reading.errors += 1
        return
    for frame in frames:
        reading.times.append(None if frame.pts is None else frame.pts * stream.time_base)
        reading.last_duration = (frame.duration or 0) * stream.time_base


def _collect(packet: Any, payload: Payload) -> None:
    data = bytes(packet)
    payload.data += _without_adts(data) if payload.codec in _AAC else data
    if payload.start is None and packet.pts is not None:
        payload.start = packet.pts * packet.time_base


def _without_adts(data: bytes) -> bytes:
    """AAC without the headers that MPEG-TS puts before each of its frames, and MP4 does not."""
    frames: list[bytes] = []
    at = 0
    while at + 7 <= len(data) and data[at] == 0xFF and data[at + 1] & 0xF6 == 0xF0:
        size = (data[at + 3] & 3) << 11 | data[at + 4] << 3 | data[at + 5] >> 5
        header = 7 if data[at + 1] & 1 else 9
        if size < header:
            break
        frames.append(data[at + header : at + size])
        at += size
    return b"".join(frames) if frames and at >= len(data) else data
