"""A surveillance program's own loop: its frames, its boxes, our pixels.

    python examples/surveillance_loop.py CLIP [--model deblurganv2] [--frames 100]

The program has its own capture and its own face detector; it hands over each frame with the boxes
it found, and gets the frame before it back, deblurred. Here a file stands in for the capture card.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import Face, FaceDeblurPipeline, FaceOptions, FrameResult, VidFaceDeblurError
from vidfacedeblur.errors import NoVideoError

Image = NDArray[np.uint8]


def capture(clip: Path) -> Iterator[Image | None]:
    """Stands in for the program's own capture: BGR frames; None when the camera goes away."""
    with av.open(str(clip)) as container:
        if not container.streams.video:
            raise NoVideoError(f"{clip}: not one frame of video in it")
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    yield None


def own_detector(image: Image) -> list[tuple[float, float, float, float]]:
    """Stands in for the program's own detector: one box (x0, y0, x1, y1), where faces often are."""
    height, width = image.shape[:2]
    return [(0.3 * width, 0.15 * height, 0.7 * width, 0.75 * height)]


def show(result: FrameResult) -> None:
    """Stands in for whatever the program does with a frame; `result.image` is BGR again."""
    faces = ", ".join(map(_told, result.faces)) or "no face"
    print(f"frame {result.index}: {faces}, {result.timing.total:.1f} ms")


def _told(face: Face) -> str:
    before, after = face.sharpness or 0.0, face.sharpness_after
    restored = "left as it is" if after is None else f"-> {after:.2f}"
    return f"track {face.track}, sharpness {before:.2f} {restored}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--gate", default="auto")
    parser.add_argument("--frames", type=int, default=100)
    args = parser.parse_args(argv)
    if args.frames < 1:
        parser.error("--frames must be 1 or more")
    options = FaceOptions(gate=args.gate)
    with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
        stream = pipeline.stream(colour="bgr")
        for image in islice(capture(args.clip), args.frames + 1):
            # When the camera goes away, no frame follows the one that waits.
            results = stream.flush() if image is None else stream.push(image, own_detector(image))
            for result in results:
                show(result)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VidFaceDeblurError, OSError, av.FFmpegError) as error:
        sys.exit(f"surveillance_loop: {error}")
