"""A file of what was gathered of some frames, so that another process can go on with it.

It is NumPy's npz: the pictures and looks as arrays, and all else as JSON. No code is in it, nor is
any run when it is read.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from vidfacedeblur.best.gather import Gathered, Track
from vidfacedeblur.best.quality import Quality
from vidfacedeblur.best.shots import Picture, Shot
from vidfacedeblur.errors import PieceError
from vidfacedeblur.faces import face_of, face_values
from vidfacedeblur.types import Box, Region

_VERSION = 1
_PLAIN = ("index", "pts", "time", "wall")
Arrays = dict[str, NDArray[Any]]


def dump(gathered: Gathered, file: IO[bytes], *, piece: str, most: int) -> None:
    """Write what was gathered.

    Args:
        gathered: Is only read.
        file: Open and empty.
        piece: Says which frames these were.
        most: Shots of each track that were wanted.
    """
    arrays: Arrays = {}
    tracks = [_track_values(track, f"{n}", arrays) for n, track in enumerate(gathered.tracks)]
    about = {"version": _VERSION, "piece": piece, "most": most, "tracks": tracks}
    about |= {"frames": gathered.frames, "end": gathered.end}
    arrays["about"] = np.frombuffer(json.dumps(about).encode("ascii"), np.uint8)
    np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, *, piece: str, most: int) -> Gathered:
    """Read what `dump` wrote of a piece, where no fewer shots were wanted than now.

    Raises:
        PieceError: It is not there, not whole, or of other frames.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            about = json.loads(arrays["about"].tobytes())
            same = (about["version"], about["piece"]) == (_VERSION, piece)
            if same and about["most"] >= most:
                tracks = [_track_of(v, f"{n}", arrays) for n, v in enumerate(about["tracks"])]
                return Gathered(about["frames"], about["end"], tracks)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise PieceError(f"{path} is not there, not whole, or was altered") from error
    raise PieceError(f"{path} was made of other frames, or for fewer pictures")


def _track_values(track: Track, name: str, arrays: Arrays) -> dict[str, Any]:
    if track.looks:
        arrays[f"{name}-looks"] = np.stack(track.looks)
    shots = [_shot_values(shot, f"{name}-{n}", arrays) for n, shot in enumerate(track.shots)]
    values = {"numbers": track.numbers, "first": track.first, "last": track.last}
    values |= {"first_box": [*map(float, track.first_box)]}
    values |= {"last_box": [*map(float, track.last_box)]}
    return values | {"frames": track.frames, "shots": shots}


def _track_of(values: dict[str, Any], name: str, arrays: Any) -> Track:
    key = f"{name}-looks"
    return Track(
        values["numbers"],
        values["first"],
        values["last"],
        Box(*values["first_box"]),
        Box(*values["last_box"]),
        values["frames"],
        [_shot_of(shot, f"{name}-{n}", arrays) for n, shot in enumerate(values["shots"])],
        [*arrays[key]] if key in arrays else [],
    )


def _shot_values(shot: Shot, name: str, arrays: Arrays) -> dict[str, Any]:
    picture = shot.picture
    assert picture is not None
    arrays[f"{name}-restored"], arrays[f"{name}-original"] = picture.restored, picture.original
    return {
        "face": face_values(shot.face),
        "quality": {key: float(value) for key, value in asdict(shot.quality).items()},
        "moment": shot.moment,
        "region": [int(value) for value in picture.region],
        **{key: getattr(picture, key) for key in _PLAIN},
    }


def _shot_of(values: dict[str, Any], name: str, arrays: Any) -> Shot:
    picture = Picture(
        **{key: values[key] for key in _PLAIN},
        region=Region(*values["region"]),
        restored=arrays[f"{name}-restored"],
        original=arrays[f"{name}-original"],
    )
    face, quality = face_of(values["face"]), Quality(**values["quality"])
    return Shot(face, quality, values["moment"], picture)
