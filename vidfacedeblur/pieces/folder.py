"""The folder in which the steps of a video in pieces leave their files.

``piece-00007.plan`` says what is to be done, ``piece-00007.packets`` and ``piece-00007.results``
are what came out, ``piece-00007.best`` has the best pictures of its faces where they are wanted,
and ``survey.json`` comes when there will be no more plans.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from vidfacedeblur.errors import OutputError, PieceError
from vidfacedeblur.pieces.lines import LineReader
from vidfacedeblur.video import PacketReader

SURVEY = "survey.json"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PLAN = re.compile(r"piece-(\d{5,})[.]plan")


@dataclass(frozen=True)
class Ready:
    """How far a video in pieces has come."""

    surveyed: tuple[int, ...] = ()
    """Numbers of the pieces that can be worked on, or were."""
    done: tuple[int, ...] = ()
    """Of them, those that need no more work."""
    complete: bool = False
    """There will be no more pieces than those that were surveyed."""

    @property
    def waiting(self) -> tuple[int, ...]:
        """Numbers of the pieces that can be worked on."""
        return tuple(number for number in self.surveyed if number not in set(self.done))


@dataclass(frozen=True)
class PieceFiles:
    """Where the files of a piece are, or will be."""

    folder: Path
    number: int

    @property
    def plan(self) -> Path:
        return self._path("plan")

    @property
    def packets(self) -> Path:
        return self._path("packets")

    @property
    def results(self) -> Path:
        return self._path("results")

    @property
    def best(self) -> Path:
        return self._path("best")

    def are_done(self, meaning: str, *, best: bool = False) -> bool:
        """Whether the work on the plan of this meaning, and none other, is there."""
        if best and not self.best.exists():
            return False
        try:
            with PacketReader(self.packets) as packets, LineReader(self.results) as results:
                same = packets.head["piece"] == results.head["piece"] == meaning
                return bool(same and packets.count == results.end["count"])
        except (OSError, PieceError, KeyError):
            return False

    def clear_work(self) -> None:
        """Remove what came out, so that it is made anew."""
        for path in (self.packets, self.results, self.best):
            path.unlink(missing_ok=True)

    def _path(self, kind: str) -> Path:
        return self.folder / f"piece-{self.number:05d}.{kind}"


def pieces_ready(folder: Path) -> Ready:
    """Which pieces are surveyed, which are done, and whether the survey is complete.

    Only the ends of files are looked at: whether a finished piece was altered shows when it is
    joined. Whether the pieces are of the video and the options at hand is seen by each step.
    """
    done = []
    surveyed = []
    for files in planned(folder):
        with suppress(OSError, PieceError):
            with LineReader(files.plan) as plan:
                meaning = plan.meaning
            surveyed.append(files.number)
            if files.are_done(meaning):
                done.append(files.number)
    return Ready(tuple(surveyed), tuple(done), (folder / SURVEY).exists())


def planned(folder: Path) -> list[PieceFiles]:
    """The pieces that have plans, in order."""
    with suppress(OSError):
        found = (_PLAN.fullmatch(path.name) for path in folder.iterdir())
        return [PieceFiles(folder, n) for n in sorted(int(match[1]) for match in found if match)]
    return []


def clear_others(folder: Path, made: dict[str, Any]) -> None:
    """Remove what belongs to another video, or to other options than those in `made`."""
    for files in planned(folder):
        try:
            with LineReader(files.plan) as plan:
                ours = plan.head.get("made") == made
        except PieceError:
            ours = False
        if not ours:
            files.clear_work()
            files.plan.unlink(missing_ok=True)
    (folder / SURVEY).unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[IO[bytes]]:
    """A file that gets its name when it is whole, and is on the disk then.

    Where two processes write the same, the one that began last does so.

    Raises:
        PieceError: Another process has begun to write it meanwhile.
        OutputError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with _errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        for old in path.parent.glob(f".{path.name}.*.part"):
            old.unlink(missing_ok=True)  # of a process that is gone, or is taken for it
        file = part.open("xb")
    try:
        with file:
            with _errors(path, only=_FULL):
                yield file
            with _errors(path):
                file.flush()
                os.fsync(file.fileno())
        with _errors(path):
            part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


@contextmanager
def _errors(path: Path, only: Container[int] | None = None) -> Iterator[None]:
    """Turn what the system says into one clear line about the file; of some kinds of error only."""
    try:
        yield
    except OSError as error:
        if only is not None and error.errno not in only:
            raise
        if isinstance(error, FileNotFoundError):
            raise PieceError(f"{path} is being written by another process") from error
        raise OutputError(f"{path} cannot be written: {error.strerror}") from error
