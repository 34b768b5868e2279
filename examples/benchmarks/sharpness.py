"""How well the sharpness measure tells sharp faces from blurred ones, and what the gate rests on.

First, the area under the ROC curve: test faces at widths of 40 to 200 pixels (enlarged by 2 at
most), as they are and under blur kernels of 13 pixels and up, all widths together and each alone.
Second, for each model: faces under kernels of 1 to 13 pixels, sorted by sharpness, with what
deblurring gains in PSNR of the face, and on how many it gains. The gate is open where nearly all
gain, and shut where half of them lose.

    python examples/benchmarks/sharpness.py FACES [--count N] [--model NAME ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, FaceOptions
from vidfacedeblur.engines import choose
from vidfacedeblur.faces import crop_square, need, open_detector, sharpness
from vidfacedeblur.trainers.kernels import Kind, random_kernels
from vidfacedeblur.types import Box, ByteImage
from vidfacedeblur.video.canvas import ArrayCanvas

WIDTHS = (40, 60, 80, 110, 150, 200)
ENLARGED = 2.0
SIZES = (13, 17, 21, 27)
LIGHT = (2, 3, 4, 5, 7, 9, 13)
KINDS: tuple[Kind, ...] = ("motion", "motion", "defocus", "mixed")
STEP = 0.04
Values = NDArray[np.float64]


@dataclass
class Sample:
    """A picture of a face of some width, and where the face is."""

    image: ByteImage
    box: Box
    width: int

    def sharpness(self) -> float:
        return sharpness(ArrayCanvas(self.image), self.box)


def samples(folder: Path, count: int, rng: np.random.Generator) -> Iterator[Sample]:
    """Faces of a folder, each at all widths that it can be shown at."""
    detector = open_detector(choose("auto", "auto"))
    files = sorted(folder.glob("*.jpg"))
    if not files:
        sys.exit(f"no .jpg in {folder}")
    for i in rng.permutation(len(files))[:count]:
        image = cv2.cvtColor(cv2.imread(str(files[i])), cv2.COLOR_BGR2RGB)
        for face in detector.detect(image, min_face=60, min_score=0.95)[:1]:
            for width in WIDTHS:
                scale = width / face.box.width
                if scale <= ENLARGED:
                    yield scaled(image, face.box, scale, width)


def scaled(image: ByteImage, box: Box, scale: float, width: int) -> Sample:
    """The picture at another size."""
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
    x, y = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
    return Sample(small, Box(box.x0 * x, box.y0 * y, box.x1 * x, box.y1 * y), width)


def blurred(sample: Sample, size: int, rng: np.random.Generator) -> Sample:
    """The same under a random kernel of a size, with a camera's noise every other time."""
    kernel = random_kernels([size], rng, kinds=[KINDS[rng.integers(len(KINDS))]])[0].numpy()
    image = cv2.filter2D(
        sample.image.astype(np.float32), -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT
    )
    noise = rng.normal(0, rng.choice([0, 1.5]), image.shape)
    return Sample(
        np.clip(np.rint(image + noise), 0, 255).astype(np.uint8), sample.box, sample.width
    )


def area(sharp: Values, other: Values) -> float:
    """Area under the ROC curve: how often a sharp face has the higher figure."""
    if not len(sharp) or not len(other):
        return float("nan")
    higher = sharp[:, None] > other[None]
    return float((higher + 0.5 * (sharp[:, None] == other[None])).mean())


def tell_apart(faces: list[Sample], rng: np.random.Generator) -> None:
    """Print the areas under the ROC curve."""
    width = np.array([s.width for s in faces])
    before = np.array([s.sharpness() for s in faces])
    after = np.array([blurred(s, rng.choice(SIZES), rng).sharpness() for s in faces])
    print("| face width | faces | sharp: median, 5 % below | blurred | area under ROC |")
    print("|---|---|---|---|---|")
    for name, at in [("all", width > 0), *((str(w), width == w) for w in WIDTHS)]:
        if at.any():
            middle, low = np.percentile(before[at], [50, 5])
            print(
                f"| {name} | {at.sum()} | {middle:.2f}, {low:.2f} | {np.median(after[at]):.2f} |"
                f" {area(before[at], after[at]):.4f} |"
            )


def gains(name: str, faces: list[Sample], rng: np.random.Generator) -> None:
    """Print what a model gains by the sharpness of what it was given."""
    rows = []
    with FaceDeblurPipeline(name, faces=FaceOptions(gate="off")) as pipeline:
        for sample in faces:
            given = blurred(sample, rng.choice(LIGHT), rng)
            result = pipeline.process_image(given.image, faces=[given.box])
            before, after = (psnr(i, sample) for i in (given.image, result.image))
            rows.append((result.faces[0].sharpness or 0.0, after - before))
    table = np.array(rows)
    print(f"\n{name}\n\n| sharpness | faces | gain, median dB | share that gains | gate |")
    print("|---|---|---|---|---|")
    for low in np.arange(0.18, 0.66, STEP):
        at = (table[:, 0] >= low) & (table[:, 0] < low + STEP)
        if at.sum() >= 10:
            gain = table[at, 1]
            print(
                f"| {low:.2f} to {low + STEP:.2f} | {at.sum()} | {np.median(gain):+.2f} |"
                f" {(gain > 0).mean():.2f} | {need(low + STEP / 2):.2f} |"
            )


def psnr(image: ByteImage, truth: Sample) -> float:
    """Of the part that a crop shows, in dB."""
    square = crop_square(truth.box, margin=0)
    left, top, right, bottom = (max(0, round(edge)) for edge in square)
    pair = (i[top:bottom, left:right].astype(float) for i in (image, truth.image))
    error = np.square(np.subtract(*pair)).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("faces", type=Path, help="folder of JPEG pictures of one face each")
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--model", nargs="*", default=["deblurgan", "deblurganv2"])
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    faces = list(samples(args.faces, args.count, rng))
    tell_apart(faces, rng)
    for name in args.model:
        picks = [s for s in faces if s.width in WIDTHS[1:4]]
        gains(name, [picks[i] for i in rng.permutation(len(picks))[: args.count]], rng)


if __name__ == "__main__":
    main()
