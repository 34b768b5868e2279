"""Where the time of a frame goes, and whether memory stays flat.

Makes a 512x512 clip with one face (scikit-image's astronaut, slowly moving), runs the command on it
in a process of its own, checks the output, and prints the share of each stage and the peak memory,
for a short and a long clip.

    python examples/benchmarks/pipeline.py [--model NAME] [--seconds 15 60]
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data

RATE = 25
STAGES = ("decode", "detect", "deblur", "paste", "encode")


def make_clip(path: Path, seconds: int) -> int:
    """Write a clip of so many seconds; the number of its frames comes back."""
    photo = data.astronaut()
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for i in range(seconds * RATE):
            shift = np.array([[1, 0, 40 * np.sin(i / 25)], [0, 1, 30 * np.sin(i / 40)]])
            image = cv2.warpAffine(photo, shift, (512, 512), borderMode=cv2.BORDER_REFLECT)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return seconds * RATE


def check(source: Path, target: Path, frames: int) -> None:
    """Stop if the output lost a frame, or differs away from the face."""
    count = 0
    with av.open(source) as a, av.open(target) as b:
        for one, two in zip(a.decode(video=0), b.decode(video=0), strict=True):
            count += 1
            if count % 50 == 1:
                edges = [f.to_ndarray(format="gray")[400:].astype(int) for f in (one, two)]
                worst = np.abs(edges[0] - edges[1]).mean()
                if worst > 2:
                    sys.exit(f"frame {count} differs by {worst:.1f} levels away from the face")
    if count != frames:
        sys.exit(f"{frames} frames went in, {count} came out")


def run(source: Path, target: Path, model: str) -> tuple[dict, float]:
    """Deblur in a child process; its report and peak memory in MiB come back."""
    report = target.with_suffix(".json")
    command = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(target)]
    command += ["--model", model, "--report", str(report), "--quiet", "--overwrite"]
    command += ["--gate", "off"]  # the astronaut is sharp
    measure = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    wrapped = [sys.executable, "-c", measure, *command]
    output = subprocess.run(wrapped, check=True, capture_output=True, text=True).stdout
    unit = 1024 if platform.system() == "Linux" else 1024**2
    return json.loads(report.read_text()), int(output) / unit


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="deblurgan")
    parser.add_argument("--seconds", type=int, nargs="+", default=[15, 60])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warm = folder / "warm.mp4"
        make_clip(warm, 1)
        run(warm, folder / "warm-out.mp4", args.model)  # engines are prepared once
        for seconds in args.seconds:
            source, target = folder / f"{seconds}.mp4", folder / f"{seconds}-out.mp4"
            frames = make_clip(source, seconds)
            report, peak = run(source, target, args.model)
            check(source, target, frames)
            stages = report["runs"][0]["stages"]
            total = sum(stages[stage]["mean"] for stage in STAGES)
            parts = [f"{stage} {stages[stage]['mean'] / total:.1%}" for stage in STAGES]
            print(
                f"{args.model}, 512x512, {seconds} s, {frames} frames,"
                f" {report['summary']['faces']} faces: {report['summary']['fps']:.1f} fps,"
                f" peak {peak:.0f} MiB\n  share of a frame's work: {', '.join(parts)}"
            )


if __name__ == "__main__":
    main()
