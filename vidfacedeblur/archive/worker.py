"""What a worker does: one task after another, with networks that are loaded once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidfacedeblur.archive.beside import Beside, line_of
from vidfacedeblur.archive.spool import Spool
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.best import BestFaces
from vidfacedeblur.compare import compare
from vidfacedeblur.errors import OutputError, PieceError, VidFaceDeblurError, exit_code
from vidfacedeblur.pieces import join, pieces_ready, survey, why_whole, work_piece
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.records import timing_row
from vidfacedeblur.types import FrameResult, RunSummary
from vidfacedeblur.video import open_source

_TOLD_SECONDS = 0.5
"""Between two words on how far a task is."""

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
            values = {"error": line_of(error), "code": exit_code(error)}
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
        with ExitStack() as stack:
            beside = self._beside(task, stack)

            def take(result: FrameResult) -> None:
                beside.add(result)
                if task.kind == "file":
                    progress.add(result)

            summary = self._ran(task, beside.best, progress, take)
            beside.end(summary)
        if task.extras.compare:
            self._compare(task)
        return {"summary": asdict(summary)}

    def _beside(self, task: Task, stack: ExitStack) -> Beside:
        extras, folder, source = task.extras, Path(task.folder), Path(task.source)
        events = stack.enter_context(Spool(folder, "events")) if extras.events else None
        timings = stack.enter_context(Spool(folder, "timings")) if extras.timings else None

        def add_row(result: FrameResult) -> None:
            if timings is not None:
                timings.add(timing_row(source, result, f".{extras.timings}"))

        return stack.enter_context(
            Beside(
                source,
                Path(task.target),
                self._pipeline,
                scratch=folder,
                events=None if events is None else events.add_values,
                interval=extras.interval,
                take=add_row,
                faces=_path(extras.faces),
                page=_path(extras.page),
                index=_path(extras.index),
            )
        )

    def _ran(
        self,
        task: Task,
        best: BestFaces | None,
        progress: _Progress,
        take: Callable[[FrameResult], None],
    ) -> RunSummary:
        source, target = Path(task.source), Path(task.target)
        if task.kind == "join":
            folder = Path(task.folder)
            return join(self._pipeline, source, target, folder, on_result=take, best=best)
        return self._pipeline.run(
            source,
            target,
            on_start=lambda info: progress.start(info.estimated_frames),
            on_frame=take,
            watcher=best,
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


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
