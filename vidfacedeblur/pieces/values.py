"""What the files of a video in pieces say, and how: faces, timings, plans and the survey."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from vidfacedeblur.errors import InputError, PieceError
from vidfacedeblur.faces import face_of, face_values
from vidfacedeblur.pieces.folder import SURVEY, writing
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.types import Face, FrameResult, FrameTiming
from vidfacedeblur.video import Look

_VERSION = 2
"""Of the form of all files; a plan of another version is made anew."""


def made_of(
    pipeline: FaceDeblurPipeline, source: Path, target: Path, seconds: float
) -> dict[str, Any]:
    """What pieces were made of, with what: all must be of one kind.

    Raises:
        InputError: The source is not there.
    """
    try:
        state = source.stat()
    except OSError as error:
        raise InputError(f"{source} cannot be read: {error.strerror}") from error
    return {
        "version": _VERSION,
        "size": state.st_size,
        "mtime_ns": state.st_mtime_ns,
        "done": pipeline.provenance(),
        "suffix": target.suffix.lower(),
        "seconds": seconds,
    }


def check_made(made: dict[str, Any], now: dict[str, Any], source: Path) -> None:
    """Make sure that nothing has changed.

    Raises:
        PieceError: The source, the options or the weights have.
    """
    if any(made.get(key) != now[key] for key in ("size", "mtime_ns")):
        raise PieceError(f"{source} has changed since its pieces were begun")
    if made != now:
        raise PieceError(f"the pieces of {source} were begun with other options or weights")


@dataclass(frozen=True)
class PlannedFrame:
    """A frame of a piece, as the survey saw it."""

    look: Look
    duration: int | None
    faces: list[Face]
    decode: float
    """Milliseconds that it took."""
    detect: float

    def line(self) -> tuple[Any, Any]:
        """Values, and what is beside them."""
        faces = [face_values(face) for face in self.faces]
        return [*self.look, self.duration, faces], [self.decode, self.detect]

    @classmethod
    def of(cls, values: Any, beside: Any) -> Self:
        """The frame of a line."""
        *look, duration, faces = values
        return cls(Look(*look), duration, [face_of(face) for face in faces], *beside)


@dataclass(frozen=True)
class PlanHead:
    """What a plan says before its frames."""

    made: dict[str, Any]
    """See `made_of`."""
    index: int
    """The first frame's."""
    start: int
    """Time of the whole video's first frame, in units of `time_base`."""
    time_base: tuple[int, int]


def result_line(result: FrameResult) -> tuple[Any, Any]:
    """A frame's result, but for its picture, as values and what is beside them."""
    faces = [face_values(face) for face in result.faces]
    return [result.index, result.pts, result.corrupt, faces], astuple(result.timing)


def result_of(values: Any, beside: Any, time_base: Fraction) -> FrameResult:
    """The result that `result_line` made these of."""
    index, pts, corrupt, faces = values
    found = tuple(face_of(face) for face in faces)
    return FrameResult(index, pts, time_base, found, FrameTiming(*beside), corrupt=corrupt)


@dataclass(frozen=True)
class Survey:
    """What is known of a video when all of it was surveyed."""

    made: dict[str, Any]
    """What of, and with what."""
    plans: tuple[str, ...]
    """A hash of what each piece's plan means."""
    frames: int
    corrupt_frames: int
    bad_packets: int
    truncated: str | None
    repairs: tuple[str, ...]
    seconds: float
    """How long the survey took."""

    @property
    def pieces(self) -> int:
        """How many there are."""
        return len(self.plans)

    def write(self, folder: Path) -> None:
        """Say that the survey is complete."""
        with writing(folder / SURVEY) as file:
            file.write((json.dumps(asdict(self), indent=1) + "\n").encode("ascii"))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The survey of a folder.

        Raises:
            PieceError: It is not complete.
        """
        try:
            values = json.loads((folder / SURVEY).read_bytes())
            plans, repairs = tuple(values.pop("plans")), tuple(values.pop("repairs"))
            return cls(plans=plans, repairs=repairs, **values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PieceError(f"{folder} holds no complete survey of a video") from error
