"""A run over an archive, from its plan to its tables."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from vidfacedeblur.archive.choose import Choice, Rules, choose, key_of, rank
from vidfacedeblur.archive.driver import (
    Driver,
    Listener,
    folder_for,
    made_by,
    remove_strays,
)
from vidfacedeblur.archive.executor import Executor
from vidfacedeblur.archive.journal import Journal, Row
from vidfacedeblur.archive.progress import Progress
from vidfacedeblur.archive.space import free_bytes, readable
from vidfacedeblur.archive.tables import Entry, entry_of
from vidfacedeblur.archive.tasks import Extras, Setup, Task
from vidfacedeblur.config import options_sha256
from vidfacedeblur.errors import UNREADABLE, OutputError
from vidfacedeblur.models.bundle import find_weights
from vidfacedeblur.plan import Job, Plan
from vidfacedeblur.video import clear_leftovers

NAME = "archive"
"""Of the journal and the tables, in the folder of the outputs."""


@dataclass(frozen=True)
class Shard:
    """One of several parts into which an archive is divided, by the names of its outputs."""

    number: int
    """From 1."""
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From ``3/16``; `ValueError` for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise ValueError("must be I/N, with I from 1 to N")
        return cls(int(found[1]), int(found[2]))

    def has(self, target: bytes) -> bool:
        """Whether a file belongs to it; that never changes, whatever else is in the archive."""
        return zlib.crc32(target) % self.of == self.number - 1

    @property
    def name(self) -> str:
        return f"{NAME}-{self.number}-of-{self.of}"


def journal_of(output: Path, shard: Shard | None) -> Path:
    """Where the journal of an archive, or of a part of it, lies."""
    return output / f"{shard.name if shard else NAME}.sqlite"


@dataclass(frozen=True)
class Request:
    """What is asked for."""

    plan: Plan
    output: Path
    setup: Setup
    extras: Callable[[Job], Extras] = lambda job: Extras()
    overwrite: bool = False
    skip_existing: bool = False
    retry_failed: bool = False
    shard: Shard | None = None
    chunk: float = 0.0
    """Seconds of the pieces in which long videos are done; 0: never in pieces."""
    seconds: Mapping[Path, float] = field(default_factory=dict)
    """How long inputs are, as far as that is known."""

    @property
    def stem(self) -> Path:
        """Of the journal and the tables."""
        return self.journal.with_suffix("")

    @property
    def journal(self) -> Path:
        return journal_of(self.output, self.shard)

    @cached_property
    def options(self) -> str:
        """The hash of all that shows in the outputs.

        Raises:
            WeightsError: The weights are not there.
        """
        return options_of(self.setup)

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The plan's, or the shard's part of them."""
        jobs = self.plan.jobs
        if self.shard is None:
            return jobs
        return tuple(job for job in jobs if self.shard.has(key_of(job, self.output)))


@dataclass
class Outcome:
    """What became of an archive."""

    entries: list[Entry] = field(default_factory=list)
    """All files that the journal knows, then those that nobody can read."""
    asked: list[Row] = field(default_factory=list)
    """The rows of the files that were asked for, in the plan's order."""
    skipped: list[Job] = field(default_factory=list)
    finished: bool = False
    """Nothing is left to do."""


def options_of(setup: Setup) -> str:
    """A hash of all that shows in the outputs: options and weights.

    Raises:
        WeightsError: The weights are not there.
    """
    groups = (setup.model, setup.faces, setup.video)
    weights = find_weights(setup.model.model, setup.model.weights)
    return f"{options_sha256(groups)[:32]}{weights.sha256[:32]}"


def choices_for(request: Request, known: dict[bytes, Row]) -> list[Choice]:
    """Which files are to be done, and why.

    Raises:
        OutputExistsError: What lies at the place of an output is not known to be ours.
    """
    jobs = request.jobs
    first = next(iter(jobs), None)
    rules = Rules(
        options=request.options,
        made=frozenset(made_by(_task(0, first, Path(), request))) if first else frozenset(),
        overwrite=request.overwrite,
        skip_existing=request.skip_existing,
        retry_failed=request.retry_failed,
    )
    return choose(jobs, request.output, known, rules)


def read_known(output: Path, shard: Shard | None) -> dict[bytes, Row]:
    """What the journals beside the outputs say of files, by target; nothing is written.

    Raises:
        OutputError: The journal of the same run is in use, or none.
    """
    known: dict[bytes, Row] = {}
    own = journal_of(output, shard)
    for path in (*_siblings(own), *([own] if own.exists() else [])):
        with (
            suppress(*([] if path == own else [OutputError])),
            Journal(path, locked=False) as journal,
        ):
            for row in journal.rows():
                if row.target not in known or _is_later(row, known[row.target]):
                    known[row.target] = row
    return known


class ArchiveListener(Listener, Protocol):
    """Hears of a run over an archive."""

    def chosen(self, choices: Sequence[Choice], progress: Progress) -> None:
        """It is decided what will be done."""


def run_archive(
    request: Request,
    open_executor: Callable[[Setup, int], Executor],
    listener: ArchiveListener,
    stopped: Callable[[], bool],
    conclude: Callable[[Journal, Outcome], None],
) -> None:
    """Do what is to be done of an archive.

    Args:
        request: What is asked for.
        open_executor: Given the setup and how many tasks there are at most, makes the workers.
        listener: Hears of it.
        stopped: Asked about twice a second whether to stop.
        conclude: Called at the end, also after an error, to write what is wanted of the outcome.

    Raises:
        OutputError: The journal is in use or cannot be written, or the disk is full.
        OutputExistsError: What lies at the place of an output is not known to be ours.
        VidFaceDeblurError: No worker can be made ready.
    """
    output, path = request.output, request.journal
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{output} cannot be made: {error.strerror}") from error
    with Journal(path) as journal:
        for row in journal.recover():
            clear_leftovers(output.absolute() / row.target_name)
        _adopt(journal, request)
        choices = choices_for(request, {row.target: row for row in journal.rows()})
        tasks = _planned(journal, choices, request)
        outcome = Outcome(skipped=[c.job for c in choices if c.why_not == "output exists"])
        try:
            _work(journal, tasks, choices, request, open_executor, listener, stopped)
        finally:
            _conclude(journal, outcome, request)
            conclude(journal, outcome)


def _work(
    journal: Journal,
    tasks: list[Task],
    choices: Sequence[Choice],
    request: Request,
    open_executor: Callable[[Setup, int], Executor],
    listener: ArchiveListener,
    stopped: Callable[[], bool],
) -> None:
    output = request.output
    remove_strays(output, journal.path, {Path(task.folder) for task in tasks})
    if not tasks:
        listener.chosen(choices, Progress(0, 0, 0.0))
        return
    executor = open_executor(request.setup, _most(tasks, request))
    try:
        driver = Driver(
            journal,
            executor,
            tasks,
            options=request.options,
            listener=listener,
            output=output,
            seconds=request.seconds,
        )
        listener.chosen(choices, driver.progress)
        _warn_of_space(driver.progress, output, listener)
        driver.run(stopped)
    finally:
        executor.close()
        remove_strays(output, journal.path, {Path(task.folder) for task in tasks})


def _most(tasks: Sequence[Task], request: Request) -> int:
    """Workers that may have something to do: of a long video, each its piece."""
    pieces = [
        int(request.seconds.get(Path(task.source), 0.0) / task.chunk) if task.chunk else 1
        for task in tasks
    ]
    return sum(max(1, count) for count in pieces)


def _planned(journal: Journal, choices: Sequence[Choice], request: Request) -> list[Task]:
    """Write new files into the journal; a task for each file that is to be done."""
    new = [c for c in choices if c.row is None and c.why is not None]
    journal.add((c.target, os.fsencode(c.job.source.absolute())) for c in new)
    rows = {row.target: row for row in journal.rows()}
    options = request.options
    tasks = []
    for choice in rank(choices, request.seconds):
        row = rows[choice.target]
        if choice.why in ("retried", "input changed"):
            journal.change(row.id, deaths=0, whole=0)
            row = journal.row(row.id)
        wanted = sorted(made_by(_task(0, choice.job, Path(), request)))
        meaning = repr((options, wanted, request.chunk))
        folder = folder_for(request.output, journal.path, choice, meaning)
        task = _task(row.id, choice.job, folder, request)
        task = replace(task, overwrite=choice.overwrite)
        tasks.append(task.whole() if row.whole or not task.chunk else task)
    return tasks


def _task(file: int, job: Job, folder: Path, request: Request) -> Task:
    return Task(
        file=file,
        kind="file",
        source=str(job.source),
        target=str(job.target),
        folder=str(folder.absolute()),
        extras=request.extras(job),
        chunk=request.chunk,
    )


def _siblings(own: Path) -> list[Path]:
    """Journals of other divisions of the same archive."""
    pattern = re.compile(rf"{NAME}(-\d+-of-\d+)?[.]sqlite")
    with suppress(OSError):
        found = sorted(own.parent.iterdir())
        return [path for path in found if pattern.fullmatch(path.name) and path != own]
    return []


def _adopt(journal: Journal, request: Request) -> None:
    """Take over what other divisions of the archive did; of one that is at work, later."""
    wanted = {key_of(job, request.output) for job in request.jobs}
    mine = {row.target: row for row in journal.rows()}
    for path in _siblings(journal.path):
        with suppress(OutputError), Journal(path, locked=False) as other:
            for row in other.rows():
                known = mine.get(row.target)
                if row.target in wanted and (known is None or _is_later(row, known)):
                    journal.adopt(row, other.records(row.id))


def _is_later(row: Row, other: Row) -> bool:
    return (row.ended or 0.0) > (other.ended or 0.0)


def _warn_of_space(progress: Progress, output: Path, listener: ArchiveListener) -> None:
    # How large outputs become is known when they are there; most are about as large as the inputs.
    free = free_bytes(output)
    if progress.size > free:
        listener.note(
            f"the inputs have {readable(progress.size)}, and {output} has room for"
            f" {readable(free)}: it may not be enough; it stops before the disk is full"
        )


def _conclude(journal: Journal, outcome: Outcome, request: Request) -> None:
    keys = {key_of(job, request.output) for job in request.jobs}
    skipped = {key_of(job, request.output): job for job in outcome.skipped}
    for row in journal.rows():
        outcome.entries.append(entry_of(row, request.output))
        if row.target in skipped:
            del skipped[row.target]
        elif row.target in keys:
            outcome.asked.append(row)
    outcome.finished = not any(row.state in ("planned", "running") for row in outcome.asked)
    outcome.entries += [
        Entry(str(job.source), str(job.target), "skipped") for job in skipped.values()
    ]
    if request.shard is None or request.shard.number == 1:
        outcome.entries += [
            Entry(str(path), None, "failed", error=f"{path}: {why}", exit_code=UNREADABLE)
            for path, why in request.plan.problems
        ]


__all__ = [
    "ArchiveListener",
    "Outcome",
    "Request",
    "Shard",
    "choices_for",
    "read_known",
    "run_archive",
]
