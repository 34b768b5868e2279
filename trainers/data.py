"""Faces to train on: read from a folder with a manifest, cut as the pipeline cuts, and packed.

A pack is a NumPy ``.npz`` of JPEG pictures, all squares of one size: compact enough to travel,
decoded once into memory. Splits are by identity and come with the manifest, so no person is on two
sides.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidfacedeblur.errors import InputError
from vidfacedeblur.faces import MARGIN
from vidfacedeblur.types import Box, ByteImage

PACK_SIDE = 144
"""Side of a packed face in pixels."""
CROP_SIDE = 128
"""Side of the pipeline's crop within a packed face; the rest is room for the blur."""
PACK_MARGIN = ((1 + 2 * MARGIN) * PACK_SIDE / CROP_SIDE - 1) / 2
"""Margin of a packed face, as a share of the box's longer side."""
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class ManifestRow:
    """One picture of a data set."""

    path: Path
    name: str
    """Path relative to the data set."""
    identity: str
    split: str
    """``train``, ``val`` or ``test``."""


def read_manifest(folder: Path) -> list[ManifestRow]:
    """Read ``manifest.csv`` with the columns file, identity and split.

    Raises:
        InputError: The file is missing or lacks a column.
    """
    path = folder / "manifest.csv"
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    missing = {"file", "identity", "split"} - set(rows[0] if rows else ())
    if missing:
        raise InputError(f"{path} lacks the column(s) {', '.join(sorted(missing))}")
    return [ManifestRow(folder / r["file"], r["file"], r["identity"], r["split"]) for r in rows]


def read_picture(path: Path) -> ByteImage:
    """Decode one picture file to (H, W, 3) RGB.

    Raises:
        InputError: The file cannot be decoded.
    """
    try:
        with av.open(path) as container:
            frame = next(container.decode(video=0))
            return np.asarray(frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, StopIteration, IndexError) as error:
        raise InputError(f"cannot decode {path}: {error}") from error


def cut_square(picture: ByteImage, square: Box, side: int) -> ByteImage:
    """Resample a square of the picture to (side, side, 3), reflecting at the picture's edges.

    Shrinks by area averaging, so that detail finer than a pixel does not alias.
    """
    x0, y0 = round(square.x0), round(square.y0)
    length = max(2, round(square.width))
    height, width = picture.shape[:2]
    left, top = max(0, -x0), max(0, -y0)
    right, bottom = max(0, x0 + length - width), max(0, y0 + length - height)
    inside = picture[max(0, y0) : y0 + length, max(0, x0) : x0 + length]
    if left or top or right or bottom:
        edges = (top, bottom, left, right)
        inside = np.asarray(cv2.copyMakeBorder(inside, *edges, cv2.BORDER_REFLECT), np.uint8)
    how = cv2.INTER_AREA if length >= side else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(inside, (side, side), interpolation=how), np.uint8)


@dataclass(frozen=True)
class PackedFace:
    """A face ready for a pack."""

    image: ByteImage
    name: str
    identity: str
    split: str


def write_pack(path: Path, faces: Sequence[PackedFace]) -> None:
    """Write faces, all of one size, to a pack."""
    encoded = [_encode(face.image) for face in faces]
    with path.open("wb") as file:
        np.savez(
            file,
            jpeg=np.concatenate(encoded) if encoded else np.zeros(0, np.uint8),
            length=np.array([len(data) for data in encoded], np.int64),
            name=np.array([face.name for face in faces]),
            identity=np.array([face.identity for face in faces]),
            split=np.array([face.split for face in faces]),
        )


def _encode(image: ByteImage) -> NDArray[np.uint8]:
    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x111111]
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return np.asarray(data, np.uint8)


def _decode(jpeg: NDArray[np.uint8]) -> ByteImage:
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError("a face in the pack is damaged; make the pack again with 'prepare'")
    return np.asarray(image, np.uint8)


def load_pack(path: Path, split: str) -> Tensor:
    """Load one split of a pack as (N, 3, side, side) uint8 RGB.

    Raises:
        InputError: The file is no pack, or has no face of that split.
    """
    try:
        with np.load(path, allow_pickle=False) as pack:
            jpeg, lengths, splits = pack["jpeg"], pack["length"], pack["split"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is not a pack of faces; make one with 'prepare'") from error
    ends = np.cumsum(lengths)
    images = [
        _decode(jpeg[end - length : end])
        for end, length, side in zip(ends, lengths, splits, strict=True)
        if side == split
    ]
    if not images:
        raise InputError(f"{path} has no face of the split {split!r}")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def pack_faces(
    rows: Sequence[ManifestRow], find: Callable[[ByteImage], Box | None]
) -> Iterator[PackedFace | None]:
    """Cut the face of each picture; None for a picture in which `find` finds none.

    Args:
        rows: The pictures.
        find: Returns the square to cut, in pixels, with `PACK_MARGIN` around the face.
    """
    for row in rows:
        picture = read_picture(row.path)
        square = find(picture)
        if square is None:
            yield None
        else:
            image = cut_square(picture, square, PACK_SIDE)
            yield PackedFace(image, row.name, row.identity, row.split)
