"""Several cameras, one pipeline: a thread for each camera, the networks shared fairly.

    python examples/several_cameras.py CLIP... [--cameras 4] [--seconds 10] [--rounds 3]

Each camera (a clip that is played over and over, as fast as it is taken) has a stream of its own.
The networks serve the threads in the order in which they ask, and crops that wait at the same time
become one batch. One camera and all of them take turns, so that the two can be compared; the exit
code is 1 if all together reach less than 0.9 of what one alone does, or if a camera starves.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, VidFaceDeblurError
from vidfacedeblur.errors import NoVideoError

Image = NDArray[np.uint8]
T = TypeVar("T")
_FAIR = 0.7
"""Part of an equal share of what it has alone, below which a camera starves."""


def frames_of(clip: Path, count: int = 50) -> list[Image]:
    """The first frames, decoded beforehand: what is measured are the faces."""
    with av.open(str(clip)) as container:
        if not container.streams.video:
            raise NoVideoError(f"{clip}: not one frame of video in it")
        decoded = islice(container.decode(video=0), count)
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in decoded]


@dataclass(frozen=True)
class Watched:
    """What cameras did that ran at the same time."""

    rates: list[float]
    """Frames per second of each."""
    processor: float
    """Seconds of processor time for each second."""


def watch(pipeline: FaceDeblurPipeline, clips: Sequence[list[Image]], seconds: float) -> Watched:
    """Let a camera of each clip run for some seconds, all at the same time."""
    begin = threading.Barrier(len(clips), timeout=60)

    def camera(clip: list[Image]) -> float:
        stream, done = pipeline.stream(), 0
        stream.push(clip[-1])  # it waits for the next one
        begin.wait()
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            done += len(stream.push(clip[done % len(clip)]))
        return done / (time.monotonic() - start)

    with ThreadPoolExecutor(len(clips)) as threads:
        worked, start = time.process_time(), time.monotonic()
        rates = list(threads.map(camera, clips))
        worked, passed = time.process_time() - worked, time.monotonic() - start
    return Watched(rates, worked / passed)


def check(pipeline: FaceDeblurPipeline, clips: Sequence[list[Image]]) -> None:
    """Cameras that share get what each gets alone, but for rounding in larger batches."""
    first = [clip[:6] for clip in clips]
    alone = [list(pipeline.process(clip)) for clip in first]
    with ThreadPoolExecutor(len(clips)) as threads:
        together = list(threads.map(lambda clip: list(pipeline.process(clip)), first))
    for number, (mine, others) in enumerate(zip(alone, together, strict=True)):
        for one, other in zip(mine, others, strict=True):
            if [face.box for face in one.faces] != [face.box for face in other.faces]:
                raise SystemExit(f"camera {number} gets other faces than alone")
            if np.abs(one.image.astype(np.int16) - other.image).max() > 1:
                raise SystemExit(f"camera {number} gets other pixels than alone")


def compare(
    pipeline: FaceDeblurPipeline, known: Sequence[list[Image]], cameras: int, seconds: float
) -> tuple[float, float, float]:
    """Let each clip have the pipeline alone, and then all cameras together; print their rates.

    Returns:
        Throughput together against alone; the same for each second of processor time; and what the
        slowest camera has of an equal share.
    """
    alone = [watch(pipeline, [clip], seconds) for clip in known]
    together = watch(pipeline, dealt(known, cameras), seconds)
    rates, own = together.rates, dealt(alone, cameras)
    singles = [one.rates[0] for one in own]
    print(
        f"one alone {statistics.mean(singles):.1f} fps; {cameras} together"
        f" {sum(rates):.1f} fps, each " + ", ".join(f"{rate:.1f}" for rate in rates)
    )
    # What each does, in shares of what it does alone.
    work = [rate / single for rate, single in zip(rates, singles, strict=True)]
    needed = [part * one.processor for part, one in zip(work, own, strict=True)]
    return sum(work), sum(needed) / together.processor, min(work) * cameras


def dealt(items: Sequence[T], cameras: int) -> list[T]:
    """One for each camera, in turn."""
    return [items[number % len(items)] for number in range(cameras)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clips", type=Path, nargs="+", help="dealt out to the cameras in turn")
    parser.add_argument("--cameras", type=int, default=4)
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    if args.cameras < 1 or args.rounds < 1 or not args.seconds > 0:
        parser.error("--cameras and --rounds must be 1 or more, --seconds above 0")
    known = [frames_of(clip) for clip in args.clips]
    options = FaceOptions(gate="off")  # every face is work
    with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
        check(pipeline, dealt(known, args.cameras))
        rounds = [compare(pipeline, known, args.cameras, args.seconds) for _ in range(args.rounds)]
    ratio, effort, share = map(statistics.median, zip(*rounds, strict=True))
    print(
        f"throughput together / alone {ratio:.2f}; slowest camera / an equal share of what it has"
        f" alone {share:.2f}"
    )
    print(f"work for each second of processor, together / alone {effort:.2f}")
    return 0 if ratio >= 0.9 and share >= _FAIR else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VidFaceDeblurError, OSError, av.FFmpegError) as error:
        sys.exit(f"several_cameras: {error}")
