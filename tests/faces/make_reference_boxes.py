"""Writes `reference_boxes.json`: what facenet-pytorch 2.5.3's own MTCNN finds in `pictures.py`.

    python tests/faces/make_reference_boxes.py

Beside the benchmarks this is the only place that imports facenet_pytorch. That needs torchvision,
which does not work beside a CPU build of torch, and requests, which is not needed; empty modules
stand in for both. The non-maximum suppression here does what torchvision's does: greedy, equal
scores in their order, boxes without an extra pixel.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).parent))
from pictures import PICTURES

STAND_INS = (
    "torchvision",
    "torchvision.ops",
    "torchvision.ops.boxes",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "requests",
    "requests.adapters",
)
RESULT = Path(__file__).with_name("reference_boxes.json")


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Stand in for `torchvision.ops.nms`."""
    x0, y0, x1, y1 = boxes.numpy().T
    area = (x1 - x0) * (y1 - y0)
    order = np.argsort(-scores.numpy(), kind="stable")
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        width = np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest])
        height = np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest])
        common = np.clip(width, 0, None) * np.clip(height, 0, None)
        order = rest[common / (area[best] + area[rest] - common) <= threshold]
    return torch.tensor(np.array(kept, np.int64))


def batched_nms(boxes: Tensor, scores: Tensor, pictures: Tensor, threshold: float) -> Tensor:
    """Stand in for `torchvision.ops.batched_nms`, for one picture."""
    assert not pictures.any()
    return nms(boxes, scores, threshold)


def facenet_detector() -> Any:
    """The class `facenet_pytorch.MTCNN`."""
    modules: dict[str, Any] = {name: ModuleType(name) for name in STAND_INS}
    modules["torchvision.ops.boxes"].batched_nms = batched_nms
    modules["torchvision.transforms"].functional = modules["torchvision.transforms.functional"]
    modules["torchvision.transforms"].Compose = None
    modules["torchvision.transforms.functional"].to_tensor = None
    modules["requests.adapters"].HTTPAdapter = None
    sys.modules.update(modules)
    return import_module("facenet_pytorch.models.mtcnn").MTCNN


def main() -> None:
    mtcnn = facenet_detector()
    found = {}
    for name, (make, min_face) in PICTURES.items():
        detector = mtcnn(keep_all=True, min_face_size=min_face, device="cpu")
        boxes, scores, points = detector.detect(make(), landmarks=True)
        count = 0 if boxes is None else len(boxes)
        found[name] = [
            {
                "box": [round(float(v), 4) for v in boxes[i]],
                "score": round(float(scores[i]), 6),
                "landmarks": [[round(float(v), 4) for v in point] for point in points[i]],
            }
            for i in range(count)
        ]
        print(f"{name}: {count} faces")
    RESULT.write_text(json.dumps(found, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
