"""The page that ``--html`` asks for: collected while a run goes on, written however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vidfacedeblur.errors import OptionError, OutputError

if TYPE_CHECKING:
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.cli.display import Display
    from vidfacedeblur.pipeline import FaceDeblurPipeline
    from vidfacedeblur.plan import Job
    from vidfacedeblur.report import RunRecord
    from vidfacedeblur.types import FrameResult, RunSummary

_STANDARD = Path("-")
_PRUNED = 2000
"""Frames after which pictures that no page would show are removed."""


def check_page(path: Path | None) -> None:
    """Refuse a page that could not be written, before anything is looked at.

    Raises:
        OptionError: It is not called .html.
        OutputError: Its folder is not there.
    """
    if path is None:
        return
    if path.suffix != ".html":
        raise OptionError(f"--html must end in .html, got {path}")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {path.parent}")


@dataclass
class JobPage:
    """What the page of one job will say."""

    path: Path
    job: Job
    pipeline: FaceDeblurPipeline
    record: RunRecord
    faces: Path | None
    """Where the best faces are; None if no faces are looked for."""
    watcher: BestFaces | None
    """Writes them there for this page alone; None where somebody else does."""
    summary: RunSummary | None = field(default=None)

    def add(self, result: FrameResult) -> None:
        """Take in a finished frame."""
        from vidfacedeblur.report import prune

        self.record.add(result)
        if self.watcher and self.faces and self.record.frames % _PRUNED == 0:
            prune(self.faces)

    def write(self, error: str | None = None) -> None:
        """Write it.

        Raises:
            OutputError: It cannot be written.
        """
        from vidfacedeblur.report import write_page

        if self.watcher is not None:
            self.watcher.close()
        source, target = self.job.source, self.job.target
        write_page(
            self.path,
            title="standard input" if source == _STANDARD else source.name,
            record=self.record,
            summary=self.summary,
            error=error,
            faces=self.faces,
            provenance=self._provenance(),
            output_link=None if target == _STANDARD else self._link(target),
        )

    def _link(self, target: Path) -> str:
        output = target if self.summary is None else Path(self.summary.output)
        return os.path.relpath(output.absolute(), self.path.absolute().parent)

    def _provenance(self) -> dict[str, Any]:
        known = self.pipeline.provenance(self.summary.input_sha256 if self.summary else None)
        groups = (self.pipeline.options, self.pipeline.faces, self.pipeline.video)
        options = {k: v for group in groups for k, v in asdict(group).items() if k != "model"}
        return known | {"input": str(self.job.source), "options": options}


@contextmanager
def page_of(
    path: Path | None,
    job: Job,
    pipeline: FaceDeblurPipeline,
    display: Display,
    *,
    faces: Path | None,
) -> Iterator[JobPage | None]:
    """The page of a job, written at the end, after an error as well; None where there is none.

    Args:
        path: The page; None for none.
        job: What is run.
        pipeline: By what.
        display: Told if the page of a run that failed cannot be written either.
        faces: Where the job's best faces go anyway; None if nobody asked for them.
    """
    if path is None:
        yield None
        return
    from vidfacedeblur.best import BestFaces
    from vidfacedeblur.report import RunRecord

    with TemporaryDirectory(prefix="vidfacedeblur-page-") as folder:
        watcher, shown = None, faces
        if faces is None and pipeline.faces.faces != "none":
            shown = Path(folder) / "faces"
            watcher = BestFaces(shown, source=str(job.source))
        page = JobPage(path, job, pipeline, RunRecord(), shown, watcher)
        try:
            yield page
        except BaseException as error:
            said = str(error) if isinstance(error, Exception) else "stopped before its end"
            try:
                page.write(said or type(error).__name__)
            except OutputError as second:
                # The first error is what the user must hear of.
                with suppress(OSError):
                    display.note(str(second))
            raise
        page.write()
