"""A contact sheet: frames of every clip of a folder before and after, and their largest faces.

Each clip goes through the pipeline from file to file; the frames are read back from the files.

    python examples/benchmarks/sheet.py FOLDER -o sheet.png [--model NAME] [--gate auto|off]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.faces import crop_square
from vidfacedeblur.types import Box, ByteImage, Face, FrameResult
from vidfacedeblur.video import VIDEO_SUFFIXES, open_canvas, open_source

HEIGHT = 200
"""Of a row, in pixels."""
WIDTH = 300
"""Of a frame; faces are squares."""
TITLE = 16


def frames_at(path: Path, numbers: list[int]) -> dict[int, ByteImage]:
    """Some frames of a file, upright RGB, by number."""
    with open_source(path, VideoOptions()) as source:
        return {f.index: open_canvas(f).rgb().copy() for f in source if f.index in numbers}


def fitted(image: ByteImage, width: int) -> ByteImage:
    """The picture in a field of the row's height, black around it."""
    scale = min(width / image.shape[1], HEIGHT / image.shape[0])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    size = (max(1, int(image.shape[1] * scale)), max(1, int(image.shape[0] * scale)))
    small = cv2.resize(image, size, interpolation=how)
    field = np.zeros((HEIGHT, width, 3), np.uint8)
    y, x = (HEIGHT - small.shape[0]) // 2, (width - small.shape[1]) // 2
    field[y : y + small.shape[0], x : x + small.shape[1]] = small
    return field


def face_of(image: ByteImage, box: Box) -> ByteImage:
    """What a picture shows of a face, with some margin."""
    left, top, right, bottom = (max(0, round(edge)) for edge in crop_square(box, margin=0.3))
    return image[top:bottom, left:right]


def pick(results: list[FrameResult], count: int) -> list[tuple[int, Face]]:
    """Frames spread over those with faces, each with its largest; blurred ones if there are any."""
    shown = [r for r in results if any(face.deblurred for face in r.faces)]
    shown = shown or [r for r in results if r.faces]
    if not shown:
        return []
    chosen = {int(i) for i in np.linspace(0, len(shown) - 1, count + 2)[1:-1]}
    return [(shown[i].index, max(shown[i].faces, key=_area)) for i in sorted(chosen)]


def _area(face: Face) -> float:
    return (face.deblurred or 0.1) * face.box.width * face.box.height


def rows_of(pipeline: FaceDeblurPipeline, clip: Path, folder: Path, count: int) -> list[ByteImage]:
    """Rows of one clip: frame before and after, face before and after."""
    results: list[FrameResult] = []
    target = folder / f"{clip.stem}.mkv"
    summary = pipeline.run(clip, target, on_frame=results.append)
    print(f"{clip.name}: {summary.faces} faces, {summary.deblurred} deblurred", file=sys.stderr)
    picks = pick(results, count)
    numbers = [number for number, _ in picks]
    before, after = frames_at(clip, numbers), frames_at(target, numbers)
    rows = []
    for number, face in picks:
        pair = (before[number], after[number])
        fields = [fitted(image, WIDTH) for image in pair]
        fields += [fitted(face_of(image, face.box), HEIGHT) for image in pair]
        title = np.zeros((TITLE, 2 * WIDTH + 2 * HEIGHT, 3), np.uint8)
        text = f"{clip.name} frame {number}: sharpness {face.sharpness or 0:.2f}"
        text += f" -> {face.sharpness_after:.2f}" if face.sharpness_after else ", left alone"
        white = (255, 255, 255)
        cv2.putText(title, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, white, 1, cv2.LINE_AA)
        rows.append(np.vstack([title, np.hstack(fields)]))
    return rows


def main() -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="of clips")
    parser.add_argument("-o", "--output", type=Path, required=True, help="PNG to write")
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--gate", default="auto")
    parser.add_argument("--frames", type=int, default=2, help="of each clip")
    args = parser.parse_args()
    options = FaceOptions(gate=args.gate)
    rows: list[ByteImage] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        FaceDeblurPipeline(args.model, faces=options) as pipeline,
    ):
        for clip in sorted(p for p in args.folder.iterdir() if p.suffix in VIDEO_SUFFIXES):
            rows += rows_of(pipeline, clip, Path(folder), args.frames)
    if not rows:
        sys.exit(f"no faces in the clips of {args.folder}")
    half = -(-len(rows) // 2)
    rows += [np.zeros_like(rows[0])] * (2 * half - len(rows))
    sheet = np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])
    if not cv2.imwrite(str(args.output), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR)):
        sys.exit(f"cannot write {args.output}; is it a .png?")


if __name__ == "__main__":
    main()
