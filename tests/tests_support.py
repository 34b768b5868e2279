"""Short clips that tests make themselves; the face is scikit-image's astronaut."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from skimage import data

Image = NDArray[np.uint8]


def portrait(shift: int = 0) -> Image:
    """(240, 256, 3): the astronaut's head, moved right by some pixels."""
    return np.ascontiguousarray(data.astronaut()[0:240, 100 - shift : 356 - shift])


def write_portrait_clip(
    path: Path,
    *,
    frames: int = 6,
    faces: bool = True,
    audio: bool = True,
    empty: range = range(0),
    encoder: str = "libx264",
    settings: dict[str, str] | None = None,
) -> list[int]:
    """Write H.264 (and AAC) with uneven timestamps; the video's pts come back, in milliseconds.

    On the frames in `empty` nobody is there.
    """
    times = [40 * i + (7 if i % 2 else 0) for i in range(frames)]
    with av.open(path, "w") as container:
        video = container.add_stream(encoder, rate=25, options={"crf": "12"} | (settings or {}))
        video.width, video.height, video.pix_fmt = 256, 240, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if audio:
            write_audio(container, seconds=0.04 * frames)
        for i, time in enumerate(times):
            there = faces and i not in empty
            image = portrait(2 * (i % 20)) if there else np.full((240, 256, 3), 90, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    return times


def write_audio(container: av.container.OutputContainer, *, seconds: float) -> None:
    """Add an AAC tone."""
    stream = container.add_stream("aac", rate=48000)
    tone = np.sin(np.arange(int(48000 * seconds)) / 20).astype(np.float32)[None]
    frame = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, 0
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read_times(path: Path) -> list[int]:
    """Presentation times of the video's frames, in milliseconds."""
    with av.open(path) as container:
        frames = list(container.decode(video=0))
    return [round(1000 * frame.pts * frame.time_base) for frame in frames]  # type: ignore[operator]


def audio_packets(path: Path) -> list[bytes]:
    """The audio's packets."""
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]
