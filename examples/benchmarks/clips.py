"""Clips for the benchmarks, and the plain way to transcode one, to compare with."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from vidfacedeblur import VideoOptions
from vidfacedeblur.video.encoding import recipe_for
from vidfacedeblur.video.formats import CONTAINERS
from vidfacedeblur.video.source import VideoSource

OPTIONS = VideoOptions(encoder="libx264", crf=18, preset="veryfast", overwrite=True)
"""Of every run that is compared with a plain transcode."""
SETTINGS = {"crf": "18", "preset": "veryfast"}
"""Of libx264, where clips are made."""


def make_clip(path: Path, width: int, height: int, *, seconds: int = 6, rate: int = 25) -> Path:
    """Write a photograph that moves slowly, with the noise of a camera, and a tone."""
    side = width + 128
    photo = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_CUBIC)
    random = np.random.default_rng(0)
    noise = random.normal(0, 3, (height + 64, width + 64, 3)).astype(np.float32)
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=rate, options=SETTINGS)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=48_000, layout="mono")
        container.mux(sound.encode(_tone(seconds)))
        for i in range(seconds * rate):
            x, y = 64 + 60 * np.sin(i / 40), 64 + 60 * np.sin(i / 55)
            shift = np.array([[1, 0, -x], [0, 1, -y]])
            image = cv2.warpAffine(photo, shift, (width, height)).astype(np.float32)
            dx, dy = random.integers(0, 64, 2)
            image += noise[dy : dy + height, dx : dx + width]
            picture = np.clip(image, 0, 255).astype(np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux([*video.encode(None), *sound.encode(None)])
    return path


def _tone(seconds: int) -> av.AudioFrame:
    wave = 0.2 * np.sin(np.arange(seconds * 48_000) / 20)
    frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
    frame.sample_rate = 48_000
    return frame


def in_ten_bits(clip: Path, path: Path, *, frames: int = 100) -> Path:
    """Write the beginning of a clip as yuv420p10le."""
    with av.open(clip) as source, av.open(path, "w") as target:
        old = source.streams.video[0]
        new = target.add_stream("libx264", rate=old.average_rate, options=SETTINGS)
        new.width, new.height, new.pix_fmt = old.width, old.height, "yuv420p10le"
        for _, frame in zip(range(frames), source.decode(old), strict=False):
            target.mux(new.encode(_fresh(frame.reformat(format="yuv420p10le"))))
        target.mux(new.encode(None))
    return path


def looped(clip: Path, path: Path, *, minutes: float) -> Path:
    """Repeat the packets of a clip until they are so long."""
    with av.open(clip) as source, av.open(path, "w") as target:
        copies = {s.index: target.add_stream_from_template(s) for s in source.streams}
        length = Fraction(source.duration, av.time_base)
        last: dict[int, int] = {}
        for turn in range(max(1, round(minutes * 60 / length))):
            source.seek(0)
            for packet in source.demux():
                if packet.pts is not None and packet.dts is not None:
                    ticks = round(turn * length / packet.time_base)
                    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                    if packet.dts <= last.get(packet.stream_index, packet.dts - 1):
                        continue  # sound that reaches over the seam
                    last[packet.stream_index] = packet.dts
                    packet.stream = copies[packet.stream_index]
                    target.mux(packet)
    return path


def transcode(
    source: Path, target: Path, *, settings: dict[str, str], decoding: str = "NONE"
) -> None:
    """Decode, encode at the same times, copy the sound; no more.

    Args:
        source: What is read.
        target: What is written.
        settings: Of the encoder, see `settings_of`.
        decoding: How the decoder uses threads, as PyAV names it; ``NONE`` is one thread.
    """
    with av.open(source) as a, av.open(target, "w") as b:
        old = a.streams.video[0]
        old.codec_context.thread_type = decoding
        new = b.add_stream("libx264", rate=old.average_rate, options=settings)
        new.width, new.height, new.pix_fmt = old.width, old.height, old.pix_fmt
        new.codec_context.time_base = new.time_base = old.time_base
        new.codec_context.thread_type = "AUTO"
        copies = {s.index: b.add_stream_from_template(s) for s in a.streams.audio}
        for packet in a.demux():
            if packet.stream_index == old.index:
                for frame in packet.decode():
                    b.mux(new.encode(_fresh(frame)))
            elif packet.stream_index in copies and packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                b.mux(packet)
        b.mux(new.encode(None))


def settings_of(clip: Path) -> dict[str, str]:
    """The encoder's settings in a run with `OPTIONS`."""
    with VideoSource(clip, OPTIONS) as source:
        return recipe_for(source, CONTAINERS[".mp4"], OPTIONS).settings


def planes(frame: av.VideoFrame) -> list[NDArray[np.uint8] | NDArray[np.uint16]]:
    """A view of each plane's samples, (rows, columns), without padding; for planar formats."""
    kind = np.uint8 if frame.format.components[0].bits == 8 else np.uint16
    return [np.frombuffer(p, kind).reshape(p.height, -1)[:, : p.width] for p in frame.planes]


def same_content(a: Path, b: Path) -> bool:
    """Whether two files decode to the same pictures at the same times, with the same sound."""
    with av.open(a) as one, av.open(b) as two:
        for x, y in zip(one.decode(video=0), two.decode(video=0), strict=True):
            same = all(map(np.array_equal, planes(x), planes(y)))
            if x.time != y.time or not same:
                return False
    return _sound(a) == _sound(b)


def _sound(path: Path) -> list[bytes]:
    # Not the times: where a source's run askew, a plain copy does not keep them.
    with av.open(path) as container:
        streams = container.streams.audio
        return [bytes(p) for p in container.demux(streams) if p.size] if streams else []


def _fresh(frame: av.VideoFrame) -> av.VideoFrame:
    frame.pict_type = 0  # or the encoder makes key frames where the source has them
    return frame
