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
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, VidFaceDeblurError

Image = NDArray[np.uint8]
_FAIR = 0.7
"""Part of an equal share of what it has alone, below which a camera starves."""


def frames_of(clip: Path, count: int = 50) -> list[Image]:
    """The first frames, decoded beforehand: what is measured are the faces."""
    with av.open(str(clip)) as container:
        decoded = islice(container.decode(video=0), count)
        return [frame.to_ndarray(format="rgb24") for frame in decoded]


def watch(
    pipeline: FaceDeblurPipeline, clips: Sequence[list[Image]], seconds: float
) -> list[float]:
    """Frames per second of each camera, all running at the same time."""
    rates = [0.0] * len(clips)
    begin = threading.Barrier(len(clips))

    def camera(number: int) -> None:
        stream, clip, done = pipeline.stream(), clips[number], 0
        begin.wait()
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            done += len(stream.push(clip[done % len(clip)]))
            done = max(done, 1)  # the first frame waits for the second
        rates[number] = done / (time.monotonic() - start)

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rates


def check(pipeline: FaceDeblurPipeline, clips: Sequence[list[Image]]) -> None:
    """Cameras that share get what each gets alone, but for rounding in larger batches."""
    first = [clip[:6] for clip in clips]
    alone = [[r.image for r in pipeline.process(clip)] for clip in first]
    together: dict[int, list[Image]] = {}

    def camera(number: int) -> None:
        together[number] = [r.image for r in pipeline.process(first[number])]

    threads = [threading.Thread(target=camera, args=(number,)) for number in range(len(clips))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, images in enumerate(alone):
        for image, other in zip(images, together[number], strict=True):
            if np.abs(image.astype(np.int16) - other).max() > 1:
                raise SystemExit(f"camera {number} gets other pixels than alone")


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
    known = [frames_of(clip) for clip in args.clips]
    clips = [known[number % len(known)] for number in range(args.cameras)]
    options = FaceOptions(gate="off")  # every face is work
    with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
        check(pipeline, clips)
        ratios, shares = [], []
        for _ in range(args.rounds):
            # What the cameras would reach if each had the pipeline for an equal share of the time.
            alone = [watch(pipeline, [clip], args.seconds)[0] for clip in known]
            single = statistics.mean(alone[n % len(known)] for n in range(args.cameras))
            rates = watch(pipeline, clips, args.seconds)
            work = [rate / alone[n % len(known)] for n, rate in enumerate(rates)]
            ratios.append(sum(work))
            shares.append(min(work) * len(work))
            print(
                f"one alone {single:.1f} fps; {args.cameras} together {sum(rates):.1f} fps, each "
                + ", ".join(f"{rate:.1f}" for rate in rates)
            )
    ratio, share = statistics.median(ratios), statistics.median(shares)
    print(
        f"throughput together / alone {ratio:.2f}; slowest camera / an equal share of what it has"
        f" alone {share:.2f}"
    )
    return 0 if ratio >= 0.9 and share >= _FAIR else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VidFaceDeblurError, OSError) as error:
        sys.exit(f"several_cameras: {error}")
