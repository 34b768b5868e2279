"""Whether a face that lies on its side is deblurred better when it is turned upright first.

Test faces are turned by some angles, blurred by camera paths of 9 to 17 pixels, and deblurred as
they lie; and turned upright, deblurred, and what that changed turned back. A quarter turn resamples
nothing. PSNR is that of the middle of the crop. Beside it: how many of them the detector finds.

    python examples/benchmarks/rolled.py FACES [--count N] [--model NAME ...]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from vidfacedeblur import FaceDeblurPipeline
from vidfacedeblur.engines import choose
from vidfacedeblur.faces import MtcnnDetector, changed_as, cut, open_detector, turned
from vidfacedeblur.trainers.kernels import random_kernels
from vidfacedeblur.types import ByteImage, FloatImage
from vidfacedeblur.video.canvas import ArrayCanvas

ANGLES = (0, 10, 20, 30, 45, 60, 90)
SIDE = 160
MIDDLE = 0.36


def levels(image: FloatImage) -> ByteImage:
    """Whole levels from 0 to 255."""
    return np.clip(np.rint(image * np.float32(255)), 0, 255).astype(np.uint8)


def psnr(image: ByteImage, truth: ByteImage) -> float:
    """Of the middle of a square, in dB."""
    rows, columns = np.mgrid[: len(truth), : len(truth)] / len(truth) - 0.5
    inside = rows**2 + columns**2 < MIDDLE**2
    error = np.square(image.astype(float) - truth)[inside].mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def crops(folder: Path, count: int, detector: MtcnnDetector) -> list[FloatImage]:
    """Squares around the faces of a folder."""
    found = []
    for path in sorted(folder.glob("*.jpg"))[:count]:
        canvas = ArrayCanvas(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        faces = detector.detect(np.array(canvas.rgb()), min_face=60, min_score=0.95)[:1]
        found += [cut(canvas, face, crop_size=SIDE).image for face in faces]
    return found or sys.exit(f"no faces in {folder}")


def judge(pipeline: FaceDeblurPipeline, faces: list[FloatImage], angle: int) -> list[float]:
    """Mean PSNR blurred, deblurred as it lies, and deblurred upright."""
    rng = np.random.default_rng(1)
    figures = []
    for face in faces:
        truth = levels(turned(face, angle))
        kernel = random_kernels([int(rng.integers(9, 18))], rng)[0].numpy()
        around = cv2.BORDER_REFLECT
        given = np.asarray(cv2.filter2D(truth, -1, kernel[::-1, ::-1], borderType=around), np.uint8)
        crop = given.astype(np.float32) / np.float32(255)
        lying, upright = (
            changed_as(crop, before, pipeline.deblurrer.batch(before[None])[0], by)
            for by, before in ((0, crop), (-angle, turned(crop, -angle)))
        )
        results = (given, levels(lying), levels(upright))
        figures.append([psnr(result, truth) for result in results])
    return np.mean(figures, axis=0).tolist()


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("faces", type=Path, help="folder of JPEG pictures of one face each")
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--model", nargs="*", default=["deblurgan", "deblurganv2"])
    args = parser.parse_args()
    detector = open_detector(choose("auto", "auto"))
    faces = crops(args.faces, args.count, detector)
    print(
        "| model | roll | found | PSNR blurred | as it lies | upright |\n|---|---|---|---|---|---|"
    )
    for name in args.model:
        with FaceDeblurPipeline(name) as pipeline:
            for angle in ANGLES:
                pictures = [levels(turned(face, angle)) for face in faces]
                seen = [bool(detector.detect(p, min_face=60, min_score=0.9)) for p in pictures]
                figures = [f"{value:.2f}" for value in judge(pipeline, faces, angle)]
                print(f"| {name} | {angle} | {np.mean(seen):.2f} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
