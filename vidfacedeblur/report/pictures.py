"""The best pictures of faces, as `best.files` wrote them, made small enough for a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidfacedeblur.types import ByteImage

SHOWN = 60
"""Tracks whose faces are on a page."""
_SIDE = 480
"""Pixels of a picture's side, at most; no page shows it larger."""
_LOSSLESS = 2 << 20
"""Bytes of pictures up to which they are kept as they are."""
_MOST = 6 << 20
"""Bytes of pictures at which no second or third one of a track is added."""
_QUALITY = 90
_WITHOUT_LOSS = 101
"""To OpenCV, a WebP quality above 100."""


@dataclass(frozen=True)
class Shot:
    """A picture of a face, ready for a page."""

    about: dict[str, Any]
    """What its JSON file says."""
    side: int
    """Pixels of the pictures on the page."""
    after: str
    """A data URI."""
    before: str | None
    """A data URI; None where the face was left as it was."""


@dataclass
class FaceShots:
    """The pictures of one face, best first."""

    stem: str
    """What its files' names begin with."""
    paths: list[Path]
    """Their JSON files."""
    value: float
    """How good the best one is."""
    shots: list[Shot] = field(default_factory=list)


def load(folder: Path) -> tuple[list[FaceShots], int]:
    """The best faces of a folder, in the order in which they came, and how many there are.

    Where there are more than `SHOWN`, those with the best pictures are taken. What cannot be read
    is left out.
    """
    found = sorted(_faces(folder), key=lambda face: -face.value)
    chosen = sorted(found[:SHOWN], key=lambda face: face.stem)
    spent = 0
    for rank in range(max((len(face.paths) for face in chosen), default=0)):
        for face in chosen:
            if rank < len(face.paths) and (rank == 0 or spent < _MOST):
                with suppress(OSError, ValueError, KeyError):
                    shot = _shot(face.paths[rank], lossless=spent < _LOSSLESS)
                    face.shots.append(shot)
                    spent += len(shot.after) + len(shot.before or "")
    return [face for face in chosen if face.shots], len(found)


def prune(folder: Path) -> None:
    """Remove pictures that no page will show, from a folder whose pictures are for a page only."""
    found = sorted(_faces(folder), key=lambda face: -face.value)
    for face in found[SHOWN:]:
        for path in folder.glob(f"{face.stem}-*"):
            path.unlink(missing_ok=True)


def _faces(folder: Path) -> Iterator[FaceShots]:
    for path in sorted(folder.glob("track-*-1.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            value = float(json.loads(path.read_bytes())["quality"]["value"])
            stem = path.name.removesuffix("-1.json")
            yield FaceShots(stem, [path, *_others(folder, stem)], value)


def _others(folder: Path, stem: str) -> Iterable[Path]:
    rank = 2
    while (path := folder / f"{stem}-{rank}.json").exists():
        yield path
        rank += 1


def _shot(path: Path, *, lossless: bool) -> Shot:
    """Read a picture, and the original beside it.

    Raises:
        OSError: One of its files cannot be read.
        ValueError: One of them is not what it should be.
    """
    about = json.loads(path.read_bytes())
    after = _read(path.with_suffix(".png"))
    quality = _WITHOUT_LOSS if lossless else _QUALITY
    before = None
    if about["deblurred"]:
        before = _uri(_read(path.with_name(path.stem + "-original.png")), quality)
    return Shot(about, min(_SIDE, len(after)), _uri(after, quality), before)


def _read(path: Path) -> ByteImage:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"{path} is no picture")
    return image.astype(np.uint8, copy=False)


def _uri(image: ByteImage, quality: int) -> str:
    side = len(image)
    if side > _SIDE:
        size = (max(1, image.shape[1] * _SIDE // side), _SIDE)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    _, encoded = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, quality])
    return "data:image/webp;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
