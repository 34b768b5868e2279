"""The whole way, against what one would write in an afternoon.

The plain way: OpenCV reads and writes, facenet-pytorch's MTCNN with its own defaults looks at every
frame, DeblurGAN in eager PyTorch deblurs each face resized to 256 pixels, and the result is resized
back and pasted as a square. It is timed on some frames, evenly spread over the clip, since it takes
so long; ours runs over all of it, before and after, with sound, and its output is checked.

Each line is ours with `--gate off` against that, the same with our model in the plain way too, and
the PSNR of faces that are sharp in the clip and were blurred by kernels of a tenth of a face's
width, before and after ("nan" where the clip shows no sharp face).

    python examples/benchmarks/plain.py CLIP ... [--model NAME ...] [--frames N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch

from vidfacedeblur import FaceDeblurPipeline, FaceOptions, VideoOptions
from vidfacedeblur.faces import need
from vidfacedeblur.models.weights import load_model
from vidfacedeblur.trainers.kernels import random_kernels
from vidfacedeblur.types import STAGES, Box, ByteImage, RunSummary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "faces"))
SIDE = 256
DENOMINATOR = "deblurgan"
SIZES = (128, None)
"""Of crops: one fixed size, and each face at its own."""
KNOWN = 6
"""Frames on which PSNR is measured."""
Network = Callable[[torch.Tensor], torch.Tensor]


def plain_frame(image: ByteImage, mtcnn: Any, network: Network) -> int:
    """Deblur the faces of a BGR frame in place, the plain way; returns how many."""
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    boxes, _ = mtcnn.detect(rgb)
    for box in [] if boxes is None else boxes:
        x0, y0, x1, y1 = (max(0, int(edge)) for edge in box)
        face = rgb[y0:y1, x0:x1]
        if not face.size:
            continue
        given = torch.from_numpy(cv2.resize(face, (SIDE, SIDE))).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            output = network(given / 127.5 - 1)[0]
        restored = ((output.permute(1, 2, 0) + 1) * 127.5).clamp(0, 255).byte().numpy()
        back = cv2.resize(restored, face.shape[1::-1])
        image[y0:y1, x0:x1] = cv2.cvtColor(back, cv2.COLOR_RGB2BGR)
    return 0 if boxes is None else len(boxes)


def plain(clip: Path, target: Path, model: str, frames: int) -> tuple[float, float]:
    """Seconds and faces a frame of the plain way."""
    from make_reference_boxes import facenet_detector

    network = load_model(model).network
    mtcnn = facenet_detector()(keep_all=True, device="cpu")
    video = cv2.VideoCapture(str(clip))
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    size = tuple(int(video.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    code = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(target), code, video.get(cv2.CAP_PROP_FPS), size)
    step = max(1, count // frames)
    seconds, faces, done = 0.0, 0, 0
    for number in range(count):
        begin = time.perf_counter()
        good, image = video.read()
        if not good:
            break
        if number % step:
            continue
        found = plain_frame(image, mtcnn, network)
        writer.write(image)
        if number:  # the first finds everything cold
            seconds, faces, done = seconds + time.perf_counter() - begin, faces + found, done + 1
    writer.release()
    return seconds / done, faces / done


def ours(clip: Path, target: Path, model: str, crop_size: int | None) -> RunSummary:
    """Run the pipeline, and check that no frame is lost."""
    with FaceDeblurPipeline(
        model,
        faces=FaceOptions(gate="off", crop_size=crop_size),
        video=VideoOptions(overwrite=True),
    ) as pipeline:
        summary = pipeline.run(clip, target)
    counts = []
    for path in (clip, target):
        with av.open(path) as container:
            counts.append(sum(1 for _ in container.decode(video=0)))
    if counts[0] != counts[1] or not summary.deblurred:
        sys.exit(f"{clip.name}: {counts[0]} frames in, {counts[1]} out, {summary.deblurred} faces")
    return summary


def known_frames(clip: Path) -> Iterator[ByteImage]:
    """Some RGB frames of a clip, evenly spread."""
    with av.open(clip) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    yield from (frames[i] for i in np.linspace(0, len(frames) - 1, KNOWN).astype(int))


def psnr(clip: Path, model: str) -> list[float]:
    """PSNR of the faces of blurred frames: blurred, and deblurred at each of `SIZES`, in dB."""
    errors: list[list[float]] = [[] for _ in range(1 + len(SIZES))]
    rng = np.random.default_rng(0)
    off = FaceOptions(gate="off")
    with FaceDeblurPipeline(model, faces=off) as pipeline:
        for sharp in known_frames(clip):
            faces = pipeline.process_image(sharp).faces
            boxes = [face.box for face in faces if need(face.sharpness or 0) < 0.5]
            if not boxes:
                continue
            length = int(np.clip(0.1 * np.median([b.width for b in boxes]), 3, 29))
            kernel = random_kernels([length], rng)[0].numpy()
            image = np.asarray(cv2.filter2D(sharp, -1, kernel[::-1, ::-1]), np.uint8)
            results = [image]
            for size in SIZES:
                pipeline.faces = replace(off, crop_size=size)
                results.append(pipeline.process_image(image, faces=boxes).image)
            pipeline.faces = off
            for kept, result in zip(errors, results, strict=True):
                kept += [squared_error(result, sharp, box) for box in boxes]
    return [float(np.mean(10 * np.log10(255**2 / np.array(kept or [np.nan])))) for kept in errors]


def squared_error(image: ByteImage, truth: ByteImage, box: Box) -> float:
    """Mean over a face."""
    left, top, right, bottom = (max(0, round(edge)) for edge in box)
    difference = image[top:bottom, left:right].astype(float) - truth[top:bottom, left:right]
    return float(np.square(difference).mean())


def shares(summary: RunSummary) -> str:
    """Of the stages, in percent of their sum; and how busy the slowest of the threads was."""
    total = summary.stages["total"].mean
    parts = [f"{name} {100 * summary.stages[name].mean / total:.0f}" for name in STAGES]
    return ", ".join(parts) + f"; {total * summary.frames / 1e3 / summary.seconds:.2f} stages busy"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--model", nargs="*", default=["deblurgan", "deblurganv2"])
    parser.add_argument("--frames", type=int, default=12, help="that the plain way is timed on")
    args = parser.parse_args()
    head = ["clip", "model", "crops", "frames/s", "plain frames/s", "times", "same model, times"]
    head += ["PSNR blurred", "deblurred", "shares of the stages in %"]
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    with tempfile.TemporaryDirectory() as name:
        target = Path(name) / "out.mp4"
        for clip in args.clips:
            for model in args.model:
                compare(clip, model, target, args.frames)


def compare(clip: Path, model: str, target: Path, frames: int) -> None:
    """Print the lines of one clip and model."""
    before = {size: ours(clip, target, model, size) for size in SIZES}
    slow, faces = plain(clip, target, DENOMINATOR, frames)
    same, _ = plain(clip, target, model, frames) if model != DENOMINATOR else (slow, faces)
    after = {size: ours(clip, target, model, size) for size in SIZES}
    blurred, *restored = psnr(clip, model)
    for size, quality in zip(SIZES, restored, strict=True):
        fps = 2 / (1 / before[size].fps + 1 / after[size].fps)
        print(
            f"| {clip.name} | {model} | {size or 'own size'} | {fps:.1f} | {1 / slow:.2f} |"
            f" {fps * slow:.1f} | {fps * same:.1f} | {blurred:.2f} | {quality:.2f} |"
            f" {shares(after[size])} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
