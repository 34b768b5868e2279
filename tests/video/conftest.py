"""Small clips, made by PyAV in the test's own folder, and a run from source to sink over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.types import Frame
from vidfacedeblur.video import Sink, Source, open_sink, open_source

MILLISECOND = Fraction(1, 1000)
ROTATIONS = {  # matrices as phones write them, by EXIF orientation
    1: (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30),
    2: (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30),
    3: (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    4: (65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30),
    5: (0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
    6: (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    7: (0, -65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    8: (0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30),
}


def _picture(number: int, width: int, height: int, pix_fmt: str) -> av.VideoFrame:
    """A gradient that moves, so that no two frames are alike and every codec is content."""
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([x * 3 + number * 9, y * 3, x + y + number * 4], axis=-1) % 256
    return av.VideoFrame.from_ndarray(rgb.astype(np.uint8), "rgb24").reformat(format=pix_fmt)


def _write_sound(container: Any, stream: Any, seconds: float) -> None:
    time = np.arange(int(seconds * 48000)) / 48000
    samples = (0.2 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)[None]
    for start in range(0, samples.shape[1] - 1023, 1024):
        frame = av.AudioFrame.from_ndarray(samples[:, start : start + 1024], "fltp", "mono")
        frame.sample_rate, frame.pts = 48000, start
        frame.time_base = Fraction(1, 48000)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def write_clip(
    path: Path,
    *,
    frames: int = 10,
    size: tuple[int, int] = (64, 48),
    encoder: str = "libx264",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    orientation: int = 1,
    sound: bool = False,
    subtitles: Sequence[str] = (),
    tags: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
    configure: Callable[[Any], None] | None = None,
) -> Path:
    """Write a clip; `times` are the frames' times in milliseconds, by default 40 apart."""
    times = times or [40 * n for n in range(frames)]
    options = {"movflags": "+use_metadata_tags"} if path.suffix in (".mp4", ".mov") else {}
    with av.open(str(path), "w", container_options=options) as container:
        container.metadata.update(tags or {})
        video: Any = container.add_stream(encoder, 25)
        video.width, video.height = size
        video.pix_fmt = pix_fmt
        context = video.codec_context
        context.time_base = video.time_base = MILLISECOND
        context.options = settings or ({"crf": "10"} if encoder == "libx264" else {})
        if configure is not None:
            configure(context)
        if orientation != 1:
            video.set_display_matrix(ROTATIONS[orientation])
        audio = container.add_stream("aac", 48000, layout="mono") if sound else None
        words: Any = container.add_mux_stream("subrip") if subtitles else None
        if words is not None:
            words.metadata["language"] = "deu"
        container.start_encoding()
        for number, time in enumerate(times):
            picture = _picture(number, *size, pix_fmt)
            picture.pts, picture.time_base = time, MILLISECOND
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if audio is not None:
            _write_sound(container, audio, times[-1] / 1000)
        for number, text in enumerate(subtitles):
            packet: Any = av.Packet(text.encode())
            packet.stream, packet.time_base = words, MILLISECOND
            packet.pts = packet.dts = 100 * number
            packet.duration = 90
            container.mux(packet)
    return path


class Run:
    """What came out of one run from source to sink."""

    def __init__(
        self,
        path: Path,
        target: Path,
        options: VideoOptions,
        edit: Callable[[Frame], None] | None,
        comment: str | None,
    ) -> None:
        self.frames: list[Frame] = []
        self.source: Source
        self.sink: Sink
        with (
            open_source(path, options) as self.source,
            open_sink(target, self.source, options, provenance=comment) as self.sink,
        ):
            for frame in self.source:
                if edit is not None:
                    edit(frame)
                self.frames.append(frame)
                self.sink.write(frame)
            self.written = self.sink.finish()


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """The function `write_clip`."""
    return write_clip


@pytest.fixture(scope="session")
def run() -> Callable[..., Run]:
    """Read one file and write another: `run(path, target, start=1.0, comment="x")`."""

    def go(
        path: Path,
        target: Path,
        *,
        edit: Callable[[Frame], None] | None = None,
        comment: str | None = None,
        **options: Any,
    ) -> Run:
        return Run(path, target, VideoOptions(**options), edit, comment)

    return go


@pytest.fixture(scope="session")
def packets() -> Callable[[Path, str], list[tuple[Fraction, bytes]]]:
    """Time and bytes of every packet of the first stream of a type."""

    def read(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
        with av.open(str(path)) as container:
            stream = next(s for s in container.streams if s.type == kind)
            found = [p for p in container.demux(stream) if p.size]
            return [((p.pts or 0) * p.time_base, bytes(p)) for p in found]

    return read


@pytest.fixture(scope="session")
def frame_times() -> Callable[[Path], list[Fraction]]:
    """The times of a file's decoded frames, in seconds."""

    def read(path: Path) -> list[Fraction]:
        with av.open(str(path)) as container:
            frames = container.decode(video=0)
            return [(f.pts or 0) * (f.time_base or MILLISECOND) for f in frames]

    return read
