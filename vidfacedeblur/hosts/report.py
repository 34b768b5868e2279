"""What is told of a frame to programs that know nothing of this package: JSON."""

from __future__ import annotations

import json
from typing import Any

from vidfacedeblur.types import STAGES, Face, FrameResult


def as_json(result: FrameResult) -> str:
    """A frame's faces, and the milliseconds that it cost by stage, as one line of JSON."""
    timing = {name: round(getattr(result.timing, name), 3) for name in (*STAGES, "total")}
    return json.dumps({"faces": [_values(face) for face in result.faces], "timing": timing})


def _values(face: Face) -> dict[str, Any]:
    return {
        "box": [round(value, 2) for value in face.box],
        "score": _short(face.score),
        "track": face.track,
        "landmarks": face.landmarks and [[round(x, 2), round(y, 2)] for x, y in face.landmarks],
        "sharpness": _short(face.sharpness),
        "sharpness_after": _short(face.sharpness_after),
        "weight": _short(face.weight),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
