"""Packs: faces ready to train on, in one compact file that loads fast and travels well.

A NumPy ``.npz`` of WebP pictures, all squares of one size. A face is either sharp, to be blurred on
the fly, or comes with a blurred partner that was averaged from frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vidfacedeblur.errors import InputError
from vidfacedeblur.faces import MARGIN
from vidfacedeblur.trainers.names import QUALITY
from vidfacedeblur.trainers.split import Split
from vidfacedeblur.types import ByteImage
from vidfacedeblur.whole import whole_file

PACK_SIDE = 144
"""Side of a packed face in pixels."""
CROP_SIDE = 128
"""Side of the pipeline's crop within a packed face; the rest is room for the blur."""
PACK_MARGIN = ((1 + 2 * MARGIN) * PACK_SIDE / CROP_SIDE - 1) / 2
"""Margin of a packed face, as a share of the box's longer side."""


@dataclass(frozen=True)
class PackedFace:
    """A face ready for a pack."""

    sharp: ByteImage
    name: str
    identity: str
    split: Split
    blurred: ByteImage | None = None
    """Averaged from frames of which `sharp` is the middle one."""


@dataclass(frozen=True)
class Faces:
    """One split of a pack, decoded: uint8 RGB."""

    stills: Tensor
    """(N, 3, side, side), sharp."""
    sharp: Tensor
    """(M, 3, side, side), the sharp partners of `blurred`; M may be 0."""
    blurred: Tensor


@dataclass
class Contents:
    """What went into a pack."""

    names: list[str] = field(default_factory=list)
    identities: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    averaged: int = 0
    """Faces with a blurred partner."""


def write_pack(path: Path, faces: Iterable[PackedFace], *, quality: int = QUALITY) -> Contents:
    """Write faces, all of one size, to a pack; it appears whole or not at all.

    Args:
        path: The file.
        faces: What to pack; each is compressed as it comes, since memory does not hold all of a
            large data set as they are.
        quality: WebP's, 1 to 100.

    Raises:
        OutputError: The file cannot be written.
    """
    nothing = np.zeros(0, np.uint8)
    contents, sharp, blurred = Contents(), [nothing], [nothing]
    for face in faces:
        sharp.append(_encode(face.sharp, quality))
        blurred.append(nothing if face.blurred is None else _encode(face.blurred, quality))
        contents.names.append(face.name)
        contents.identities.append(face.identity)
        contents.splits.append(face.split)
        contents.averaged += face.blurred is not None
    with whole_file(path, "wb") as file:
        np.savez(
            file,
            webp=np.concatenate(sharp),
            length=np.array([len(data) for data in sharp[1:]], np.int64),
            blurred_webp=np.concatenate(blurred),
            blurred_length=np.array([len(data) for data in blurred[1:]], np.int64),
            name=np.array(contents.names),
            identity=np.array(contents.identities),
            split=np.array(contents.splits),
        )
    return contents


def load_pack(path: Path, split: Split) -> Faces:
    """Load one split of a pack.

    Raises:
        InputError: The file is missing or no pack, or has no face of that split.
    """
    splits, all_pictures, all_partners = _read(path)
    mine = _of(splits, split, path)
    pictures, partners = [all_pictures[n] for n in mine], [all_partners[n] for n in mine]
    averaged = [n for n, partner in enumerate(partners) if len(partner)]
    stills = [n for n, partner in enumerate(partners) if not len(partner)]
    return Faces(
        stills=_decoded([pictures[n] for n in stills]),
        sharp=_decoded([pictures[n] for n in averaged]),
        blurred=_decoded([partners[n] for n in averaged]),
    )


def check_pack(path: Path, *needed: Split) -> None:
    """Raise what `load_pack` would of any of these splits, but for a damaged picture."""
    splits, _, _ = _read(path)
    for split in needed:
        _of(splits, split, path)


_Pictures = list[NDArray[np.uint8]]


def _read(path: Path) -> tuple[NDArray[np.str_], _Pictures, _Pictures]:
    """The side of each face, the encoded face, and its blurred partner, empty if there is none."""
    if not path.is_file():
        raise InputError(f"there is no pack of faces {path}; make one with 'prepare'")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as pack:
            splits = pack["split"]
            pictures = _slices(pack["webp"], pack["length"])
            partners = _slices(pack["blurred_webp"], pack["blurred_length"])
    except Exception as error:  # NumPy and zipfile raise ten kinds for one damaged byte
        raise InputError(f"{path} is not a pack of faces; make one with 'prepare'") from error
    return splits, pictures, partners


def _of(splits: NDArray[np.str_], split: Split, path: Path) -> NDArray[np.int64]:
    """Numbers of the faces of a split."""
    mine = np.flatnonzero(splits == split)
    if not len(mine):
        raise InputError(f"{path} has no face of the split {split!r}")
    return mine


def _slices(data: NDArray[np.uint8], lengths: NDArray[np.int64]) -> _Pictures:
    return np.split(data, np.cumsum(lengths)[:-1]) if len(lengths) else []


def _encode(image: ByteImage, quality: int) -> NDArray[np.uint8]:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".webp", bgr, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return np.asarray(data, np.uint8)


def _decoded(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """(N, 3, side, side) of N pictures."""
    if not pictures:
        return torch.zeros((0, 3, PACK_SIDE, PACK_SIDE), dtype=torch.uint8)
    first = _decoded_one(pictures[0])
    images = torch.empty((len(pictures), 3, *first.shape[:2]), dtype=torch.uint8)
    for image, data in zip(images, pictures, strict=True):
        image.copy_(torch.from_numpy(_decoded_one(data)).permute(2, 0, 1))
    return images


def _decoded_one(data: NDArray[np.uint8]) -> ByteImage:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise InputError("a face in the pack is damaged; make the pack again with 'prepare'")
    return np.asarray(image, np.uint8)
