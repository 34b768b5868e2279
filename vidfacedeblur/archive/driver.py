"""Keeps the workers busy with the files of an archive, and writes down what becomes of each."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from vidfacedeblur.archive.choose import Choice, identity
from vidfacedeblur.archive.executor import Executor
from vidfacedeblur.archive.journal import Journal, Row
from vidfacedeblur.archive.progress import Progress, weights_of
from vidfacedeblur.archive.space import RESERVE, free_bytes, readable
from vidfacedeblur.archive.spool import spooled
from vidfacedeblur.archive.tasks import Heard, Task
from vidfacedeblur.errors import DAMAGED, FAILED, USAGE, OutputError
from vidfacedeblur.records import summary_of_values
from vidfacedeblur.video import clear_leftovers

_POLL_SECONDS = 0.5
_SPACE_SECONDS = 5.0
_DEATHS = 2
"""Workers that one file may cost."""
KINDS = ("events", "timings")
"""What is kept of a file to be put into one file of the archive."""


class Listener(Protocol):
    """Hears of a run as it goes."""

    def finished(self, row: Row) -> None:
        """A file is done, or given up."""

    def note(self, text: str) -> None:
        """Something is worth knowing."""

    def tick(self, progress: Progress) -> None:
        """Time goes by; called about twice a second."""


@dataclass
class _Open:
    """A file that is being worked on."""

    task: Task
    identity: tuple[int, int] | None
    """Size and time of the input when it was begun."""
    pieces: int | None = None
    """How many there are, once that is known."""
    done: set[int] = field(default_factory=set)
    frames: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By piece, 0 for a whole file: frames and faces so far."""
    total: int | None = None
    """Frames of it all, as far as that can be known."""
    joining: bool = False


class Driver:
    """Works off files; what is not done when it ends is done by the next one.

    Args:
        journal: Open and locked.
        executor: Its workers.
        tasks: A task for each chosen file.
        options: The hash that is written of a file's options.
        listener: Hears of it.
        output: The folder of the outputs.
        seconds: How long inputs are, as far as that is known.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        tasks: Sequence[Task],
        *,
        options: str,
        listener: Listener,
        output: Path,
        seconds: Mapping[Path, float] = MappingProxyType({}),
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._options = options
        self._listener = listener
        self._output = output
        self._files = deque(tasks)
        self._steps: deque[Task] = deque()
        """Pieces and joins, which come first: so few files are open at a time."""
        self._open: dict[int, _Open] = {}
        sizes = [stat[0] if (stat := identity(Path(task.source))) else 0 for task in tasks]
        weights = weights_of(sizes, [seconds.get(Path(task.source)) for task in tasks])
        self._weights = {task.file: weight for task, weight in zip(tasks, weights, strict=True)}
        self.progress = Progress(len(tasks), sum(sizes), sum(weights))
        self._looked = 0.0
        self._hears: dict[str, Callable[[Task, dict[str, Any]], None]] = {
            "frames": self._further,
            "piece": self._piece,
            "done": self._done,
            "failed": self._failed,
            "lost": self._lost,
        }

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until everything is done, or it is to stop.

        Raises:
            OutputError: The disk is full, or the journal cannot be written.
            VidFaceDeblurError: No worker can be made ready.
        """
        try:
            while (self._files or self._steps or self._open) and not stopped():
                self._look_for_space()
                self._fill()
                for heard in self._executor.poll(_POLL_SECONDS):
                    self._hear(heard)
                self._listener.tick(self.progress)
        finally:
            self._put_back()

    def _fill(self) -> None:
        while self._executor.free and (self._steps or self._files):
            if self._steps:
                self._executor.submit(self._steps.popleft())
                continue
            task = self._files.popleft()
            opened = _Open(task, identity(Path(task.source)))
            self._open[task.file] = opened
            self._journal.begin(task.file)
            self.progress.begin(task.file, self._weights[task.file])
            self._executor.submit(task)

    def _hear(self, heard: Heard) -> None:
        task = heard.task
        if task is None or heard.what == "note":
            self._listener.note(str(heard.values.get("text")))
        elif self._is_current(task):
            self._hears[heard.what](task, heard.values)

    def _is_current(self, task: Task) -> bool:
        """Whether a word is of work that still counts: a file may have failed, or begun anew."""
        opened = self._open.get(task.file)
        return opened is not None and opened.task.folder == task.folder

    def _further(self, task: Task, values: dict[str, Any]) -> None:
        opened = self._open[task.file]
        opened.total = values["total"] or opened.total
        opened.frames[task.number] = (values["frames"], values["faces"])
        frames = sum(frames for frames, _ in opened.frames.values())
        faces = sum(faces for _, faces in opened.frames.values())
        part = frames / opened.total if opened.total else 0.0
        self.progress.further(task.file, part, frames, faces)

    def _piece(self, task: Task, values: dict[str, Any]) -> None:
        number, opened = int(values["number"]), self._open[task.file]
        if values["done"]:
            opened.done.add(number)  # by an earlier run
        else:
            self._steps.append(task.piece(number))

    def _done(self, task: Task, values: dict[str, Any]) -> None:
        opened = self._open[task.file]
        if "summary" in values:
            self._finish(opened, values["summary"])
            return
        if task.kind == "piece":
            opened.done.add(task.number)
        else:
            opened.pieces = int(values["pieces"])
        if len(opened.done) == opened.pieces and not opened.joining:
            opened.joining = True
            self._steps.appendleft(task.join())

    def _finish(self, opened: _Open, summary: dict[str, Any]) -> None:
        task, told = opened.task, summary_of_values(summary)
        out = identity(Path(task.target)) or (None, None)
        self._journal.change(
            task.file,
            spooled(Path(task.folder), KINDS),
            state="damaged" if told.damaged else "done",
            code=DAMAGED if told.damaged else 0,
            error=told.truncated,
            sha256=told.input_sha256,
            summary=json.dumps(summary),
            out_size=out[0],
            out_mtime=out[1],
            **self._identity_values(opened),
        )
        self.progress.count(told.frames, told.faces, told.deblurred, out[0] or 0)
        self._end(task, failed=told.damaged)

    def _failed(self, task: Task, values: dict[str, Any]) -> None:
        opened = self._open[task.file]
        if values.get("split") and task.chunk:
            self._begin_whole(opened)
            return
        if values.get("output"):
            self._look_for_space(now=True)  # then it is not the file's fault, and it is done later
        self._give_up(opened, "failed", str(values["error"]), int(values["code"]))

    def _lost(self, task: Task, values: dict[str, Any]) -> None:
        """A worker ended at a task: its file gets another chance, after all others."""
        opened = self._open[task.file]
        # A node that is gone took whatever was there with it; no file is to blame.
        deaths = self._journal.row(task.file).deaths + (not values.get("node"))
        self._journal.change(task.file, deaths=deaths)
        self._clear(task)
        if deaths >= _DEATHS:
            error = f"{task.source}: {values['error']}, as one before; left alone from now on"
            self._give_up(opened, "quarantined", error, FAILED)
        elif task.kind == "file":
            self._listener.note(f"{task.source}: {values['error']}; it is tried again")
            self._drop(task.file)
            self._journal.change(task.file, state="planned")
            self._files.append(replace(opened.task, overwrite=True))  # it may be there already
        else:
            self._steps.append(replace(task, overwrite=True))

    def _begin_whole(self, opened: _Open) -> None:
        """It cannot be done in pieces after all."""
        task = opened.task
        self._journal.change(task.file, whole=1)
        self._steps = deque(step for step in self._steps if step.file != task.file)
        shutil.rmtree(task.folder, ignore_errors=True)
        opened.task, opened.pieces, opened.joining = task.whole(), None, False
        opened.done.clear()
        opened.frames.clear()
        self._steps.appendleft(opened.task)

    def _give_up(self, opened: _Open, state: str, error: str, code: int) -> None:
        task = opened.task
        # What comes after the output may fail; then it is there, and the next attempt may replace
        # it. One that somebody else put there is left alone, and that is why it failed.
        out = None if code == USAGE else identity(Path(task.target))
        self._journal.change(
            task.file,
            spooled(Path(task.folder), KINDS),
            state=state,
            error=error,
            code=code,
            summary=None,
            out_size=out and out[0],
            out_mtime=out and out[1],
            **self._identity_values(opened),
        )
        self._clear(task)
        self._end(task, failed=True)

    def _identity_values(self, opened: _Open) -> dict[str, Any]:
        size, mtime = opened.identity or (None, None)
        made = sorted(made_by(opened.task))
        return {
            "source": os.fsencode(Path(opened.task.source).absolute()),
            "size": size,
            "mtime": mtime,
            "options": self._options,
            "made": " ".join(made),
            "ended": time.time(),
        }

    def _end(self, task: Task, *, failed: bool) -> None:
        self._drop(task.file)
        self.progress.end(task.file, failed=failed)
        shutil.rmtree(task.folder, ignore_errors=True)
        self._listener.finished(self._journal.row(task.file))

    def _drop(self, file: int) -> None:
        del self._open[file]
        self._steps = deque(step for step in self._steps if step.file != file)

    def _clear(self, task: Task) -> None:
        clear_leftovers(Path(task.target))
        if task.extras.compare:
            clear_leftovers(Path(task.extras.compare))

    def _put_back(self) -> None:
        """What is open is planned again; its pieces are kept."""
        if not self._open:
            return
        self._executor.stop()
        for file, opened in self._open.items():
            self.progress.put_back(file)
            self._journal.change(file, state="planned")
            self._clear(opened.task)

    def _look_for_space(self, *, now: bool = False) -> None:
        if not now and time.monotonic() - self._looked < _SPACE_SECONDS:
            return
        self._looked = time.monotonic()
        left = free_bytes(self._output)
        if left < RESERVE:
            raise OutputError(
                f"stopped, since {self._output} has {readable(left)} left; make room and start it"
                " again, it goes on from here"
            )


def made_by(task: Task) -> set[str]:
    """What a task makes beside its output, in words for the journal."""
    extras = task.extras
    wanted = {
        "events": extras.events,
        "timings": extras.timings,
        "faces": extras.faces,
        "page": extras.page,
        "compare": extras.compare,
    }
    return {name for name, value in wanted.items() if value}


def folder_for(output: Path, journal: Path, choice: Choice, meaning: str) -> Path:
    """Where a file's pieces lie until they are joined: another, if it or what is wanted changes."""
    values = (choice.target, identity(choice.job.source), meaning)
    name = hashlib.sha256(repr(values).encode()).hexdigest()[:16]
    return work_folder(output, journal) / name


def work_folder(output: Path, journal: Path) -> Path:
    """Where everything lies that is not done yet."""
    return output / ".vidfacedeblur" / journal.stem


def remove_strays(output: Path, journal: Path, wanted: set[Path]) -> None:
    """Remove what earlier runs left of files that are not done any more, and empty folders."""
    place = work_folder(output, journal)
    with suppress(OSError):
        for path in place.iterdir():
            if path not in wanted:
                shutil.rmtree(path, ignore_errors=True)
    for folder in (place, place.parent):
        with suppress(OSError):
            folder.rmdir()
