"""What finding faces on key frames and following them keeps, and what it costs.

The reference is the whole detector on every frame, with the same thresholds: recall of its sure
faces (probability 0.95 and up, of the smallest size looked for and up; found where boxes overlap by
half), and boxes that it does not have ("strange": mistakes, and faces that it misses). Trembling is
the mean acceleration of the largest face's box in thousandths of its width, detected on every frame
and as followed; lag is in frames. The cost is compared with facenet-pytorch's own MTCNN on
some of the same frames, both looking for faces from 20 pixels, in the same run.

    python examples/benchmarks/faces.py FOLDER [--facenet N] [--detect-every N]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from motion import Pair, lag, paired, trembling

from vidfacedeblur.config import FaceOptions, VideoOptions
from vidfacedeblur.engines import choose
from vidfacedeblur.faces import FaceFinder, MtcnnDetector, Steadier, open_detector
from vidfacedeblur.faces.boxes import iou
from vidfacedeblur.types import Canvas, Face
from vidfacedeblur.video import VIDEO_SUFFIXES, open_canvas, open_source

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "faces"))
SURE, SMALLEST = 0.95, 20
ROUNDS = 3
"""In which the two take turns; the median counts."""


@dataclass
class Tally:
    """Of one clip, or of all."""

    frames: int = 0
    sure: int = 0
    recalled: int = 0
    reference: int = 0
    found: int = 0
    strange: int = 0
    full: float = 0.0
    ours: float = 0.0
    small: float = 0.0
    facenet: float = 0.0
    facenet_frames: int = 0
    pairs: list[Pair | None] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        other.pairs.append(None)
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def row(self, name: str) -> str:
        share = self.recalled / max(self.sure, 1)
        detected, followed = trembling(self.pairs)
        times = [1e3 * seconds / self.frames for seconds in (self.full, self.ours, self.small)]
        text = (
            f"| {name} | {self.frames} | {self.sure} | {share:.3f} | {self.reference} |"
            f" {self.found} | {self.strange} | {1e3 * detected:.1f} | {1e3 * followed:.1f} |"
            f" {lag(self.pairs):+.2f} | {times[0]:.1f} | {times[1]:.1f} |"
        )
        if self.facenet_frames:
            theirs = 1e3 * self.facenet / self.facenet_frames
            text += f" {times[2]:.1f} | {theirs:.0f} | 1/{theirs / times[2]:.0f} |"
        return text


def canvases(clip: Path) -> Iterator[Canvas]:
    """The clip's frames, one at a time."""
    with open_source(clip, VideoOptions()) as source:
        for frame in source:
            yield open_canvas(frame)


def followed(detector: MtcnnDetector, options: FaceOptions, clip: Path) -> tuple[list, float]:
    """Faces of every frame by the schedule, and the seconds that took."""
    finder, steadier = FaceFinder(detector, options, holds_back=8), Steadier()
    faces, spent = [], 0.0
    # All decoded first: a decoder's threads would take part in the time.
    for canvas in list(canvases(clip)):
        begin = time.perf_counter()
        for found in finder.push(canvas):
            faces += steadier.push(found)
        spent += time.perf_counter() - begin
    for found in finder.flush():
        faces += steadier.push(found)
    return faces + steadier.flush(), spent


def judge(detector: MtcnnDetector, options: FaceOptions, clip: Path) -> Tally:
    """Compare the schedule with the whole detector on every frame."""
    ours, spent = followed(detector, options, clip)
    tally = Tally(len(ours), found=sum(map(len, ours)), ours=spent)
    for canvas, faces in zip(canvases(clip), ours, strict=True):
        least = options.min_face_for(canvas.width, canvas.height)
        begin = time.perf_counter()
        known = detector.detect(canvas.rgb(), min_face=least, min_score=options.min_score)
        tally.full += time.perf_counter() - begin
        tally.reference += len(known)
        sure = [f for f in known if f.score >= SURE and f.box.height >= least]
        tally.sure += len(sure)
        tally.recalled += len(sure) - without_partner(sure, faces, 0.5)
        tally.pairs.append(paired(known, faces))
        tally.strange += without_partner(faces, known, 0.4)
    return tally


def without_partner(faces: list[Face], others: list[Face], overlap: float) -> int:
    """How many faces overlap none of the others by so much."""
    if not faces or not others:
        return len(faces)
    a, b = (np.array([f.box for f in group], np.float32) for group in (faces, others))
    return int((iou(a[:, None], b[None]) <= overlap).all(axis=1).sum())


def against_facenet(tally: Tally, detector: MtcnnDetector, clip: Path, frames: int) -> None:
    """Time the schedule, and facenet-pytorch on some frames, both from 20 pixels, in turns."""
    from make_reference_boxes import facenet_detector

    options = FaceOptions(min_face=SMALLEST)
    mtcnn = facenet_detector()(keep_all=True, min_face_size=SMALLEST, device="cpu")
    images = [canvas.rgb() for canvas in islice(canvases(clip), 0, None, tally.frames // frames)]
    mtcnn.detect(images[0])
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(followed(detector, options, clip)[1])
        for image in images:
            begin = time.perf_counter()
            mtcnn.detect(image)
            theirs.append(time.perf_counter() - begin)
    tally.small = float(np.median(ours))
    tally.facenet = float(np.median(theirs)) * len(images)
    tally.facenet_frames = len(images)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="of clips")
    parser.add_argument("--facenet", type=int, default=0, metavar="N", help="time it on N frames")
    parser.add_argument("--detect-every", type=int, metavar="N")
    args = parser.parse_args()
    choice = choose("auto", "auto")
    detector = open_detector(choice)
    options = FaceOptions(detect_every=args.detect_every)
    head = ["clip", "frames", "sure faces", "recall", "boxes of the reference", "ours", "strange"]
    head += ["trembling of the reference", "ours", "lag"]
    head += ["ms a frame, whole detector", "ours"]
    if args.facenet:
        head += ["ours from 20 px", "facenet-pytorch from 20 px", "share"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    total = Tally()
    for clip in sorted(p for p in args.folder.iterdir() if p.suffix in VIDEO_SUFFIXES):
        tally = judge(detector, options, clip)
        if args.facenet:
            against_facenet(tally, detector, clip, args.facenet)
        print(tally.row(clip.name), flush=True)
        total.add(tally)
    print(total.row("all"))


if __name__ == "__main__":
    main()
