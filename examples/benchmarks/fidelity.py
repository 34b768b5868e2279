"""What it costs to change nothing, and what becomes of the area that is not to change.

Compares a run without faces, file to file, with a plain transcode by PyAV with the same encoder,
settings and threads: they take turns, and ratios are taken within each round. Measures how near the
area outside an edit stays to the source after encoding, beside the same area of that transcode; and
what it takes to cut a face out and to put it back. Outputs are checked before anything is timed.
Processor time is given beside wall time, since it says the same on a busy machine.

    python examples/benchmarks/fidelity.py [--clips FILE ...] [--runs N] [--minutes M]

Without clips (8-bit, planar) it makes its own. With --minutes (Linux only), a video of that length
goes through, then 200 short ones, and memory and open files are watched.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
from clips import OPTIONS, in_ten_bits, make_clip, planes, same_content, settings_of, transcode
from endurance import endurance
from numpy.typing import NDArray

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, __version__
from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.faces import MARGIN, cut, paste_all
from vidfacedeblur.provenance import processor_name
from vidfacedeblur.types import Box, Face, Frame, Region
from vidfacedeblur.video import open_canvas, open_sink, open_source

SIDE = 256
"""Of the edit, and of the face, in pixels."""
WARM_UP = 5
"""Frames that find cold caches and do not count."""


def machinery(pipeline: FaceDeblurPipeline, clip: Path, folder: Path, runs: int) -> Iterator[str]:
    """Time a run without faces against the plain way, in rounds of changing order."""
    plain = partial(transcode, settings=settings_of(clip))
    ways: dict[str, Callable[[Path, Path], object]] = {
        "ours": pipeline.run,
        "a plain transcode": plain,
        "one that decodes in threads": partial(plain, decoding="AUTO"),
    }
    outputs = {name: folder / f"{name}.mp4" for name in ways}
    for name, way in ways.items():
        way(clip, outputs[name])
        if not same_content(outputs[name], outputs["ours"]):
            sys.exit(f"{clip.name}: {name} does not give the pictures and sound that ours gives")
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for i in range(runs):
        order = [*ways][i % 3 :] + [*ways][: i % 3]
        for name in order if i % 2 else order[::-1]:
            begin, busy = time.perf_counter(), time.process_time()
            ways[name](clip, outputs[name])
            taken[name].append((time.perf_counter() - begin, time.process_time() - busy))
    with av.open(clip) as container:
        video = container.streams.video[0]
        about = f"{clip.name}, {video.width}x{video.height}, {video.frames} frames"
    ours = np.array(taken.pop("ours"))
    for name, times in taken.items():
        wall, busy = (ours / times).T
        seconds = [np.median(t, axis=0)[0] for t in (ours, times)]
        yield (
            f"time of a run without faces, against {name} | {about} | {np.median(wall):.3f} times"
            f" ({wall.min():.3f} to {wall.max():.3f}, {runs} pairs; processor time"
            f" {np.median(busy):.3f}); {seconds[0]:.2f} s and {seconds[1]:.2f} s"
        )


def middle(width: int, height: int) -> Region:
    """The square in the middle of a picture, on whole chroma samples."""
    x, y = (width - SIDE) // 4 * 2, (height - SIDE) // 4 * 2
    return Region(x, y, x + SIDE, y + SIDE)


def sharpened(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What a deblurring network might make of a face."""
    return np.clip(2 * image - cv2.GaussianBlur(image, (0, 0), 3), 0, 1)


def outside(plane: NDArray[np.integer], place: Region, rows: int) -> NDArray[np.integer]:
    """A plane's samples outside a region of luma samples, as a list; `rows` are those of luma."""
    part = round(rows / len(plane))
    keep = np.ones(plane.shape, bool)
    keep[place.y0 // part : -(-place.y1 // part), place.x0 // part : -(-place.x1 // part)] = False
    return plane[keep]


def check_outside(before: list[NDArray[np.integer]], frame: Frame, place: Region) -> None:
    """Stop if a sample outside a region changed, or none inside."""
    after, rows = planes(frame.picture), len(before[0])
    pairs = list(zip(before, after, strict=True))
    if any(np.any(outside(a, place, rows) != outside(b, place, rows)) for a, b in pairs):
        sys.exit(f"frame {frame.index} changed outside of {place}")
    if any(np.array_equal(a, b) for a, b in pairs):
        sys.exit(f"a plane of frame {frame.index} did not change at all")


def edit(clip: Path, target: Path) -> tuple[Region, float]:
    """Sharpen the middle of every frame by our canvas.

    The region comes back, and the mean change of its luma.
    """
    changes = []
    with ExitStack() as stack:
        source = stack.enter_context(open_source(clip, OPTIONS))
        sink = stack.enter_context(open_sink(target, source, OPTIONS))
        place = middle(source.info.width, source.info.height)
        for frame in source:
            before = [plane.copy() for plane in planes(frame.picture)]
            canvas = open_canvas(frame)
            block = canvas.read(place)
            canvas.add(place, sharpened(block) - block)
            check_outside(before, frame, place)
            changes.append(cv2.absdiff(before[0], planes(frame.picture)[0]).sum() / SIDE**2)
            sink.write(frame)
        sink.finish()
    return place, float(np.mean(changes))


def untouched(clip: Path, folder: Path) -> Iterator[str]:
    """PSNR of the luma outside an edit, beside that of a plain transcode."""
    ours, plain = folder / "edited.mp4", folder / "plain.mp4"
    place, change = edit(clip, ours)
    transcode(clip, plain, settings=settings_of(clip))
    squares, count, frames = np.zeros(2), 0, 0
    with av.open(clip) as a, av.open(ours) as b, av.open(plain) as c:
        for pictures in zip(*(x.decode(video=0) for x in (a, b, c)), strict=True):
            luma = [planes(picture)[0] for picture in pictures]
            source, *others = (outside(p, place, len(p)).astype(np.int32) for p in luma)
            squares += [np.square(other - source).sum() for other in others]
            count, frames = count + source.size, frames + 1
    psnr = 10 * np.log10(255**2 * count / squares)
    about = f"{clip.name}, {frames} frames, {SIDE}x{SIDE} changed by {change:.1f} levels"
    yield f"samples changed outside an edit, before encoding | {about} | none"
    yield (
        f"luma PSNR outside an edit, after encoding | {about} | {psnr[0]:.3f} dB; plain transcode"
        f" {psnr[1]:.3f} dB; difference {psnr[0] - psnr[1]:+.3f} dB"
    )


def face_of(height: float, width: int, rows: int) -> Face:
    """A face in the middle of a picture; its landmarks do not widen the mask."""
    x, y = width / 2, rows / 2
    box = Box(x - 0.4 * height, y - height / 2, x + 0.4 * height, y + height / 2)
    marks = ((-0.18, -0.12), (0.18, -0.12), (0, 0.05), (-0.14, 0.22), (0.14, 0.22))
    return Face(box, landmarks=tuple((x + u * height, y + v * height) for u, v in marks))


def handling(clip: Path, face_height: float) -> str:
    """Milliseconds to cut a face out of every frame, and to put it back."""
    taken = []
    with open_source(clip, OPTIONS) as source:
        info = source.info
        face = face_of(face_height, info.width, info.height)
        for frame in source:
            canvas = open_canvas(frame)
            before = [p.copy() for p in planes(frame.picture)] if not taken else None
            start = _now()
            crop = cut(canvas, face)
            between = _now()
            restored = sharpened(crop.image)
            again = _now()
            paste_all(canvas, [crop], [restored], strength=1)
            taken.append((between - start, _now() - again))
            if before is not None:
                check_outside(before, frame, crop.region)
    times = np.array(taken[WARM_UP:])  # (frames, cut or paste, wall or processor)
    (cut_ms, _), (paste_ms, _) = np.median(times, axis=0)
    total, busy = np.median(times.sum(axis=1), axis=0)
    return (
        f"cut and paste of a face, box {face_height:.0f} px high, crop {crop.region.width} px |"
        f" {info.pix_fmt}, {info.width}x{info.height}, {len(times)} frames | {total:.2f} ms (cut"
        f" {cut_ms:.2f}, paste {paste_ms:.2f}; processor time {busy:.2f})"
    )


def _now() -> NDArray[np.float64]:
    """Wall and processor time in milliseconds."""
    return 1e3 * np.array([time.perf_counter(), time.process_time()])


def machine() -> str:
    """What it ran on, in one line."""
    return (
        f"{processor_name()}, {usable_cores()} cores; Python {platform.python_version()},"
        f" vidfacedeblur {__version__}, PyAV {av.__version__}, FFmpeg {av.ffmpeg_version_info},"
        f" OpenCV {cv2.__version__}, NumPy {np.__version__}"
    )


def rows(args: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The table's rows, as they are measured."""
    clips = args.clips or [
        make_clip(folder / f"photo{height}.mp4", width, height)
        for width, height in ((1280, 720), (1920, 1080))
    ]
    with FaceDeblurPipeline(faces=FaceOptions(faces="none"), video=OPTIONS) as pipeline:
        for clip in clips:
            yield from machinery(pipeline, clip, folder, args.runs)
        for clip in clips:
            yield from untouched(clip, folder)
        for clip in (clips[-1], in_ten_bits(clips[-1], folder / "ten.mp4")):
            # The crop is as large as the network's input; and then the box itself is.
            for height in (SIDE / (1 + 2 * MARGIN), SIDE):
                yield handling(clip, height)
        if args.minutes:
            yield from endurance(pipeline, clips[-1], folder, args.minutes)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--clips", type=Path, nargs="+", metavar="FILE", help="the largest last")
    parser.add_argument("--runs", type=int, default=7, help="pairs of timed runs, 5 or more")
    parser.add_argument("--minutes", type=float, default=0, help="of the long video; 0: none")
    args = parser.parse_args()
    if args.runs < 5:
        parser.error("--runs must be 5 or more")
    with tempfile.TemporaryDirectory() as name:
        print(f"{machine()}\n\n| what | of | measured |\n|---|---|---|", flush=True)
        for row in rows(args, Path(name)):
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
