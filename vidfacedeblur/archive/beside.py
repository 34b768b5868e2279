"""What is made of a file beside its output: events, rows of timings, pictures of faces, a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from vidfacedeblur.best import BestFaces
from vidfacedeblur.errors import OutputError, VidFaceDeblurError
from vidfacedeblur.events import TrackEvents
from vidfacedeblur.outcome import hash_of
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.provenance import made_with
from vidfacedeblur.report import RunRecord, prune, write_page
from vidfacedeblur.types import FrameResult, RunSummary
from vidfacedeblur.whole import STANDARD

_PRUNED = 2000
"""Frames after which pictures that no page would show are removed."""


class Beside:
    """Takes in the frames of one run; a context manager, which writes the page of one that fails.

    Args:
        source: The input.
        target: The output.
        pipeline: What makes it.
        scratch: A folder for what is needed meanwhile; whoever gives it removes it.
        events: Is told of faces that come, stay and go; None: nobody.
        interval: Seconds between two events of a face.
        take: Is given each frame's result.
        faces: Where the best faces go; None: nowhere.
        overwrite: Whether pictures of faces that are there are replaced.
        page: The page; None for none.
        index: The page that leads to it.
        say: Told when something slow begins.

    Raises:
        OutputExistsError: There are pictures of faces, and they may not be replaced.
    """

    def __init__(
        self,
        source: Path,
        target: Path,
        pipeline: FaceDeblurPipeline,
        *,
        scratch: Path,
        events: Callable[[dict[str, Any]], None] | None = None,
        interval: float = 1.0,
        take: Callable[[FrameResult], None] = lambda result: None,
        faces: Path | None = None,
        overwrite: bool = True,
        page: Path | None = None,
        index: Path | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._source, self._target, self._pipeline = source, target, pipeline
        self._page, self._index = page, index
        self._take = take
        self._began = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        self._record = RunRecord() if page else None
        self._events = None
        if events is not None:
            self._events = TrackEvents(events, source=str(source), interval=interval)
        self._faces = faces
        self._own = faces is None and page is not None and pipeline.faces.faces != "none"
        if self._own:
            self._faces = scratch / "faces"
        self.best: BestFaces | None = None
        """Is to be shown the frames; None where nobody wants pictures."""
        if self._faces is not None:
            # A page says it all once, so that its pictures need no hash of their own.
            known = {} if self._own else pipeline.provenance(hash_of(source, say))
            self.best = BestFaces(
                self._faces, source=str(source), provenance=known, overwrite=self._own or overwrite
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or self._page is None:
            return
        # After an error nobody knows whether faces are gone; the page shows those that it has.
        said = line_of(error) if isinstance(error, Exception) else "stopped before its end"
        with suppress(OutputError):  # the first error is what the user must hear of
            if self._own and self.best:
                self.best.close()
            self._write_page(None, said)

    def add(self, result: FrameResult) -> None:
        """Take in a finished frame."""
        self._take(result)
        if self._events:
            self._events.add(result)
        if self._record:
            self._record.add(result)
            if self._own and self._faces and self._record.frames % _PRUNED == 0:
                prune(self._faces)

    def end(self, summary: RunSummary) -> None:
        """The run came to its end, and faces that are there go with it.

        Raises:
            OutputError: Something cannot be written.
        """
        if self._events:
            self._events.flush()
        if self.best:
            self.best.close()
        if self._page:
            self._write_page(summary, None)

    def _write_page(self, summary: RunSummary | None, error: str | None) -> None:
        assert self._page is not None
        assert self._record is not None
        self._page.parent.mkdir(parents=True, exist_ok=True)
        write_page(
            self._page,
            title="standard input" if self._source == STANDARD else self._source.name,
            record=self._record,
            summary=summary,
            error=error,
            faces=self._faces,
            provenance=self._provenance(summary),
            output_link=self._link(Path(summary.output) if summary else self._target),
            index_link=self._link(self._index),
        )

    def _link(self, path: Path | None) -> str | None:
        assert self._page is not None
        if path is None or path == STANDARD:
            return None
        return os.path.relpath(path.absolute(), self._page.absolute().parent)

    def _provenance(self, summary: RunSummary | None) -> Mapping[str, Any]:
        pipeline = self._pipeline
        known = pipeline.provenance(summary.input_sha256 if summary else None)
        groups = (pipeline.options, pipeline.faces, pipeline.video)
        options = {k: v for group in groups for k, v in asdict(group).items() if k != "model"}
        return known | {
            "input": str(self._source),
            "options": options,
            "made_with": made_with(),
            "began": self._began,
        }


def line_of(error: BaseException) -> str:
    """What went wrong, in one line; what nobody foresaw is said to be so."""
    plain = isinstance(error, VidFaceDeblurError | OSError)
    text = " ".join(str(error).split()) or type(error).__name__
    return text if plain else f"internal error, {type(error).__name__}: {text}"
