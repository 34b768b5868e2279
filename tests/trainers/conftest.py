"""A tiny pack of faces and a tiny recipe, for everything that trains."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from vidfacedeblur.trainers.pack import PACK_SIDE, PackedFace, write_pack


@pytest.fixture(scope="session")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sharp and four averaged cuts of one photo, as twelve identities."""
    photo = data.astronaut()
    faces = []
    for i in range(16):
        x, y = 120 + 8 * (i % 4), 10 + 8 * (i // 4)
        image = np.ascontiguousarray(photo[y : y + PACK_SIDE, x : x + PACK_SIDE])
        blurred = cv2.blur(image, (7, 1)) if i >= 12 else None
        split = "val" if i % 4 == 3 else "train"
        faces.append(PackedFace(image, f"{i}.jpg", f"person {i}", split, blurred))
    path = tmp_path_factory.mktemp("pack") / "faces.npz"
    write_pack(path, faces)
    return path
