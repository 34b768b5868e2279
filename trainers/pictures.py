"""Writing pictures of results."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidfacedeblur.types import FloatImage


def save_png(path: Path, image: FloatImage) -> None:
    """Write an (H, W, 3) RGB image in [0, 1] as PNG."""
    levels = np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)
    _, data = cv2.imencode(".png", cv2.cvtColor(levels, cv2.COLOR_RGB2BGR))
    path.write_bytes(data.tobytes())
