"""What deblurring gains on interlaced faces: as one picture, and field by field.

Faces move by so many pixels from one field to the next, in any direction, and blur over four fifths
of that; the picture gets noise and 8 bits. Against the truth, which is as interlaced, but sharp.

    python examples/benchmarks/interlaced.py FACES [--count 40] [--model NAME ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import Box, Face, FaceDeblurPipeline
from vidfacedeblur.faces import cut, cut_all, paste_all
from vidfacedeblur.types import FaceCrop
from vidfacedeblur.video.canvas import ArrayCanvas

MOVES = (0, 1, 2, 4, 7, 11, 15)
EXPOSED = 0.8
"""Share of the time from a field to the next."""
NOISE = 2 / 255
Picture = NDArray[np.float32]


def shifted(image: Picture, by: NDArray[np.float64]) -> Picture:
    """An image moved by (x, y) pixels."""
    moved = cv2.warpAffine(
        image,
        np.array([[1, 0, by[0]], [0, 1, by[1]]]),
        image.shape[1::-1],
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT,
    )
    return np.asarray(moved, np.float32)


def recorded(image: Picture, move: NDArray[np.float64]) -> tuple[Picture, Picture]:
    """Two fields of a face as a camera records them, and as they would be without blur."""
    blurred, sharp = np.empty_like(image), np.empty_like(image)
    for field in (0, 1):
        times = field + EXPOSED * np.linspace(-0.5, 0.5, 9)
        moment = np.mean([shifted(image, t * move) for t in times], axis=0)
        blurred[field::2], sharp[field::2] = (
            moment[field::2],
            shifted(image, field * move)[field::2],
        )
    return blurred, np.clip(sharp, 0, 1)


def scenes(files: Sequence[Path], distance: float) -> Iterator[tuple[NDArray[np.uint8], Picture]]:
    """A recording in 8 bits and its truth, for each file."""
    rng = np.random.default_rng(0)
    for file in files:
        image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB).astype(np.float32) / 255
        angle = rng.uniform(0, 2 * np.pi)
        blurred, sharp = recorded(image, distance * np.array([np.cos(angle), np.sin(angle)]))
        grainy = np.clip(blurred + rng.normal(0, NOISE, blurred.shape), 0, 1)
        yield np.rint(255 * grainy).astype(np.uint8), sharp


def gains(pipeline: FaceDeblurPipeline, files: Sequence[Path], distance: float) -> list[float]:
    """PSNR of the face before, and what is gained as one picture and by fields."""
    rows = []
    for image, sharp in scenes(files, distance):
        height, width = image.shape[:2]
        face = Face(Box(0.3 * width, 0.26 * height, 0.7 * width, 0.76 * height))
        before = psnr(image, sharp)
        canvas = ArrayCanvas(image)
        ways = ([cut(canvas, face)], cut_all(canvas, face))
        rows.append([before, *(psnr(pasted(pipeline, image, way), sharp) - before for way in ways)])
    return [float(value) for value in np.mean(rows, axis=0)]


def pasted(
    pipeline: FaceDeblurPipeline, image: NDArray[np.uint8], crops: list[FaceCrop]
) -> NDArray[np.uint8]:
    """The picture with these crops deblurred."""
    canvas = ArrayCanvas(image.copy())
    paste_all(canvas, crops, pipeline.deblurrer.crops(crops), strength=1.0)
    return np.array(canvas.rgb())


def psnr(image: NDArray[np.uint8], sharp: Picture) -> float:
    """In dB, of the face."""
    height, width = image.shape[:2]
    face = (slice(height // 4, 3 * height // 4), slice(3 * width // 10, 7 * width // 10))
    return float(-10 * np.log10(np.mean((image[face] / np.float32(255) - sharp[face]) ** 2)))


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("faces", type=Path, help="folder of portraits, the face in the middle")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--model", nargs="*", default=["deblurgan", "deblurganv2"])
    args = parser.parse_args(argv)
    files = sorted(args.faces.glob("lfw*.jpg")) or sorted(args.faces.glob("*.jpg"))
    if not files:
        sys.exit(f"no .jpg in {args.faces}")
    picks = np.linspace(0, len(files) - 1, min(args.count, len(files))).round().astype(int)
    for model in args.model:
        sys.stdout.write(f"\n{model}\n\n| pixels between fields | before, dB | as one picture | by")
        sys.stdout.write(" fields |\n|---|---|---|---|\n")
        with FaceDeblurPipeline(model) as pipeline:
            for distance in MOVES:
                before, whole, fields = gains(pipeline, [files[i] for i in picks], distance)
                line = f"| {distance} | {before:.2f} | {whole:+.2f} | {fields:+.2f} |\n"
                sys.stdout.write(line)
                sys.stdout.flush()


if __name__ == "__main__":
    main()
