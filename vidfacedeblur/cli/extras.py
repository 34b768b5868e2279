"""What a run tells of faces beside the video: ``--events``, ``--best-faces`` and ``--html``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidfacedeblur.cli.page import JobPage, page_of
from vidfacedeblur.errors import OptionError, OutputError, OutputExistsError
from vidfacedeblur.events import EventFile, TrackEvents

if TYPE_CHECKING:
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.cli.display import Display
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.plan import Job, Plan
    from vidfacedeblur.restore import Watcher
    from vidfacedeblur.types import FrameResult, RunSummary

STANDARD = Path("-")


def check_values(values: dict[str, Any]) -> None:
    """Refuse what contradicts itself, before anything is looked at.

    Raises:
        OptionError: An interval that is none, or pictures of faces where none are looked for.
    """
    if not values["event_interval"] >= 0:
        raise OptionError(f"--event-interval must be 0 or more, got {values['event_interval']:g}")
    if values["best_faces"] and values["faces"] == "none":
        raise OptionError("--best-faces needs faces, but --faces none looks for none")


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
        if not (replace or values["overwrite"]) and any(places[job].glob("track-*.json")):
            raise OutputExistsError(
                f"{places[job]} holds pictures of faces already; --overwrite replaces them"
            )
    return places


@dataclass(frozen=True)
class Extras:
    """What the jobs of a run tell of faces; does nothing where nothing is asked for.

    Args:
        events: Where events go, open; None for nowhere.
        interval: Seconds between two events of a face.
        places: Where each job's best faces go.
        replace: Whether pictures that are there are replaced.
        html: The page of the one job; None for none.
    """

    events: EventFile | None
    interval: float
    places: dict[Job, Path]
    replace: bool
    html: Path | None = None

    @contextmanager
    def of(self, job: Job, pipeline: FaceDeblurPipeline, display: Display) -> Iterator[JobExtras]:
        """What one job tells; faces that are there at its end are told of only if it succeeds."""
        events = self._events(job)
        best = self._best(job, pipeline, display)
        with page_of(self.html, job, pipeline, display, faces=self.places.get(job)) as page:
            yield JobExtras(events, best, page)
            # After an error nobody knows whether they are gone.
            if events:
                events.flush()
            if best:
                best.close()
                display.note(_told(best, self.places[job]))

    def _events(self, job: Job) -> TrackEvents | None:
        if self.events is None:
            return None
        return TrackEvents(self.events, source=str(job.source), interval=self.interval)

    def _best(self, job: Job, pipeline: FaceDeblurPipeline, display: Display) -> BestFaces | None:
        if job not in self.places:
            return None
        from vidfacedeblur.best import BestFaces
        from vidfacedeblur.outcome import hash_of

        return BestFaces(
            self.places[job],
            source=str(job.source),
            provenance=pipeline.provenance(hash_of(job.source, display.status)),
            overwrite=self.replace,
        )


@dataclass(frozen=True)
class JobExtras:
    """What one job tells."""

    events: TrackEvents | None
    best: BestFaces | None
    page: JobPage | None = None

    @property
    def watcher(self) -> Watcher | None:
        """Who is shown the frames: one at most, since a page takes what is kept anyway."""
        return self.best or (self.page.watcher if self.page else None)

    def add(self, result: FrameResult) -> None:
        """Take in a finished frame."""
        if self.events:
            self.events.add(result)
        if self.page:
            self.page.add(result)

    def done(self, summary: RunSummary) -> None:
        """Take in what the run did."""
        if self.page:
            self.page.summary = summary


def event_file(
    path: Path | None, *, live: bool = False
) -> AbstractContextManager[EventFile | None]:
    """The events' file, to be opened; None where there is none."""
    return nullcontext() if path is None else EventFile(path, live=live)


def extras_of(file: EventFile | None, places: dict[Job, Path], values: dict[str, Any]) -> Extras:
    """What a run over one input tells of faces."""
    return Extras(file, values["event_interval"], places, values["overwrite"], values["html"])


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
    return f"best faces: {best.pictures} pictures of {best.tracks} faces in {folder}{short}"
