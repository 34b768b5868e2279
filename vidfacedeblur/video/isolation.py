"""A source and a sink that live in a child process, so that a crash in FFmpeg costs one file only.

The child decodes, encodes and copies; only samples travel. Here faces are looked for and changed,
in pictures that the parent made itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

from vidfacedeblur.config import VideoOptions
from vidfacedeblur.errors import DamagedInputError, OutputError
from vidfacedeblur.link import own_module
from vidfacedeblur.types import Frame
from vidfacedeblur.video.draft import clear_leftovers
from vidfacedeblur.video.frames import rows_of
from vidfacedeblur.video.opening import check_size
from vidfacedeblur.video.protocols import SourceInfo
from vidfacedeblur.video.wire import Wire, error_of, frame_of
from vidfacedeblur.whole import STANDARD

_MODULE = "vidfacedeblur.video.child"
_TICK = 0.2
"""Seconds between two looks at whether the run was stopped."""
_PATIENCE = 2
"""Seconds for the child to end by itself."""


class Child:
    """The process, and the pipes to it."""

    def __init__(
        self, source: Path, target: Path | None, options: VideoOptions, provenance: str | None
    ) -> None:
        self.source = source
        self.target = target
        self.timeout = options.timeout
        self.max_pixels = options.max_pixels
        self.interrupted = False
        self._lock = threading.Lock()
        self._end: Exception | None = None
        self._deadlines: dict[int, float] = {}
        """By thread that waits for the child to send, or to take, a picture."""
        self._closed = threading.Event()
        pipes = [os.pipe() for _ in range(3)]
        (frames, out), (edits, told), (results, said) = pipes
        command, environment = own_module(
            "vidfacedeblur.video.child", f"{out}", f"{edits}", f"{said}"
        )
        self.process = subprocess.Popen(command, pass_fds=(out, edits, said), env=environment)
        for handle in (out, edits, said):
            os.close(handle)
        self.frames, self.results = Wire(frames, reads=True), Wire(results, reads=True)
        self.edits = Wire(told, reads=False)
        job = {
            "source": str(source),
            "target": None if target is None else str(target),
            "options": asdict(options),
            "provenance": provenance,
        }
        threading.Thread(target=self._watch, daemon=True).start()
        with suppress(BrokenPipeError):  # then it ended at once, and is asked why
            self.edits.send(job)

    def receive(self, wire: Wire, *, patient: bool = False) -> dict[str, Any]:
        """The next message; what went wrong in the child is raised here.

        Args:
            wire: Where it is to come from.
            patient: Wait for as long as the child works, with whatever it has left to write.
        """
        waited = 0.0
        work: tuple[object, ...] = ()
        try:
            while not wire.waits(_TICK):
                waited += _TICK
                if self.interrupted:
                    raise DamagedInputError(f"{self.source}: stopped")
                if patient and (now := _work_of(self.process.pid)) != work:
                    waited, work = 0.0, now
                if waited > self.timeout:
                    self.process.kill()
                    raise self._silence("written" if patient else "decoded")
            message = wire.receive()
        except EOFError:
            raise self.gone() from None
        if "error" in message:
            self._end = error_of(message)
            raise self._end
        return message

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """End the child if what is done meanwhile, part of a picture passed on, takes too long.

        A pipe gives no sign of a child that stops in the middle of what it sends or takes.
        """
        me = threading.get_ident()
        self._deadlines[me] = time.monotonic() + self.timeout
        try:
            yield
        finally:
            del self._deadlines[me]

    def _watch(self) -> None:
        while not self._closed.wait(_TICK):
            if any(time.monotonic() > deadline for deadline in list(self._deadlines.values())):
                with self._lock:
                    self._end = self._end or self._silence()
                self.process.kill()
                return

    def _silence(self, what: str = "decoded") -> DamagedInputError:
        return DamagedInputError(
            f"{self.source}: nothing was {what} for {self.timeout:g} s; given up"
        )

    def gone(self) -> Exception:
        """Why the child does not answer any more; the same to every thread that asks."""
        with self._lock:
            if self._end is None:
                self._end = self._find_end()
            return self._end

    def _find_end(self) -> Exception:
        ended = self._has_ended(_PATIENCE)
        if not ended:
            self.process.kill()
        code = self.process.wait()
        if ended and code < 0:
            name = signal.Signals(-code).name
            return DamagedInputError(f"{self.source}: FFmpeg crashed on it ({name}); given up")
        with suppress(EOFError, KeyError):
            return error_of(self.results.receive())  # it said why, and ended
        return DamagedInputError(f"{self.source}: its child process ended early; given up")

    def _has_ended(self, seconds: float) -> bool:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def close(self) -> None:
        """End the process, whatever it is doing, and remove what it left."""
        self._closed.set()
        self.edits.close()  # it takes that as a sign to go
        if not self._has_ended(_PATIENCE):
            self.process.kill()
            self.process.wait()
        self.frames.close()
        self.results.close()
        if self.target not in (None, STANDARD):
            clear_leftovers(self.target.absolute())


class IsolatedSource:
    """The child's source; implements `Source`."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.warnings: list[str] = []
        self.corrupt_frames = 0
        self.bad_packets = 0
        self.truncated: str | None = None
        self.trailing: tuple[av.Packet[Any], ...] = ()
        self.sent: dict[int, bytes] = {}
        """Samples of the frames that are under way, as they came."""
        first = child.receive(child.frames)
        values = first["info"]
        rate = Fraction(*values["average_rate"])
        self._info = SourceInfo(**values | {"path": child.source, "average_rate": rate})
        size = (self._info.width, self._info.height)
        check_size(*size, child.source, max_pixels=child.max_pixels)
        self._update(first["state"])

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        child = self._child
        while True:
            message = child.receive(child.frames)
            if "end" in message:
                self._update(message["end"])
                return
            yield self._frame(message["frame"])

    def interrupt(self) -> None:
        self._child.interrupted = True

    def close(self) -> None:
        self._child.close()

    def _frame(self, values: dict[str, Any]) -> Frame:
        info = self._info
        if values["size"] != [info.width, info.height] or values["format"] != info.pix_fmt:
            raise DamagedInputError(f"{info.path}: its child process sent another picture")
        frame = frame_of(values)
        assert isinstance(frame.picture, av.VideoFrame)
        try:
            with self._child.in_time():
                self._child.frames.receive_planes(frame.picture)
        except (EOFError, OSError):
            raise self._child.gone() from None
        self.sent[frame.index] = _samples(frame.picture)
        return frame

    def _update(self, state: dict[str, Any]) -> None:
        self.warnings[:] = state["warnings"]
        self.corrupt_frames = state["corrupt_frames"]
        self.bad_packets = state["bad_packets"]
        self.truncated = state["truncated"]


class IsolatedSink:
    """The child's sink; implements `Sink`."""

    def __init__(self, child: Child, source: IsolatedSource) -> None:
        self._child = child
        self._source = source
        self.warnings: list[str] = []
        self.left_out: list[str] = []
        self.tag: str | None = None
        self.encoding: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The child goes with its source."""

    def write(self, frame: Frame) -> None:
        if not isinstance(frame.picture, av.VideoFrame):
            raise OutputError("a frame needs a decoded picture")
        changed = self._source.sent.pop(frame.index) != _samples(frame.picture)
        try:
            if self._child.results.waits(0):
                self._child.receive(self._child.results)  # an error
            with self._child.in_time():
                self._child.edits.send({"index": frame.index, "changed": changed})
                if changed:
                    self._child.edits.send_planes(frame.picture)
        except BrokenPipeError:
            raise self._child.gone() from None

    def finish(self) -> Path:
        return self._end(finish=True)

    def leave_as_is(self) -> Path:
        return self._end(finish=False)

    def _end(self, *, finish: bool) -> Path:
        try:
            self._child.edits.send({"finish": finish})
        except BrokenPipeError:
            raise self._child.gone() from None
        message = self._child.receive(self._child.results, patient=True)
        self.warnings, self.left_out = message["warnings"], message["left_out"]
        self.tag, self.encoding = message["tag"], message["encoding"]
        return Path(message["path"])


def _work_of(pid: int) -> tuple[object, ...]:
    """What a process has done: tenths of a second of processor time, and what it read and wrote.

    Where that cannot be known, the time: the process then seems to work for ever.
    """
    folder = Path("/proc") / str(pid)
    try:
        behind_name = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = sum(map(int, behind_name[11:13]))  # of 10 ms, by its own code and the system's
        return ticks // 10, (folder / "io").read_text()
    except OSError:
        return (time.monotonic(),)


def _samples(picture: av.VideoFrame) -> bytes:
    return b"".join(rows_of(plane, np.uint8).tobytes() for plane in picture.planes)


def open_isolated(
    source: Path, target: Path, options: VideoOptions, *, provenance: str | None
) -> tuple[IsolatedSource, IsolatedSink]:
    """Open both ends of a job in a child process; closing the source ends it.

    Raises:
        DamagedInputError: The child crashed, or does not answer.
        VidFaceDeblurError: Whatever `open_source` and `open_sink` raise.
    """
    child = Child(source, target, options, provenance)
    try:
        opened = IsolatedSource(child)
        return opened, IsolatedSink(child, opened)
    except BaseException:
        child.close()
        raise


def isolated_suffix(path: Path, options: VideoOptions) -> str:
    """As `output_suffix`, in a child process."""
    child = Child(path, None, options, None)
    try:
        return str(child.receive(child.results)["suffix"])
    finally:
        child.close()
