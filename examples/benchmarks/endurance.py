"""Whether memory and open files stay flat: a long video, then many short ones, in one process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from clips import looped, make_clip

from vidfacedeblur import FaceDeblurPipeline

FILES = 200
_PERIOD = 10
"""Seconds between two looks at the memory."""
_SETTLED = 60
"""Seconds after which it should not rise any more."""


def endurance(
    pipeline: FaceDeblurPipeline, clip: Path, folder: Path, minutes: float
) -> Iterator[str]:
    """Rows for a table. Linux only."""
    yield _long_run(pipeline, clip, folder, minutes)
    yield _many_files(pipeline, folder)


def _long_run(pipeline: FaceDeblurPipeline, clip: Path, folder: Path, minutes: float) -> str:
    long = looped(clip, folder / "long.mp4", minutes=minutes)
    frames = 0

    def work() -> None:
        nonlocal frames
        frames = pipeline.run(long, folder / "out.mp4").frames

    samples = _watched(work)
    settled = [mib for seconds, mib in samples if seconds >= _SETTLED]
    rise = "ended before"
    if len(settled) > 1:
        rises = [mib - settled[0] for mib in settled]
        rise = f"{max(rises):+.1f} MiB at most, {rises[-1]:+.1f} at the end"
    seconds, highest = samples[-1][0], max(mib for _, mib in samples)
    return (
        f"memory after the first {_SETTLED} s | {clip.name} looped, {minutes:g} min, {frames}"
        f" frames in {seconds:.0f} s | {rise}; highest {highest:.0f} MiB"
    )


def _many_files(pipeline: FaceDeblurPipeline, folder: Path) -> str:
    short = make_clip(folder / "short.mp4", 320, 240, seconds=1)
    pipeline.run(short, folder / "out.mp4")
    files, memory = [_open_files()], [_resident_mib()]
    for _ in range(2):
        for _ in range(FILES // 2):
            pipeline.run(short, folder / "out.mp4")
        files.append(_open_files())
        memory.append(_resident_mib())
    return (
        f"{FILES} files in one process | 320x240, 1 s each, with sound |"
        f" open files {files[0]} before, {files[-1]} after; memory {memory[0]:.1f} MiB before,"
        f" {memory[1]:.1f} halfway, {memory[2]:.1f} after"
    )


def _watched(work: Callable[[], None]) -> list[tuple[float, float]]:
    """Seconds and MiB, once a period while something runs, and at its end."""
    samples: list[tuple[float, float]] = []
    done, begin = threading.Event(), time.perf_counter()

    def look() -> None:
        samples.append((time.perf_counter() - begin, _resident_mib()))

    def keep_looking() -> None:
        while not done.wait(_PERIOD):
            look()

    thread = threading.Thread(target=keep_looking)
    thread.start()
    try:
        work()
    finally:
        done.set()
        thread.join()
    look()
    return samples


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1  # the listing itself is one
