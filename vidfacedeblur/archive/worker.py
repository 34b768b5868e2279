"""What a worker does: one task after another, with networks that are loaded once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidfacedeblur.archive.spool import Spool
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.best import BestFaces
from vidfacedeblur.compare import compare
from vidfacedeblur.errors import OutputError, PieceError, VidFaceDeblurError, exit_code
from vidfacedeblur.events import TrackEvents
from vidfacedeblur.outcome import hash_of
from vidfacedeblur.pieces import join, pieces_ready, survey, why_whole, work_piece
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.records import timing_row
from vidfacedeblur.report import RunRecord, prune, write_page
from vidfacedeblur.types import FrameResult, RunSummary
from vidfacedeblur.video import open_source

_TOLD_SECONDS = 0.5
"""Between two words on how far a task is."""

_PRUNED = 2000
"""Frames after which pictures that no page would show are removed."""

Tell = Callable[[Heard], None]


class Worker:
    """Owns the networks; close it when done.

    Args:
        setup: What all its tasks have in common.
        tell: Hears of how tasks go, in the thread that performs them.

    Raises:
        VidFaceDeblurError: The networks cannot be made ready.
    """

    def __init__(self, setup: Setup, tell: Tell) -> None:
        self._tell = tell
        self._video = setup.video
        model = setup.model
        self._pipeline = FaceDeblurPipeline(
            model.model,
            weights=model.weights,
            engine=model.engine,
            device=model.device,
            threads=model.threads,
            faces=setup.faces,
            video=setup.video,
            on_status=lambda text: None,
        )
        for line in self._pipeline.notes:
            tell(Heard("note", {"text": line}))

    def close(self) -> None:
        """Free the networks."""
        self._pipeline.close()

    def perform(self, task: Task) -> Heard:
        """Do a task; what became of it. Only a signal to stop passes through as an exception."""
        self._pipeline.video = replace(self._video, overwrite=task.overwrite)
        try:
            return Heard("done", self._done(task), task)
        except Exception as error:  # noqa: BLE001 - one file's failure is not the archive's
            values = {"error": _line(error), "code": exit_code(error)}
            values["split"] = isinstance(error, PieceError)
            values["output"] = isinstance(error, OutputError | OSError)
            return Heard("failed", values, task)

    def _done(self, task: Task) -> dict[str, Any]:
        progress = _Progress(task, self._tell)
        if task.kind == "piece":
            work_piece(
                self._pipeline,
                Path(task.source),
                Path(task.target),
                Path(task.folder),
                task.number,
                on_frame=progress.add,
                watch=bool(task.extras.faces or task.extras.page),
            )
            return {}
        if task.kind == "join":
            return self._finished(task, progress)
        if task.chunk and self._is_split(task, progress):
            progress.tell()  # of how many frames it is
            return self._surveyed(task)
        return self._finished(task, progress)

    def _is_split(self, task: Task, progress: _Progress) -> bool:
        """Whether a file is done in pieces; what is wrong with it will be said when it is read."""
        target, options = Path(task.target), self._pipeline.video
        try:
            with open_source(Path(task.source), options) as source:
                progress.start(source.info.estimated_frames)
                return why_whole(source, target, options, seconds=task.chunk) is None
        except VidFaceDeblurError:
            return False

    def _surveyed(self, task: Task) -> dict[str, Any]:
        before: set[int] | None = None

        def tell_piece(number: int) -> None:
            nonlocal before
            if before is None:  # what an earlier run did, and this one did not remove
                before = set(pieces_ready(Path(task.folder)).done)
            self._tell(Heard("piece", {"number": number, "done": number in before}, task))

        told = survey(
            self._pipeline,
            Path(task.source),
            Path(task.target),
            Path(task.folder),
            seconds=task.chunk,
            on_piece=tell_piece,
            on_frame=lambda index: None,
        )
        return {"pieces": told.pieces}

    def _finished(self, task: Task, progress: _Progress) -> dict[str, Any]:
        """The output, and what is made beside it."""
        with _Beside(task, self._pipeline) as beside:

            def take(result: FrameResult) -> None:
                beside.add(result)
                if task.kind == "file":
                    progress.add(result)

            summary = self._ran(task, beside, progress, take)
            beside.end(summary)
        if task.extras.compare:
            self._compare(task)
        return {"summary": asdict(summary)}

    def _ran(
        self,
        task: Task,
        beside: _Beside,
        progress: _Progress,
        take: Callable[[FrameResult], None],
    ) -> RunSummary:
        source, target = Path(task.source), Path(task.target)
        if task.kind == "join":
            folder = Path(task.folder)
            return join(self._pipeline, source, target, folder, on_result=take, best=beside.best)
        return self._pipeline.run(
            source,
            target,
            on_start=lambda info: progress.start(info.estimated_frames),
            on_frame=take,
            watcher=beside.best,
        )

    def _compare(self, task: Task) -> None:
        place = Path(str(task.extras.compare))
        place.parent.mkdir(parents=True, exist_ok=True)
        compare(
            Path(task.source),
            Path(task.target),
            place,
            how=task.extras.compare_as,
            video=replace(self._pipeline.video, overwrite=True),
        )


class _Progress:
    """Tells now and then how far a task is."""

    def __init__(self, task: Task, tell: Tell) -> None:
        self._task, self._tell = task, tell
        self._frames = self._faces = 0
        self._total: int | None = None
        self._last = time.monotonic()

    def start(self, total: int | None) -> None:
        self._total = total

    def add(self, result: FrameResult) -> None:
        self._frames += 1
        self._faces += len(result.faces)
        now = time.monotonic()
        if now - self._last >= _TOLD_SECONDS:
            self._last = now
            self.tell()

    def tell(self) -> None:
        values = {"frames": self._frames, "faces": self._faces, "total": self._total}
        self._tell(Heard("frames", values, self._task))


class _Beside:
    """What is made of a file beside its output: events, timings, pictures of faces, a page."""

    def __init__(self, task: Task, pipeline: FaceDeblurPipeline) -> None:
        self._task = task
        self._extras = task.extras
        self._source = Path(task.source)
        self._pipeline = pipeline
        self._record = RunRecord() if task.extras.page else None
        self._events: TrackEvents | None = None
        self._timings: Spool | None = None
        self._stack = ExitStack()
        self._faces = self._place()
        self.best: BestFaces | None = None
        """Watches for the best pictures of each face; None where nobody wants them."""

    def __enter__(self) -> _Beside:
        with self._stack as stack:
            folder, extras = Path(self._task.folder), self._extras
            if extras.events:
                spool = stack.enter_context(Spool(folder, "events"))
                self._events = TrackEvents(
                    spool.add_values, source=self._task.source, interval=extras.interval
                )
            if extras.timings:
                self._timings = stack.enter_context(Spool(folder, "timings"))
            if self._faces is not None:
                sha256 = hash_of(self._source, lambda text: None) if extras.faces else None
                self.best = BestFaces(
                    self._faces,
                    source=self._task.source,
                    provenance=self._pipeline.provenance(sha256),
                    overwrite=True,
                )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._stack.close()
        if isinstance(error, Exception):
            self._page(None, _line(error))

    def add(self, result: FrameResult) -> None:
        if self._events:
            self._events.add(result)
        if self._timings:
            self._timings.add(timing_row(self._source, result, f".{self._extras.timings}"))
        if self._record:
            self._record.add(result)
            if self._faces and not self._extras.faces and self._record.frames % _PRUNED == 0:
                prune(self._faces)

    def end(self, summary: RunSummary) -> None:
        """Faces that are there at the end are told of only if the run came to it."""
        if self._events:
            self._events.flush()
        if self.best:
            self.best.close()
        self._page(summary, None)

    def _place(self) -> Path | None:
        """Where pictures of faces go: where the user wants them, or where the page takes them."""
        if self._extras.faces:
            return Path(self._extras.faces)
        if self._extras.page and self._pipeline.faces.faces != "none":
            return Path(self._task.folder) / "faces"
        return None

    def _page(self, summary: RunSummary | None, error: str | None) -> None:
        if self._record is None:
            return
        page = Path(str(self._extras.page))
        page.parent.mkdir(parents=True, exist_ok=True)
        faces = self._faces if self._faces is not None and self._faces.is_dir() else None
        write_page(
            page,
            title=self._source.name,
            record=self._record,
            summary=summary,
            error=error,
            faces=faces,
            provenance=self._pipeline.provenance(summary.input_sha256 if summary else None),
            output_link=_link(Path(self._task.target), page) if summary else None,
            index_link=_link(Path(self._extras.index), page) if self._extras.index else None,
        )


def _link(target: Path, page: Path) -> str:
    """The way from a page to a file, where both stay where they are to each other."""
    return os.path.relpath(target.absolute(), page.absolute().parent)


def _line(error: Exception) -> str:
    """What went wrong, in one line; what nobody foresaw is said to be so."""
    plain = isinstance(error, VidFaceDeblurError | OSError)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if plain else f"internal error, {type(error).__name__}: {text}"
