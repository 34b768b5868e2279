"""The files of the best faces.

Of track 7, best first: ``track-0007-1.png`` (the face after deblurring, in the picture's own
resolution; the file itself says what was done, where anything was), ``track-0007-1-original.png``
(the same pixels before), and ``track-0007-1.json``, which comes last: where it is, both pictures
are. A track whose number was in use before, because a caller gave it again or its face was not
wanted for a while, is called ``track-0007v2``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import cv2

from vidfacedeblur.best.shots import Shot
from vidfacedeblur.errors import OutputError, OutputExistsError
from vidfacedeblur.events import wall_text
from vidfacedeblur.types import ByteImage
from vidfacedeblur.video.picture_bytes import Extras, with_extras

SCHEMA = 1
"""Version of the JSON files' form; rises when a field changes its meaning or goes."""

_OURS = re.compile(r"[.]?track-\d{4,}(v\d+)?-\d+(-original)?[.](png|json)([.]part)?")


class FaceFiles:
    """Writes the best shots of tracks into a folder, which is made when it is needed.

    Args:
        folder: Where to.
        source: What the video or camera is called.
        provenance: What is said to have been done.
        overwrite: Whether pictures of faces that are there may be removed, by `clear`.

    Raises:
        OutputExistsError: The folder holds such pictures, and they may not be removed.
        OutputError: It cannot be looked into.
    """

    def __init__(
        self, folder: str | Path, *, source: str, provenance: Mapping[str, Any], overwrite: bool
    ) -> None:
        self._folder = Path(folder)
        self._source = source
        self._provenance = dict(provenance)
        self._old = self._found()
        if not overwrite and any(not path.name.startswith(".") for path in self._old):
            raise OutputExistsError(
                f"{folder} holds pictures of faces already; --overwrite replaces them"
            )

    def clear(self) -> None:
        """Remove what was there from the start; nothing happens the second time.

        Raises:
            OutputError: It cannot be removed.
        """
        with self._errors():
            for path in self._old:
                path.unlink(missing_ok=True)
        self._old = []

    def write(self, tracks: Sequence[int], shots: Sequence[Shot]) -> None:
        """Write the shots of a face, best first, which is called by the first of its tracks.

        Raises:
            OutputError: They cannot be written.
        """
        with self._errors():
            self._folder.mkdir(parents=True, exist_ok=True)
            track = tracks[0]
            name, visit = f"track-{track:04d}", 1
            while (self._folder / f"{name}-1.json").exists():
                visit += 1
                name = f"track-{track:04d}v{visit}"
            for rank, shot in enumerate(shots, 1):
                assert shot.picture is not None
                stem = f"{name}-{rank}"
                done = self._provenance | {"frame": shot.picture.index}
                said = json.dumps(done) if shot.face.deblurred else None
                self._put(f"{stem}.png", _png(shot.picture.restored, said))
                self._put(f"{stem}-original.png", _png(shot.picture.original))
                head = {"schema": SCHEMA, "source": self._source}
                head |= {"track": track, "tracks": list(tracks), "visit": visit, "rank": rank}
                about = head | _about(shot) | {"provenance": self._provenance}
                self._put(f"{stem}.json", (json.dumps(about, indent=2) + "\n").encode("ascii"))

    def _found(self) -> list[Path]:
        """What an earlier run left there; of one that was killed, also what is not whole."""
        if not self._folder.exists():
            return []
        with self._errors():
            return sorted(path for path in self._folder.iterdir() if _OURS.fullmatch(path.name))

    def _put(self, name: str, content: bytes) -> None:
        """Make a file that is whole as soon as it has its name."""
        part = self._folder / f".{name}.part"
        try:
            part.write_bytes(content)
            part.replace(self._folder / name)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot write pictures of faces into {self._folder}: {error.strerror}"
            ) from error


def _about(shot: Shot) -> dict[str, Any]:
    """What is said of a picture; points in pixels, (0, 0) the outer corner of the top left."""
    face, picture = shot.face, shot.picture
    assert picture is not None
    corner = (picture.region.x0, picture.region.y0)
    corners = [(face.box.x0, face.box.y0), (face.box.x1, face.box.y1)]
    return {
        "frame": picture.index,
        "pts": picture.pts,
        "time": picture.time,
        "wall": wall_text(picture.wall),
        "region": list(picture.region),
        "box": [*chain.from_iterable(_points(corners))],
        "box_in_crop": [*chain.from_iterable(_points(corners, corner))],
        "landmarks": face.landmarks and _points(face.landmarks),
        "landmarks_in_crop": face.landmarks and _points(face.landmarks, corner),
        "score": face.score,
        "sharpness": face.sharpness,
        "sharpness_after": face.sharpness_after,
        "deblurred": face.deblurred,
        "quality": {"value": shot.quality.value} | asdict(shot.quality),
    }


def _points(
    points: Iterable[tuple[float, float]], origin: tuple[int, int] = (0, 0)
) -> list[list[float]]:
    return [[round(x - origin[0], 2), round(y - origin[1], 2)] for x, y in points]


def _png(image: ByteImage, said: str | None = None) -> bytes:
    _, encoded = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 3])
    return with_extras(encoded.tobytes(), "png", Extras("png"), said)
