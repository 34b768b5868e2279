"""Whether an input ends where it says it does."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from vidfacedeblur.video.timeline import packet_time

# Elsewhere FFmpeg estimates the duration from what is there, or the header is known to be wrong.
_DECLARING = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi", "flv", "mxf"})


def missing_seconds(
    container: InputContainer, stream: VideoStream, video_end: Fraction, packets_end: Fraction
) -> tuple[Fraction, Fraction] | None:
    """How far the video was read and how far it should reach, in seconds.

    Args:
        container: The input, read to its end.
        stream: Its main video.
        video_end: Of the last frame, in seconds of the input's clock.
        packets_end: Of the last packet of any stream.

    Returns:
        None where the input declares no end that could be trusted.
    """
    if container.format.name not in _DECLARING or stream.time_base is None:
        return None
    if stream.duration is not None:
        ticks = stream.duration
        if container.format.name == "avi":  # FFmpeg shortens it to what there is, its header not
            ticks = max(ticks, stream.frames)
        end = (ticks + (stream.start_time or 0)) * stream.time_base
        return video_end, end
    tagged = _seconds(stream.metadata.get("DURATION", ""))
    if tagged is not None:
        return video_end, tagged
    if container.duration is None:
        return None
    # The container's duration is that of its longest stream, which may be another one.
    return max(video_end, packets_end), Fraction(container.duration, av.time_base)


def packet_end(packet: av.Packet[Any]) -> Fraction:
    """When a packet ends, in seconds; 0 if it does not say."""
    begin = packet_time(packet)
    return Fraction(0) if begin is None else begin + (packet.duration or 0) * packet.time_base


def _seconds(clock: str) -> Fraction | None:
    """Seconds of Matroska's ``HH:MM:SS.nnnnnnnnn``."""
    try:
        hours, minutes, seconds = (Fraction(part) for part in clock.split(":"))
    except (ValueError, ZeroDivisionError):
        return None
    return hours * 3600 + minutes * 60 + seconds
