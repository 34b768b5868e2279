"""What a run tells of faces beside the video: ``--events``, ``--best-faces`` and ``--html``."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from vidfacedeblur.config import Rectangle
from vidfacedeblur.console import counted
from vidfacedeblur.errors import OptionError, OutputError, OutputExistsError
from vidfacedeblur.event_file import EventFile
from vidfacedeblur.whole import STANDARD, check_place

if TYPE_CHECKING:
    from vidfacedeblur.archive.beside import Beside
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.cli.display import Display
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.plan import Job, Plan

_SCRATCH: set[Path] = set()
"""Folders that hold pictures of faces while a run needs them."""


def check_archive_values(values: dict[str, Any]) -> None:
    """Refuse what contradicts itself of the options for many files, which cameras do not have.

    Raises:
        OptionError: A number out of its range, or options that do not go together.
    """
    if not values["chunk"] >= 0:
        raise OptionError(f"--chunk must be 0 or more seconds, got {values['chunk']:g}")
    if values["workers"] not in (None, "auto") and values["workers"] < 1:
        raise OptionError(f"--workers must be 1 or more, got {values['workers']}")
    for name, default in (("ray_address", None), ("ray_cores", 1), ("ray_gpus", None)):
        if values[name] != default and values["executor"] != "ray":
            raise OptionError(f"--{name.replace('_', '-')} needs --executor ray")
    if values["events"] == values["status"] == STANDARD:
        raise OptionError("--events - and --status - cannot both use standard output")


def check_values(values: dict[str, Any]) -> None:
    """Refuse what contradicts itself, before anything is looked at.

    Raises:
        OptionError: A number out of its range, or options that do not go together.
    """
    if not values["event_interval"] >= 0:
        raise OptionError(f"--event-interval must be 0 or more, got {values['event_interval']:g}")
    if values["best_faces"] and values["faces"] == "none":
        raise OptionError("--best-faces needs faces, but --faces none looks for none")


def check_regions(flags: Mapping[str, Sequence[Rectangle]], width: int, height: int) -> None:
    """Refuse places that are not in the picture: they were meant for another one.

    Args:
        flags: The rectangles of ``--region`` and ``--exclude``, by the flag's name.
        width: Of the upright picture.
        height: Likewise.

    Raises:
        OptionError: One lies outside.
    """
    for flag, rectangles in flags.items():
        for left, top, across, down in rectangles:
            if left >= width or top >= height or left + across <= 0 or top + down <= 0:
                given = ",".join(f"{value:g}" for value in (left, top, across, down))
                raise OptionError(f"{flag} {given} lies outside the picture of {width}x{height}")


def check_page(path: Path | None) -> None:
    """Refuse a page that could not be written, before anything is looked at.

    Raises:
        OptionError: It is not called .html.
        OutputError: Its folder is not there, or cannot be written to.
    """
    if path is None:
        return
    if path.suffix != ".html":
        raise OptionError(f"--html must end in .html, got {path}")
    check_place(path)


def check_suffix(flag: str, target: Path, *, source: Path | None = None) -> None:
    """Refuse a name whose suffix says nothing of what would be in the file.

    Args:
        flag: That names the file.
        target: The file.
        source: What may be copied as it is, and so keep its own suffix.

    Raises:
        OptionError: No container has such a suffix.
    """
    from vidfacedeblur.video import PICTURE_SUFFIXES
    from vidfacedeblur.video.formats import CONTAINERS

    suffix = target.suffix.lower()
    own = "" if source is None else source.suffix.lower()
    if suffix not in {"", own, *CONTAINERS, *PICTURE_SUFFIXES}:
        known = " ".join([*CONTAINERS, *sorted(PICTURE_SUFFIXES)])
        raise OptionError(f"{flag} {target}: {suffix} cannot be written; known are {known}")


def check_places(
    plan: Plan,
    inputs: Sequence[Path],
    output: Path,
    values: dict[str, Any],
    *,
    replace: bool = False,
) -> dict[Job, Path]:
    """Where each job's best faces go; nowhere unless they are asked for.

    Args:
        plan: Of the run.
        inputs: What the user named.
        output: Where the outputs go.
        values: The settled options.
        replace: Whether pictures that are there are known to be those of earlier runs.

    Raises:
        OptionError: Events would come between the bytes of a video, or pictures among the inputs.
        OutputExistsError: There are pictures of faces, and they may not be replaced.
        OutputError: The folder is a file.
    """
    if values["events"] == STANDARD and any(job.target == STANDARD for job in plan.jobs):
        raise OptionError("--events - and -o - cannot both use standard output")
    folder: Path | None = values["best_faces"]
    if folder is None:
        return {}
    check_folder("--best-faces", folder, inputs, output)
    places = _places(plan, folder, output)
    for job in plan.jobs:
        # Also a name that is too long for a folder is not there; `glob` would raise an error.
        there = os.path.lexists(places[job]) and any(places[job].glob("track-*.json"))
        if there and not (replace or values["overwrite"]):
            raise OutputExistsError(
                f"{places[job]} holds pictures of faces already; --overwrite replaces them"
            )
    return places


@dataclass(frozen=True)
class Told:
    """Where what is told of faces goes, and how."""

    file: EventFile | None
    """Of events, open; None for nowhere."""
    places: dict[Job, Path]
    """Where each job's best faces go."""
    values: dict[str, Any]
    """The settled options."""


@contextmanager
def beside(
    job: Job,
    pipeline: FaceDeblurPipeline,
    told: Told,
    display: Display,
) -> Iterator[Beside]:
    """What one input's run tells of faces; those that are there at its end, only if it succeeds.

    Args:
        job: What is run.
        pipeline: By what.
        told: Where to, and how.
        display: Told of the pictures.
    """
    from vidfacedeblur.archive.beside import Beside

    values, places = told.values, told.places
    with _scratch() as scratch:
        made = Beside(
            job.source,
            job.target,
            pipeline,
            scratch=scratch,
            events=told.file,
            interval=values["event_interval"],
            faces=places.get(job),
            overwrite=values["overwrite"],
            page=values["html"],
            say=display.status,
        )
        with made:
            yield made
        if made.best and job in places:
            display.note(_told(made.best, places[job]))


@contextmanager
def _scratch() -> Iterator[Path]:
    with TemporaryDirectory(prefix="vidfacedeblur-") as name:
        _SCRATCH.add(Path(name))
        try:
            yield Path(name)
        finally:
            _SCRATCH.discard(Path(name))


def leave_at_once(code: int) -> NoReturn:
    """End this process without any clean-up but one: no pictures of faces stay behind."""
    try:
        for folder in tuple(_SCRATCH) * 3:  # another thread may be writing into it
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(code)


_STOPPING = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def on_signals(first: Callable[[int], object]) -> Iterator[None]:
    """First SIGINT or SIGTERM: do this. Second: end at once. In another thread: as before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for again in _STOPPING:
            signal.signal(again, lambda n, _: leave_at_once(128 + n))
        first(number)

    before = {number: signal.signal(number, handle) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def signals_wait() -> Iterator[None]:
    """SIGINT or SIGTERM: only afterwards. Second: end at once. In another thread: as before.

    For what loads torch: an error that a handler raises inside of its C++ ends the process.
    """
    waiting: list[int] = []
    try:
        with on_signals(waiting.append):
            yield
    finally:
        for number in waiting:
            signal.raise_signal(number)


def event_file(
    path: Path | None, *, live: bool = False
) -> AbstractContextManager[EventFile | None]:
    """The events' file, to be opened; None where there is none."""
    return nullcontext() if path is None else EventFile(path, live=live)


def check_folder(flag: str, folder: Path, inputs: Sequence[Path], output: Path) -> None:
    """Refuse a folder that is none, or in which the next run would look for inputs.

    Raises:
        OptionError: It lies in an input.
        OutputError: It is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{flag} {folder} is a file; choose a folder")
    place, made = folder.resolve(), output.resolve()
    for path in inputs:
        below = path.is_dir() and place.is_relative_to(path.resolve())
        # What lies in the folder of the outputs is not taken for an input.
        hidden = place.is_relative_to(made) and made != path.resolve()
        if below and not hidden:
            raise OptionError(
                f"{flag} {folder} lies in the input {path}, and the next run would take what is"
                " there; choose another folder"
            )


def _places(plan: Plan, folder: Path, output: Path) -> dict[Job, Path]:
    """A folder for each job, named like its output; the folder itself for one input."""
    jobs = (*plan.jobs, *plan.skipped)
    if not plan.many:
        return dict.fromkeys(jobs, folder)
    names = {job: job.target.relative_to(output) for job in jobs}
    stems = {job: name.with_suffix("") for job, name in names.items()}
    often = Counter(stems.values())
    chosen = {job: names[job] if often[stem] > 1 else stem for job, stem in stems.items()}
    if len(set(chosen.values())) < len(jobs):
        chosen = names
    return {job: folder / name for job, name in chosen.items()}


def _told(best: BestFaces, folder: Path) -> str:
    short = f", {best.short} seen too shortly" if best.short else ""
    what = f"{counted(best.pictures, 'picture')} of {counted(best.tracks, 'face')}"
    return f"best faces: {what} in {folder}{short}"
