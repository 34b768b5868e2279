"""Recording: a file for each stretch of time, named by when it began, playable whatever happens."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from fractions import Fraction
from glob import escape
from itertools import count
from pathlib import Path
from typing import Literal

from vidfacedeblur.errors import OptionError
from vidfacedeblur.live.values import LiveResult, StreamClock
from vidfacedeblur.video import SEGMENTS, StreamWriter, has_picture, output_errors

_log = logging.getLogger(__name__)
_MARK = ".part"


class SegmentWriter:
    """Writes what it is given into `folder`, one file after the other; an output of a session.

    ``NAME-20261125T191556.123Z.part.mkv`` is being written, and loses its ``.part`` when it is
    finished. One that a killed process left is finished when the next one begins to record there.
    A file ends with the connection to the camera, and when the size of the pictures changes.

    Args:
        folder: Made if need be.
        name: Begins the files' names.
        seconds: Length of a file, 1 or more.
        kind: Matroska, or fragmented MP4.
        rate: Frames per second, about.
        crf: Constant rate factor of x264, lower is better.
        preset: x264's.
        tags: For every file, beside the time when it began.

    Raises:
        OptionError: The length or the name is none.
        OutputError: The folder cannot be made or written to.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        name: str = "camera",
        seconds: float = 60.0,
        kind: Literal["mkv", "mp4"] = "mkv",
        rate: Fraction = Fraction(25),
        crf: float = 20.0,
        preset: str = "veryfast",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        if kind not in SEGMENTS:
            raise OptionError(f"segments are mkv or mp4, not {kind!r}")
        if not seconds >= 1:
            raise OptionError(f"a segment must be 1 second or longer, got {seconds:g}")
        if not name or "/" in name or name.startswith("."):
            raise OptionError(f"{name!r} cannot begin the name of a file")
        self.folder = folder = Path(folder)
        self.finished: list[Path] = []
        """The last files that were finished, up to 100."""
        self._name, self._seconds, self._kind = name, seconds, kind
        self._rate, self._crf, self._preset = rate, crf, preset
        self._tags = dict(tags or {})
        self._segment: _Segment | None = None
        self._clock, self._epoch = StreamClock(), 0
        with output_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        for path in recover(folder, name):
            self._note(path)

    def write(self, result: LiveResult) -> None:
        """Take in the next frame.

        Raises:
            OutputError: It cannot be written; what was written before is kept.
        """
        if result.frame.epoch != self._epoch:
            self._epoch, self._clock = result.frame.epoch, StreamClock()
        time = self._clock.time(result)
        if self._segment is not None and not self._segment.takes(result, time, self._seconds):
            self._finish()
        if self._segment is None:
            self._segment = self._new(result, time)
        with output_errors(self._segment.path):
            self._segment.write(result, time)

    def gap(self) -> None:
        """The camera is away: finish the file."""
        self._finish()

    def close(self) -> None:
        """Finish the file."""
        self._finish()

    def _new(self, result: LiveResult, time: Fraction) -> _Segment:
        began = datetime.fromtimestamp(result.frame.wall, UTC)
        stamp = began.strftime("%Y%m%dT%H%M%S.") + f"{began.microsecond // 1000:03d}Z"
        path = self._free(f"{self._name}-{stamp}")
        tags = self._tags | {"creation_time": began.isoformat()}
        with output_errors(path):
            return _Segment(
                path,
                result,
                time,
                lambda part: StreamWriter(
                    str(part),
                    SEGMENTS[self._kind],
                    result.result.image,
                    rate=self._rate,
                    crf=self._crf,
                    preset=self._preset,
                    tags=tags,
                ),
            )

    def _free(self, stem: str) -> Path:
        """A name that no file has, nor one that is being written."""
        for number in count(1):
            path = self.folder / f"{stem}{f'-{number}' if number > 1 else ''}.{self._kind}"
            if not (path.exists() or _part_of(path).exists()):
                return path
        raise AssertionError("numbers never end")

    def _finish(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            with output_errors(segment.path, "completed"):
                kept = segment.finish()
            if kept:
                self._note(segment.path)

    def _note(self, path: Path) -> None:
        self.finished = [*self.finished[-99:], path]
        _log.info("finished %s", path)


def _part_of(path: Path) -> Path:
    return path.with_suffix(_MARK + path.suffix)


class _Segment:
    """One file, locked while it is being written."""

    def __init__(
        self,
        path: Path,
        first: LiveResult,
        begin: Fraction,
        open_writer: Callable[[Path], StreamWriter],
    ) -> None:
        self.path = path
        self._part = _part_of(path)
        self._epoch = first.frame.epoch
        self._size = (first.result.image.width, first.result.image.height)
        self._begin = begin
        self._lock = os.open(self._part, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            self._writer = open_writer(self._part)
        except BaseException:
            self._part.unlink(missing_ok=True)
            os.close(self._lock)
            raise

    def takes(self, result: LiveResult, time: Fraction, seconds: float) -> bool:
        """Whether a frame, taken then, belongs to a file of so many seconds."""
        image = result.result.image
        same = result.frame.epoch == self._epoch and (image.width, image.height) == self._size
        return same and time - self._begin < seconds

    def write(self, result: LiveResult, time: Fraction) -> None:
        self._writer.write(result.result.image, time)

    def finish(self) -> bool:
        """Close it and give it its name, also where the last of it cannot be written.

        Returns:
            Whether it is there; what makes room on the disk, say, may have deleted it.
        """
        kept = True
        try:
            self._writer.finish()
            if self.path.suffix == ".mp4" and not self._has_end():
                raise OSError(errno.EIO, "its end could not be written")
        except BaseException:
            self._writer.abandon()
            kept = has_picture(self._part)  # else a full disk fills up with files that do not play
            raise
        finally:
            with suppress(OSError):
                os.fsync(self._lock)
            try:
                if kept:
                    self._part.replace(self.path)
                else:
                    self._part.unlink()
            except FileNotFoundError:
                kept = False
                _log.warning("%s was deleted while it was recorded", self._part)
            finally:
                os.close(self._lock)
        return kept

    def _has_end(self) -> bool:
        """Whether the box is there that comes last: FFmpeg keeps silent where the disk was full."""
        size = os.fstat(self._lock).st_size
        return os.pread(self._lock, 8, max(0, size - 16))[4:] == b"mfro"


def recover(folder: Path, name: str) -> list[Path]:
    """Give files that a killed process left, of any kind, their names; returns them.

    One that is still being written is left alone, and so is one from which no picture can be read.
    """
    recovered = []
    patterns = [f"{escape(name)}-*{_MARK}.{kind}" for kind in SEGMENTS]
    for part in sorted(part for pattern in patterns for part in folder.glob(pattern)):
        with suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = part.with_suffix("").with_suffix(part.suffix)
            if not has_picture(part):
                _log.warning("no picture can be read from %s; it is left as it is", part)
            elif not path.exists():
                part.replace(path)
                recovered.append(path)
    return recovered
