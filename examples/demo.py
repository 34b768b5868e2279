"""The demo: a portrait filmed by an unsteady hand, deblurred, and judged against the known truth.

Makes a short clip of scikit-image's astronaut (a public-domain photograph) under a hand-held
camera path. The motion blur is real in the sense that matters: each frame is the average of many
sub-frames along the path during its exposure. What the camera saw from the mean pose of each
exposure is the known sharp answer. Then the command deblurs the clip, and this script compares the
face before and after.

    python examples/demo.py [FOLDER] [--model NAME]

Exit code 0 if the face came closer to the truth, 1 if not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data

from vidfacedeblur.cli import main as deblur

WIDTH, HEIGHT, FRAMES, RATE = 448, 360, 60, 25
SUBFRAMES = 24
FACE = (176, 62, 270, 192)
"""The astronaut's face in her photograph: left, top, right, bottom."""
Image = NDArray[np.uint8]


def camera_path(frames: int, seed: int = 3) -> NDArray[np.float64]:
    """Draw a hand-held path: (frames * SUBFRAMES, 3) of x and y in pixels and roll in degrees."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames * SUBFRAMES) / (SUBFRAMES * RATE)  # seconds
    path = np.zeros((len(time), 3))
    # Slow drift, and tremor of a few cycles a second: what an arm does.
    for low, high, size in ((0.2, 0.8, 16.0), (1.5, 3.5, 13.0), (4.0, 7.0, 4.5)):
        frequency = rng.uniform(low, high, (2, 3))
        phase = rng.uniform(0, 2 * np.pi, (2, 3))
        wave = np.sin(2 * np.pi * frequency[:, None] * time[:, None] + phase[:, None])
        path += wave.sum(axis=0) * size * (0.7, 0.7, 0.06)
    return path


def view(photo: Image, pose: NDArray[np.float64]) -> NDArray[np.float32]:
    """What the camera sees from one pose, as (HEIGHT, WIDTH, 3) float32 RGB, 0 to 255."""
    middle = ((FACE[0] + FACE[2]) / 2, (FACE[1] + FACE[3]) / 2 + 40)
    matrix = cv2.getRotationMatrix2D(middle, float(pose[2]), 1.0)
    matrix[:, 2] += (WIDTH / 2 - middle[0] + pose[0], HEIGHT / 2 - middle[1] + pose[1])
    size = (WIDTH, HEIGHT)
    seen = cv2.warpAffine(photo, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(seen, np.float32)


def face_box(pose: NDArray[np.float64]) -> tuple[int, int, int, int]:
    """Where the face is in the picture from one pose; the small roll is left out."""
    dx = WIDTH / 2 - (FACE[0] + FACE[2]) / 2 + pose[0]
    dy = HEIGHT / 2 - (FACE[1] + FACE[3]) / 2 - 40 + pose[1]
    return tuple(round(v + d) for v, d in zip(FACE, (dx, dy, dx, dy), strict=True))  # type: ignore[return-value]


def film() -> tuple[list[Image], list[Image], list[tuple[int, int, int, int]]]:
    """Return the blurred frames, the sharp ones, and where the face is in each."""
    photo = data.astronaut()
    exposures = camera_path(FRAMES).reshape(FRAMES, SUBFRAMES, 3)
    blurred = [np.mean([view(photo, pose) for pose in poses], axis=0) for poses in exposures]
    middles = exposures.mean(axis=1)
    sharp = [view(photo, pose) for pose in middles]
    return (
        [_bytes(image) for image in blurred],
        [_bytes(image) for image in sharp],
        [face_box(pose) for pose in middles],
    )


def _bytes(image: NDArray[np.floating]) -> Image:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def write_clip(path: Path, frames: list[Image]) -> None:
    """Encode frames to H.264 in nearly full quality."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def read_clip(path: Path) -> list[Image]:
    """Decode all frames to RGB."""
    with av.open(path) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def face_psnr(frames: list[Image], sharp: list[Image], boxes: list[tuple[int, ...]]) -> float:
    """Mean PSNR in dB of the face region."""
    values = []
    for image, truth, (x0, y0, x1, y1) in zip(frames, sharp, boxes, strict=True):
        difference = image[y0:y1, x0:x1].astype(float) - truth[y0:y1, x0:x1]
        values.append(10 * np.log10(255**2 / np.mean(difference**2)))
    return float(np.mean(values))


def before_after(
    blurred: list[Image], result: list[Image], sharp: list[Image], boxes: list[tuple[int, ...]]
) -> Image:
    """Rows of before | after | truth around the face, from the frames that were blurred most."""
    loss = [
        np.abs(b.astype(float) - s)[y0:y1, x0:x1].mean()
        for b, s, (x0, y0, x1, y1) in zip(blurred, sharp, boxes, strict=True)
    ]
    order = sorted(range(len(loss)), key=lambda i: -loss[i])
    rows = []
    for i in sorted((order[0], order[len(order) // 4], order[len(order) // 2])):
        x0, y0, x1, y1 = boxes[i]
        rows.append(
            np.hstack(
                [f[i][y0 - 20 : y1 + 20, x0 - 30 : x1 + 30] for f in (blurred, result, sharp)]
            )
        )
    width = min(row.shape[1] for row in rows)
    sheet = np.vstack([row[:, :width] for row in rows])
    sheet = cv2.resize(sheet, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    banner = np.full((34, sheet.shape[1], 3), 255, np.uint8)
    for n, title in enumerate(("before", "after", "truth")):
        x = n * sheet.shape[1] // 3 + 8
        cv2.putText(
            banner, title, (x, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2, cv2.LINE_AA
        )
    return np.vstack([banner, sheet])


def main() -> int:
    """Make the clip, deblur it, compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("demo-output"))
    parser.add_argument("--model", default="deblurgan")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    clip, output = args.folder / "blurred.mp4", args.folder / "deblurred.mp4"

    print(f"filming {FRAMES} frames of {SUBFRAMES} sub-frames each ...", flush=True)
    blurred, sharp, boxes = film()
    write_clip(clip, blurred)
    code = deblur([str(clip), "-o", str(output), "--model", args.model, "--overwrite"])
    if code:
        return code
    before, result = read_clip(clip), read_clip(output)
    was, now = face_psnr(before, sharp, boxes), face_psnr(result, sharp, boxes)
    picture = args.folder / "before-after.png"
    sheet = cv2.cvtColor(before_after(before, result, sharp, boxes), cv2.COLOR_RGB2BGR)
    picture.write_bytes(cv2.imencode(".png", sheet)[1].tobytes())
    print(f"face region against the known sharp frames: {was:.2f} dB before, {now:.2f} dB after")
    print(f"video:   {output}\npicture: {picture}")
    if now <= was:
        print("the face did not come closer to the truth", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
