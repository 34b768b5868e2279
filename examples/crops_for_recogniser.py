"""Crops only, in front of a recogniser: no video, no frames, just faces that somebody cut out.

    python examples/crops_for_recogniser.py [PICTURE...] [--model deblurganv2] [--side 112]

Every picture is taken for one face; without any, it is that of scikit-image's astronaut. It is
blurred as by a moving head, deblurred, and compared with the sharp one by a stand-in for a
recogniser: put your own network's embedding there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import data
from skimage.io import imread
from skimage.util import img_as_ubyte

from vidfacedeblur import FaceDeblurPipeline, VidFaceDeblurError

Image = NDArray[np.uint8]
Crops = NDArray[np.uint8]
"""(N, S, S, 3) RGB."""


def read(paths: Sequence[Path]) -> dict[str, Image]:
    """Pictures of faces by name, (H, W, 3) RGB: the astronaut's where none is given."""
    if not paths:
        return {"astronaut": data.astronaut()[47:207, 143:303]}
    return {str(path): _rgb(imread(path)) for path in paths}


def _rgb(image: NDArray[Any]) -> Image:
    image = img_as_ubyte(image)  # of whatever depth
    if image.ndim == 2 or image.shape[-1] == 2:  # grey, maybe with alpha
        image = np.stack([image if image.ndim == 2 else image[..., 0]] * 3, axis=-1)
    return image[..., :3]


def squares(images: Iterable[Image], side: int) -> Crops:
    """The pictures' middle squares, all of one size."""
    crops = []
    for image in images:
        size = min(image.shape[:2])
        top, left = (image.shape[0] - size) // 2, (image.shape[1] - size) // 2
        square = np.ascontiguousarray(image[top : top + size, left : left + size])
        crops.append(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return np.stack(crops).astype(np.uint8)


def blurred(crops: Crops, length: int) -> Crops:
    """As a camera sees them while they move by so many pixels."""
    kernel = np.full((1, length), 1 / length, np.float32)
    return np.stack([cv2.filter2D(crop, -1, kernel) for crop in crops]).astype(np.uint8)


def embeddings(crops: Crops) -> NDArray[np.float32]:
    """Stands in for a recogniser's network: gradients on a coarse grid, (N, D), of length 1."""
    grey = crops.mean(axis=-1, dtype=np.float32)
    parts = []
    for axis in (1, 2):
        strength = np.abs(np.diff(grey, axis=axis, append=0))
        small = [cv2.resize(one, (14, 14), interpolation=cv2.INTER_AREA) for one in strength]
        parts.append(np.stack(small).reshape(len(crops), -1))
    vectors = np.concatenate(parts, axis=1)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-6), np.float32)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pictures", type=Path, nargs="*")
    parser.add_argument("--model", default="deblurganv2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--side", type=int, default=112)
    parser.add_argument("--blur", type=int, default=9, help="pixels")
    args = parser.parse_args(argv)
    if args.side < 32 or args.blur < 1:
        parser.error("--side must be 32 or more, --blur 1 or more")
    pictures = read(args.pictures)
    sharp = squares(pictures.values(), args.side)
    seen = blurred(sharp, args.blur)
    with FaceDeblurPipeline(args.model, weights=args.weights) as pipeline:
        restored = pipeline.deblur_faces(seen)  # one batch; the engine splits it as it likes
    true = embeddings(sharp)
    before, after = ((true * embeddings(crops)).sum(axis=1) for crops in (seen, restored))
    for name, old, new in zip(pictures, before, after, strict=True):
        print(f"{name}: similarity to the sharp face {old:.3f} blurred, {new:.3f} deblurred")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VidFaceDeblurError, OSError) as error:
        sys.exit(f"crops_for_recogniser: {error}")
