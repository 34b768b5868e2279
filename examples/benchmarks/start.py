"""What a start costs: a new process imports the package, opens a pipeline and deblurs one crop.

Both engines of the CPU, their networks prepared before; with ``--first``, from an empty cache too.

    python examples/benchmarks/start.py [--model deblurgan] [--repeats 5] [--first]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

_CHILD = """
import json, resource, sys, time
begin = time.perf_counter()
import numpy as np
from vidfacedeblur import FaceDeblurPipeline
with FaceDeblurPipeline(sys.argv[1], engine=sys.argv[2]) as pipeline:
    crop = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), np.uint8)
    assert not np.array_equal(pipeline.deblur_faces(crop), crop)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({
        "seconds": time.perf_counter() - begin,
        "cpu": used.ru_utime + used.ru_stime,
        "mib": used.ru_maxrss / 1024,
        "torch": "torch" in sys.modules,
    }))
"""


def start(model: str, engine: str, **environment: str) -> dict[str, float]:
    """Start once; how long it took, in seconds and seconds of CPU time, and its memory in MiB."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, model, engine],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr.strip().splitlines()[-1])
    found: dict[str, float] = json.loads(done.stdout)
    return found


def told(what: str, starts: Sequence[dict[str, float]]) -> str:
    """A line of medians."""
    seconds, cpu, mib = (statistics.median(s[k] for s in starts) for k in ("seconds", "cpu", "mib"))
    torch = "with torch" if starts[-1]["torch"] else "without torch"
    return f"{what}: {seconds:.2f} s, {cpu:.2f} s of CPU time, {mib:.0f} MiB, {torch}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="deblurgan")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--first", action="store_true")
    args = parser.parse_args(argv)
    engines = ("openvino", "torch")
    for engine in engines:
        start(args.model, engine)
    # In turns, so that a busy moment of the machine counts for both.
    starts = [[start(args.model, engine) for engine in engines] for _ in range(args.repeats)]
    for engine, measured in zip(engines, zip(*starts, strict=True), strict=True):
        sys.stdout.write(told(f"{args.model}, {engine}", measured) + "\n")
    if args.first:
        with tempfile.TemporaryDirectory() as cache:
            first = start(args.model, "openvino", VIDFACEDEBLUR_CACHE=cache)
        sys.stdout.write(told(f"{args.model}, openvino for the first time", [first]) + "\n")


if __name__ == "__main__":
    main()
