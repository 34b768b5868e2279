"""A child process reads and writes: the same comes out, and its end is not ours."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import DamagedInputError, InputError, OutputExistsError
from vidfacedeblur.types import Frame, Region
from vidfacedeblur.video import find_suffix, open_canvas, open_job
from vidfacedeblur.video.child import Job
from vidfacedeblur.video.interlacing import interlaced
from vidfacedeblur.video.isolation import Child, IsolatedSource
from vidfacedeblur.video.source import VideoSource
from vidfacedeblur.video.wire import Wire

Make = Callable[..., Path]


def brighten(frame: Frame) -> None:
    if frame.index % 2:
        open_canvas(frame).add(Region(8, 8, 24, 24), np.full((16, 16, 3), 0.1, np.float32))


def go(path: Path, target: Path, *, provenance: str | None = None, **options: object) -> list[str]:
    """Run a job; its warnings come back."""
    values = VideoOptions(**options)  # type: ignore[arg-type]
    with open_job(path, target, values, provenance=provenance) as (source, sink):
        for frame in source:
            brighten(frame)
            sink.write(frame)
        sink.finish()
        assert sink.tag == (None if provenance is None else "vidfacedeblur")
        return [*source.warnings, *sink.warnings]


def go_and(act: Callable[[int, Child], None], path: Path, target: Path, **options: object) -> None:
    """Run a job in a child, and act on each frame's number, and on -1 before the end."""
    values = VideoOptions(isolate=True, **options)  # type: ignore[arg-type]
    with open_job(path, target, values) as (source, sink):
        for frame in source:
            act(frame.index, child_of(source))
            sink.write(frame)
        act(-1, child_of(source))
        sink.finish()


def child_of(source: object) -> Child:
    assert isinstance(source, IsolatedSource)
    return source._child


def stop(child: Child) -> None:
    """Stop a process as a debugger does; a signal alone would let it run on for a while."""
    os.kill(child.process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, child.process.pid, os.WSTOPPED | os.WNOWAIT)


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "gray"])
def test_the_same_comes_out(make_clip: Make, tmp_path: Path, pix_fmt: str) -> None:
    path = make_clip(tmp_path / "a.mp4", size=(66, 50), pix_fmt=pix_fmt, orientation=6, sound=True)
    said = go(path, tmp_path / "b.mp4", provenance="{}")
    assert go(path, tmp_path / "c.mp4", provenance="{}", isolate=True) == said
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.mp4", "b.mp4", "c.mp4"]


def test_interlaced_pictures_are_known_as_such_here(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("ffv1", 25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(4):
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), "yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(interlaced(picture) if number != 2 else picture))
        container.mux(video.encode(None))
    for isolate in (False, True):
        with open_job(path, tmp_path / "b.mkv", VideoOptions(isolate=isolate)) as (source, _):
            assert [open_canvas(frame).interlaced for frame in source] == [True, True, False, True]


def test_a_picture(tmp_path: Path) -> None:
    from skimage import data, io

    io.imsave(tmp_path / "a.png", data.astronaut()[:64, :48])
    go(tmp_path / "a.png", tmp_path / "b.png")
    go(tmp_path / "a.png", tmp_path / "c.png", isolate=True)
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "c.png").read_bytes()


@pytest.mark.parametrize("when", [0, 12, -1])
def test_a_crash_is_damage_and_leaves_nothing(make_clip: Make, tmp_path: Path, when: int) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=30, size=(160, 120))

    def crash(index: int, child: Child) -> None:
        if index == when:
            os.kill(child.process.pid, signal.SIGSEGV)

    with pytest.raises(DamagedInputError, match=r"a\.mp4: FFmpeg crashed on it \(SIGSEGV\)"):
        go_and(crash, path, tmp_path / "b.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(("when", "what"), [(0, "decoded"), (-1, "written")])
def test_a_child_that_hangs_is_given_up(
    make_clip: Make, tmp_path: Path, when: int, what: str
) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=60, size=(640, 480))
    begin = time.monotonic()

    def hang(index: int, child: Child) -> None:
        if index == when:
            stop(child)

    with pytest.raises(DamagedInputError, match=f"nothing was {what} for 1 s"):
        go_and(hang, path, tmp_path / "b.mp4", timeout=1)
    assert time.monotonic() - begin < 10
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("sends", [True, False])
def test_a_child_that_stops_in_the_middle_of_a_picture_is_given_up(
    make_clip: Make, tmp_path: Path, *, sends: bool
) -> None:
    # A plane is larger than what a pipe holds.
    path = make_clip(tmp_path / "a.mp4", frames=4, size=(1920, 1088))
    values = VideoOptions(isolate=True, timeout=1)
    begin = time.monotonic()

    def pass_on() -> None:
        with open_job(path, tmp_path / "b.mp4", values) as (source, sink):
            frame = next(iter(source))
            time.sleep(0.5)  # the next one is on its way
            stop(child_of(source))
            if sends:
                next(iter(source))
            open_canvas(frame).add(Region(0, 0, 16, 16), np.full((16, 16, 3), 0.1, np.float32))
            sink.write(frame)

    with pytest.raises(DamagedInputError, match="nothing was decoded for 1 s"):
        pass_on()
    assert time.monotonic() - begin < 10
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_early_end_here_ends_the_child(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=30, size=(160, 120))
    seen: list[Child] = []

    def fail(index: int, child: Child) -> None:
        seen.append(child)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        go_and(fail, path, tmp_path / "b.mp4")
    assert seen[0].process.returncode is not None
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_errors_are_those_of_the_direct_way(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", frames=30)
    text = tmp_path / "text.mp4"
    text.write_text("no video " * 99)
    whole = make_clip(tmp_path / "a.mkv", frames=100).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    cases: list[tuple[Path, str, type[Exception], str]] = [
        (text, "b.mp4", InputError, "is not a video"),
        (tmp_path / "none.mp4", "b.mp4", InputError, "does not exist"),
        (path, "a.mp4", OutputExistsError, "is the input itself"),
        (tmp_path / "cut.mkv", "b.mkv", DamagedInputError, "is cut short"),
    ]
    for source, target, kind, message in cases:
        with pytest.raises(kind, match=message):
            go(source, tmp_path / target, isolate=True)
    with pytest.raises(InputError, match="is over 100 pixels"):
        go(path, tmp_path / "b.mp4", isolate=True, max_pixels=100)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        video = container.add_stream("mjpeg", 25)
        video.width, video.height, video.pix_fmt = 12_000, 8_000, "yuvj420p"
        container.mux(video.encode(av.VideoFrame(12_000, 8_000, "yuvj420p")))
        container.mux(video.encode(None))
    with pytest.raises(InputError, match=r"a\.mkv needs more memory than --max-memory allows"):
        go(path, tmp_path / "b.mkv", isolate=True, max_memory=1024)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mkv"]


def test_the_suffix_is_found_in_a_child_too(make_clip: Make, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv").rename(tmp_path / "a.mp4")
    assert find_suffix(path, VideoOptions(isolate=True)) == ".mkv"


def test_a_file_is_not_closed_beside_the_thread_that_reads_it(
    make_clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It would crash now and then, and a disk that is full would be told as damage of the input.
    closed: list[VideoSource] = []
    monkeypatch.setattr(VideoSource, "close", closed.append)
    monkeypatch.setattr("vidfacedeblur.video.child._limit", lambda mebibytes: None)  # of us
    ours, edits = os.pipe()
    frames, results = (os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("f", "r"))
    job = Job(Wire(frames, reads=False), Wire(ours, reads=True), Wire(results, reads=False))
    parent = Wire(edits, reads=False)
    target = str(tmp_path / "out.mp4")
    clip = make_clip(tmp_path / "in.mp4", frames=4)
    asked = {"source": str(clip), "target": target, "provenance": None}
    parent.send({**asked, "options": asdict(VideoOptions())})
    parent.send({"index": 1000, "changed": False})
    with pytest.raises(KeyError, match="1000"):
        job.run()
    assert closed == []
