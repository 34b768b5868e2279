"""A stream inside an asyncio service: the loop stays free, the newest frame wins.

    python examples/asyncio_camera.py CLIP [--seconds 5] [--fps 25]

Frames come from an async source; the networks run in one thread beside the loop. While they work,
newer frames replace the one that waits, so that what is shown is never old. Cancelling ends it
cleanly.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import NoReturn

import av

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, FrameResult, VidFaceDeblurError
from vidfacedeblur.errors import NoVideoError


@dataclass
class Counts:
    """What is told at the end."""

    came: int = 0
    done: int = 0
    faces: int = 0
    ages: list[float] = field(default_factory=list)
    """Seconds from when a frame came until it was done."""
    lag: float = 0.0
    """Longest time in seconds that the loop did not answer."""


async def camera(clip: Path, fps: float) -> AsyncIterator[av.VideoFrame]:
    """Stands in for an async source: the clip's frames, over and over, at the pace of life."""
    loop, reader = asyncio.get_running_loop(), ThreadPoolExecutor(1, "camera")
    frames = decoded(clip)
    try:
        while True:
            yield await loop.run_in_executor(reader, next, frames)
            await asyncio.sleep(1 / fps)
    finally:
        # After a cancellation the thread may still be in the decoder: closing the file beside it
        # would crash. This waits for it, in its line.
        await loop.run_in_executor(reader, frames.close)
        reader.shutdown()


def decoded(clip: Path) -> Generator[av.VideoFrame, None, NoReturn]:
    """Opened, read and closed by whichever thread asks for the next frame."""
    while True:
        frame = None
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0) if container.streams.video else ():
                yield frame
        if frame is None:
            raise NoVideoError(f"{clip}: not one frame of video in it")


async def receive(
    clip: Path, fps: float, newest: asyncio.Queue[tuple[float, av.VideoFrame]], counts: Counts
) -> None:
    """Put each frame in the place of the one that still waits."""
    async for frame in camera(clip, fps):
        counts.came += 1
        with suppress(asyncio.QueueEmpty):
            newest.get_nowait()  # an older one goes
        newest.put_nowait((time.monotonic(), frame))


async def deblur(
    pipeline: FaceDeblurPipeline, newest: asyncio.Queue[tuple[float, av.VideoFrame]], counts: Counts
) -> None:
    """Work until cancelled; who has a web service would answer requests meanwhile."""
    loop, stream = asyncio.get_running_loop(), pipeline.stream()
    thread = ThreadPoolExecutor(1, "deblur")  # a stream is used by one thread at a time
    came: dict[int, float] = {}  # when each frame that is not done came, by its index

    def tell(results: Sequence[FrameResult]) -> None:
        for result in results:
            show(result, time.monotonic() - came.pop(result.index), counts)

    async def push(frame: av.VideoFrame) -> None:
        tell(await loop.run_in_executor(thread, stream.push, frame))

    pushing: asyncio.Task[None] | None = None
    try:
        for index in count():
            came[index], frame = await newest.get()
            pushing = asyncio.create_task(push(frame))
            await asyncio.shield(pushing)
    finally:
        # A cancellation does not reach the thread: what it is at is waited for, and told.
        if pushing is not None:
            await asyncio.wait([pushing])
        tell(await loop.run_in_executor(thread, stream.flush))
        thread.shutdown()


def show(result: FrameResult, age: float, counts: Counts) -> None:
    """Stands in for sending the frame on."""
    counts.done += 1
    counts.faces += len(result.faces)
    counts.ages.append(age)


async def watch_loop(counts: Counts) -> None:
    """Measure how long the loop keeps others waiting."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.01)
        counts.lag = max(counts.lag, time.monotonic() - before - 0.01)


async def serve(pipeline: FaceDeblurPipeline, args: argparse.Namespace) -> Counts:
    """Run it all for some seconds; an error of one part ends the others, and is raised."""
    counts = Counts()
    newest: asyncio.Queue[tuple[float, av.VideoFrame]] = asyncio.Queue(maxsize=1)
    with suppress(TimeoutError):
        async with asyncio.timeout(args.seconds), asyncio.TaskGroup() as tasks:
            tasks.create_task(receive(args.clip, args.fps, newest, counts))
            tasks.create_task(deblur(pipeline, newest, counts))
            tasks.create_task(watch_loop(counts))
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--gate", default="auto")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--fps", type=float, default=25)
    args = parser.parse_args(argv)
    if not args.fps > 0:
        parser.error("--fps must be above 0")
    options = FaceOptions(gate=args.gate)
    with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
        counts = asyncio.run(serve(pipeline, args))
    ages = sorted(counts.ages) or [0.0]
    print(
        f"{counts.came} frames came, {counts.done} done, {counts.faces} faces;"
        f" age {1e3 * ages[len(ages) // 2]:.0f} ms (median), {1e3 * ages[-1]:.0f} ms (oldest);"
        f" the loop was busy for {1e3 * counts.lag:.0f} ms at most"
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except* (VidFaceDeblurError, OSError, av.FFmpegError) as errors:
        sys.exit(f"asyncio_camera: {errors.exceptions[0]}")
