"""What is left to see of the work: seams, flicker, and change where none is needed.

Seam: the mean gradient across the outer border of the faces' masks (4 pixels on either side), on
frames of a clip with every face deblurred, against the same where the network returns its input.
Flicker: the clip's own frames are taken for the truth and blurred, each by the same kernel and each
by another; how much the faces change from frame to frame, deblurred and before, in shares of what
the true ones do. Sharp: PSNR of the faces with the gate, before encoding, and the processor time of
a run from file to file in shares of one that finds no face.

    python examples/benchmarks/traces.py CLIP ... [--model NAME ...] [--frames N]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.faces import MtcnnDetector, crop_square, face_mask
from vidfacedeblur.trainers.kernels import random_kernels
from vidfacedeblur.types import Box, ByteImage, Face, FrameResult, Region
from vidfacedeblur.video import open_canvas, open_source

BAND = 4
"""Pixels on either side of a mask's border."""
EDGE = 0.1
"""Of the mask, where its border is drawn."""
BLUR = 0.08
"""Size of the kernels, of a face's width."""
ROUNDS = 3
EVERY = FaceOptions(gate="off")


def frames_of(clip: Path, count: int, step: int = 1) -> list[ByteImage]:
    """The first frames of a clip, one in `step`, RGB."""
    with open_source(clip, VideoOptions()) as source:
        return [open_canvas(frame).rgb() for frame in islice(source, 0, count * step, step)]


def gradient_across(image: ByteImage, face: Face) -> float:
    """Mean change of brightness a pixel, in levels, along the normal of a mask's border."""
    square = crop_square(face.box)
    place = Region(*(round(edge) for edge in square))
    x0, y0 = max(place.x0, 0), max(place.y0, 0)
    part = (slice(y0 - place.y0, None), slice(x0 - place.x0, None))
    grey = cv2.cvtColor(image[y0 : place.y1, x0 : place.x1], cv2.COLOR_RGB2GRAY).astype(float)
    mask = face_mask(face, place)[part][: grey.shape[0], : grey.shape[1]]
    inside = (mask > EDGE).astype(np.uint8)
    distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5) - cv2.distanceTransform(
        1 - inside, cv2.DIST_L2, 5
    )
    band = np.abs(distance) <= BAND
    normal, slope = np.gradient(cv2.GaussianBlur(distance, (0, 0), 1)), np.gradient(grey)
    across = np.abs(normal[0] * slope[0] + normal[1] * slope[1])
    return float(across[band].mean()) if band.any() else float("nan")


@contextmanager
def network_returns_its_input(pipeline: FaceDeblurPipeline) -> Iterator[None]:
    """Let the network change nothing."""
    same = mock.patch.object(pipeline.deblurrer, "crops", lambda crops: [c.image for c in crops])
    with same:
        yield


def seam(pipeline: FaceDeblurPipeline, frames: list[ByteImage]) -> float:
    """Gradient across the border, deblurred against untouched."""
    pipeline.faces = EVERY
    sums = np.zeros(2)
    for frame in frames:
        result = pipeline.process_image(frame)
        with network_returns_its_input(pipeline):
            plain = pipeline.process_image(frame, faces=result.faces)
        for face in result.faces:
            pair = [gradient_across(image, face) for image in (result.image, plain.image)]
            if np.isfinite(pair).all():
                sums += pair
    return float(sums[0] / sums[1])


def blurred(frames: list[ByteImage], size: int, *, changing: bool) -> list[ByteImage]:
    """The frames, blurred by one kernel or by one each."""
    rng = np.random.default_rng(1)
    kernels = random_kernels([size] * (len(frames) if changing else 1), rng).numpy()
    return [
        np.asarray(cv2.filter2D(frame, -1, kernels[i % len(kernels)][::-1, ::-1]), np.uint8)
        for i, frame in enumerate(frames)
    ]


def change(pictures: list[ByteImage], boxes: list[list[Box]]) -> float:
    """Mean change of the faces from each frame to the next, in levels."""
    changes = []
    for one, two, places in zip(pictures, pictures[1:], boxes, strict=False):
        for box in places:
            part = tuple(
                slice(max(0, int(a)), int(b)) for a, b in ((box.y0, box.y1), (box.x0, box.x1))
            )
            changes.append(np.abs(one[part].astype(float) - two[part]).mean())
    return float(np.mean(changes))


def flicker(
    pipeline: FaceDeblurPipeline, frames: list[ByteImage], *, changing: bool
) -> tuple[float, float]:
    """Change of the faces, in shares of the truth's: blurred, and deblurred."""
    pipeline.faces = EVERY
    found = [list(result.faces) for result in pipeline.process(frames)]
    boxes = [[face.box for face in faces] for faces in found]
    width = np.median([box.width for each in boxes for box in each])
    size = int(np.clip(BLUR * width, 5, 29))
    given = blurred(frames, size, changing=changing)
    restored = [r.image for r in pipeline.process(given, found)]
    truth = change(frames, boxes)
    return change(given, boxes) / truth, change(restored, boxes) / truth


def kept(pipeline: FaceDeblurPipeline, frames: list[ByteImage]) -> tuple[float, float]:
    """PSNR of the faces with the gate, all together and the worst frame's, in dB."""
    pipeline.faces = FaceOptions()
    errors = [
        float(np.mean([error_in(r, frame, face.box) for face in r.faces]))
        for r, frame in zip(pipeline.process(frames), frames, strict=True)
        if r.faces
    ]
    return decibels(float(np.mean(errors))), decibels(max(errors))


def error_in(result: FrameResult, frame: ByteImage, box: Box) -> float:
    rows, columns = slice(max(0, int(box.y0)), int(box.y1)), slice(max(0, int(box.x0)), int(box.x1))
    difference = result.image[rows, columns].astype(float) - frame[rows, columns]
    return float(np.square(difference).mean())


def decibels(error: float) -> float:
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def cost(pipeline: FaceDeblurPipeline, clip: Path) -> tuple[float, int, int]:
    """Processor time of a run against one that finds nothing; faces, and those deblurred."""
    pipeline.faces = FaceOptions()
    pipeline.video = VideoOptions(overwrite=True)
    judge = MtcnnDetector.judge

    def none(*arguments: Any) -> list[None]:
        return [None for _ in judge(*arguments)]

    ratios = []
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / f"out{clip.suffix}"
        for _ in range(ROUNDS):
            times = []
            for patch in (mock.patch.object(MtcnnDetector, "judge", none), mock.DEFAULT):
                begin = time.process_time()
                if patch is mock.DEFAULT:
                    summary = pipeline.run(clip, target)
                else:
                    with patch:
                        assert not pipeline.run(clip, target).faces
                times.append(time.process_time() - begin)
            ratios.append(times[1] / times[0])
    return float(np.median(ratios)), summary.faces, summary.deblurred


def row(name: str, values: NDArray[Any] | list[Any]) -> str:
    return f"| {name} | " + " | ".join(str(value) for value in values) + " |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", nargs="*", default=["deblurgan", "deblurganv2"])
    parser.add_argument("--frames", type=int, default=24)
    args = parser.parse_args()
    head = ["model", "seam", "flicker, one kernel: blurred", "deblurred", "changing: blurred"]
    head += ["deblurred", "gate: PSNR, worst frame's", "deblurred of faces", "cost"]
    print(row("clip", head) + "\n|" + "---|" * (len(head) + 1))
    for name in args.model:
        with FaceDeblurPipeline(name) as pipeline:
            for clip in args.clips:
                near = frames_of(clip, args.frames)
                values = [name, f"{seam(pipeline, frames_of(clip, 8, 8)):.3f}"]
                for changing in (False, True):
                    pair = flicker(pipeline, near, changing=changing)
                    values += [f"{value:.3f}" for value in pair]
                every, worst = kept(pipeline, near)
                share, faces, changed = cost(pipeline, clip)
                values += [f"{every:.1f}, {worst:.1f}", f"{changed} of {faces}", f"{share:.2f}"]
                print(row(clip.name, values), flush=True)


if __name__ == "__main__":
    main()
