"""Pictures as they are kept and shown: in 8 bits, and as PNG."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vidfacedeblur.types import ByteImage, FloatImage
from vidfacedeblur.whole import whole_file


def as_bytes(image: FloatImage) -> ByteImage:
    """Round an image in [0, 1] to 8 bits."""
    return np.clip(np.rint(255 * image), 0, 255).astype(np.uint8)


def save_png(path: Path, image: FloatImage) -> None:
    """Write an (H, W, 3) RGB image in [0, 1] as PNG.

    The file appears whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(as_bytes(image), cv2.COLOR_RGB2BGR))
    with whole_file(path, "wb") as file:
        file.write(data.tobytes())
