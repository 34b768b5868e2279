"""What keeping the best faces costs, a face of a 1080p frame; run it, it is no test.

    python tests/benchmarks/best_faces.py

Three cases: a face that is known to be no better than those kept, as most are where faces are
sharp; one that is deblurred and might have become better; one that is kept. Then the writing.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidfacedeblur import BestFaces, Box, Face
from vidfacedeblur.work import Work, work_on

REPEATS = 300
POINTS = ((0.3, 0.35), (0.7, 0.35), (0.5, 0.56), (0.35, 0.78), (0.65, 0.78))


def face_of(side: int, sharpness: float, *, weight: float = 0.0) -> Face:
    points = tuple((800.5 + side * x, 400.5 + side * y) for x, y in POINTS)
    box = Box(800.5, 400.5, 800.5 + side, 400.5 + side)
    return Face(box, 1.0, points, 1, weight, sharpness)


def frame_of() -> av.VideoFrame:
    picture = np.random.default_rng(0).integers(0, 256, (1620, 1920), np.uint8)
    return av.VideoFrame.from_ndarray(picture, format="yuv420p")


def work_at(index: int, picture: av.VideoFrame, face: Face) -> Work:
    picture.pts, picture.time_base = index, Fraction(1, 25)
    work = work_on(index, picture, "rgb")
    work.faces = [face]
    return work


def milliseconds(best: BestFaces, works: list[Work], after: Callable[[Face], Face]) -> float:
    """Median cost of a frame with one face."""
    costs = []
    for work in works:
        begin = time.perf_counter()
        best.before(work)
        spent = time.perf_counter() - begin
        work.faces = [after(face) for face in work.faces]
        begin = time.perf_counter()
        best.after(work)
        costs.append(1e3 * (spent + time.perf_counter() - begin))
    return statistics.median(costs)


def measure(side: int, picture: av.VideoFrame, folder: Path) -> str:
    cases: dict[str, tuple[Callable[[int], Face], Callable[[Face], Face]]] = {
        "no better": (lambda i: face_of(side, 0.3), lambda f: f),
        "deblurred": (
            lambda i: face_of(side, 0.3, weight=1.0),
            lambda f: replace(f, sharpness_after=0.35),
        ),
        "kept": (lambda i: face_of(side, 0.1 + i / 10_000), lambda f: f),
    }
    parts = []
    for name, (before, after) in cases.items():
        best = BestFaces(folder / f"{side}{name}", source="a")
        if name != "kept":
            for index in (0, 25, 50):
                first = work_at(index, picture, face_of(side, 0.5))
                best.before(first)
                best.after(first)
        works = [work_at(100 + i, picture, before(i)) for i in range(REPEATS)]
        cost = milliseconds(best, works, after)
        begin = time.perf_counter()
        best.close()
        written = 1e3 * (time.perf_counter() - begin) / best.pictures
        parts.append(f"{name} {cost:.3f} ms")
    return f"face of {side} px: {', '.join(parts)}; writing a picture {written:.1f} ms"


def main() -> int:
    picture = frame_of()
    with tempfile.TemporaryDirectory() as folder:
        for side in (40, 100, 250):
            print(measure(side, picture, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
