"""What detection costs: milliseconds a picture by network, at two sizes and two smallest faces.

First checks that the boxes are facenet-pytorch's (`tests/faces/reference_boxes.json`), then times.
Processor time is given beside wall time, since it says the same on a busy machine; engines whose
idle threads spin (torch) want ``OMP_NUM_THREADS=1``.

    python examples/benchmarks/detection.py [--engine openvino] [--picture FILE] [--facenet]
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.engines import choose
from vidfacedeblur.faces import MtcnnDetector, open_detector
from vidfacedeblur.types import Network

FACES_TESTS = Path(__file__).resolve().parents[2] / "tests" / "faces"
sys.path.insert(0, str(FACES_TESTS))
NETS = ("pnet", "rnet", "onet")


class Timed:
    """A network that adds up the processor time of its calls, in milliseconds."""

    def __init__(self, network: Network, name: str, spent: dict[str, float]) -> None:
        self.engine, self.device = network.engine, network.device
        self._network, self._name, self._spent = network, name, spent

    def __call__(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        begin = time.process_time()
        result = self._network(batch)
        self._spent[self._name] += 1e3 * (time.process_time() - begin)
        return result

    def close(self) -> None:
        self._network.close()


def check(detector: MtcnnDetector) -> None:
    """Stop unless the boxes are the stored ones."""
    from pictures import PICTURES

    known = json.loads((FACES_TESTS / "reference_boxes.json").read_text())
    for name, (make, min_face) in PICTURES.items():
        found = [face.box for face in detector.detect(make(), min_face=min_face, min_score=0)]
        boxes = [face["box"] for face in known[name]]
        same = len(found) == len(boxes) and np.allclose(found, boxes, rtol=0, atol=0.02)
        if not same:
            sys.exit(f"{name}: the boxes are not the stored ones")
    print(f"boxes equal the stored ones in {len(PICTURES)} pictures")


def picture(path: Path | None) -> NDArray[np.uint8]:
    """The first frame of a file, or a crowd made from scikit-image's astronaut."""
    if path is None:
        from pictures import crowd

        return crowd()
    with av.open(path) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def timed(run: Callable[[], int], repeats: int) -> tuple[int, float, float, float]:
    """What a call gives; median and 95th percentile of its wall time, median processor time."""
    result = run()  # prepares the shapes
    wall, busy = [], []
    for _ in range(repeats):
        begin, used = time.perf_counter(), time.process_time()
        run()
        wall.append(1e3 * (time.perf_counter() - begin))
        busy.append(1e3 * (time.process_time() - used))
    return result, float(np.median(wall)), float(np.percentile(wall, 95)), float(np.median(busy))


def facenet(image: NDArray[np.uint8], min_face: int) -> Callable[[], int]:
    """The same by facenet-pytorch itself."""
    from make_reference_boxes import facenet_detector

    mtcnn = facenet_detector()(keep_all=True, min_face_size=min_face, device="cpu")

    def run() -> int:
        boxes, _ = mtcnn.detect(image)
        return 0 if boxes is None else len(boxes)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--picture", type=Path, help="a video or picture; its first frame is used")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--facenet", action="store_true", help="also time facenet-pytorch")
    args = parser.parse_args()
    spent: dict[str, float] = defaultdict(float)
    choice = choose(args.engine, args.device)
    nets = zip(open_detector(choice).networks, NETS, strict=True)
    detector = MtcnnDetector(*(Timed(net, name, spent) for net, name in nets))
    cv2.setNumThreads(1)
    print(f"{choice.engine} on {choice.device}; {platform.processor() or platform.machine()}")
    check(detector)
    whole = picture(args.picture)
    print("picture    min face | faces | wall median  p95 | CPU: all  pnet  rnet  onet  rest | ms")
    for size in ((640, 480), (1280, 720)):
        image = np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
        for least in (20, 40):
            spent.clear()

            def run(image: NDArray[np.uint8] = image, least: int = least) -> int:
                return len(detector.detect(image, min_face=least, min_score=0.7))

            faces, median, p95, busy = timed(run, args.repeats)
            each = [spent[name] / (args.repeats + 1) for name in NETS]
            parts = "".join(f"{ms:6.1f}" for ms in (*each, max(0.0, busy - sum(each))))
            where = f"{size[0]}x{size[1]}"
            print(
                f"{where:10} {least:8} | {faces:5} | {median:11.1f}{p95:6.1f} |{busy:9.1f}{parts}"
            )
            if args.facenet:
                faces, median, p95, busy = timed(facenet(image, least), args.repeats)
                print(f"  facenet-pytorch   | {faces:5} | {median:11.1f}{p95:6.1f} |{busy:9.1f}")


if __name__ == "__main__":
    main()
