"""The files that ``--timings`` and ``--report`` write, also of a run that was stopped."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vidfacedeblur import __version__
from vidfacedeblur.errors import OptionError
from vidfacedeblur.provenance import made_with
from vidfacedeblur.types import STAGES, Face, FrameResult, RunSummary, StageStats
from vidfacedeblur.whole import STANDARD, check_place, whole_file, writing

SCHEMA = 1
"""Version of the report's form; rises when a field changes its meaning or goes."""

COLUMNS = ("input", "frame", "pts", "time", *STAGES, "total", "faces", "corrupt")


def _check_named(flag: str, path: Path | None) -> None:
    if path == STANDARD:
        raise OptionError(f"{flag} needs the name of a file; only lines go to standard output")


class TimingsFile:
    """A row a frame, as CSV or JSON lines, by the file's suffix.

    Columns: input, frame (from 0), pts, time (s), a column a stage and their sum (ms), faces (JSON
    in CSV: box, score, track, weight, sharpness before and after), and corrupt (whether the decoder
    had to conceal damage: true or false).
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None and path.suffix not in (".csv", ".jsonl"):
            raise OptionError(f"--timings must end in .csv or .jsonl, got {path}")
        _check_named("--timings", path)
        self._path = path
        self._stack = ExitStack()
        self._file: IO[Any] | None = None

    def __enter__(self) -> Self:
        if self._path is not None:
            self._file = self._stack.enter_context(whole_file(self._path))
            with writing(self._path):
                self._file.write(timing_head(self._path.suffix))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # As without an error or a signal: every row that is there is whole and true.
        self._file = None
        self._stack.close()

    def add(self, source: Path, result: FrameResult) -> None:
        """Write one frame's row."""
        if self._file is None or self._path is None:
            return
        with writing(self._path):
            self._file.write(timing_row(source, result, self._path.suffix))


def timing_row(source: Path, result: FrameResult, suffix: str) -> str:
    """One frame's row of a file with the suffix ``.csv`` or ``.jsonl``, with its line's end."""
    timing = result.timing
    milliseconds = [round(getattr(timing, stage), 3) for stage in (*STAGES, "total")]
    faces = [_face_values(face) for face in result.faces]
    head = (str(source), result.index, result.pts, result.time)
    if suffix == ".csv":
        return _csv_line((*head, *milliseconds, json.dumps(faces), json.dumps(result.corrupt)))
    row = dict(zip(COLUMNS, (*head, *milliseconds, faces, result.corrupt), strict=True))
    return json.dumps(row) + "\n"


def timing_head(suffix: str) -> str:
    """What comes before the rows."""
    return _csv_line(COLUMNS) if suffix == ".csv" else ""


def _csv_line(values: Iterable[Any]) -> str:
    text = StringIO(newline="")
    csv.writer(text).writerow(values)
    return text.getvalue()


def _face_values(face: Face) -> dict[str, Any]:
    def short(value: float | None) -> float | None:
        return None if value is None else round(value, 4)

    return {
        "box": [round(value, 2) for value in face.box],
        "score": short(face.score),
        "track": face.track,
        "weight": short(face.weight),
        "sharpness": short(face.sharpness),
        "sharpness_after": short(face.sharpness_after),
    }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _finite(value: Any) -> Any:
    """JSON has no infinity; it is written as a word."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def summary_of_values(values: Mapping[str, Any]) -> RunSummary:
    """A summary again from what `dataclasses.asdict` made of it, also by way of JSON."""
    stages = {name: StageStats(**stats) for name, stats in values["stages"].items()}
    lists = {name: tuple(values[name]) for name in ("repairs", "losses", "left_out")}
    return RunSummary(**{**values, "stages": stages, **lists})


class Report:
    """A JSON summary of the whole run, and of each input; written however the run ends.

    Its form is described in ``report.schema.json``, beside this file.
    """

    def __init__(self, path: Path | None, options: dict[str, Any]) -> None:
        _check_named("--report", path)
        if path is not None:
            check_place(path)
        self._path = path
        self._options = options
        self._began = _now()
        self._failures: list[dict[str, Any]] = []
        self._skipped: list[str] = []
        self.stopped = False
        """Whether the run was stopped before its end, without an error that says so."""
        self.summaries: list[RunSummary] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        ended = error is None or isinstance(error, Exception)
        self._write(complete=ended and not self.stopped)

    def add_skipped(self, source: Path) -> None:
        """Take in an input that was left out because its output exists."""
        self._skipped.append(str(source))

    def add(self, summary: RunSummary) -> None:
        """Take in a finished input."""
        self.summaries.append(summary)

    def add_failure(self, source: Path, error: Exception | str, code: int) -> None:
        """Take in an input that failed, and the exit code that it has alone."""
        self._failures.append({"input": str(source), "error": str(error), "exit_code": code})

    def _write(self, *, complete: bool) -> None:
        if self._path is None:
            return
        text = json.dumps(self._content(complete=complete), indent=2, default=str)
        with whole_file(self._path) as file:
            file.write(text + "\n")

    def _content(self, *, complete: bool) -> dict[str, Any]:
        runs = self.summaries
        frames, seconds = sum(r.frames for r in runs), sum(r.seconds for r in runs)
        summary: dict[str, Any] = {
            "inputs": len(runs) + len(self._failures),
            "failed": len(self._failures),
            "damaged": sum(r.damaged for r in runs),
            "skipped": len(self._skipped),
            "complete": complete,
            "frames": frames,
            "faces": sum(r.faces for r in runs),
            "deblurred": sum(r.deblurred for r in runs),
            "seconds": seconds,
            "fps": frames / seconds if seconds else 0.0,
        }
        if len(runs) == 1:
            summary["stages"] = {name: asdict(s) for name, s in runs[0].stages.items()}
        return {
            "schema": SCHEMA,
            "version": __version__,
            "made_with": made_with(),
            "began": self._began,
            "ended": _now(),
            "options": {name: _finite(value) for name, value in self._options.items()},
            "summary": summary,
            "runs": [asdict(r) | {"fps": r.fps, "damaged": r.damaged} for r in runs],
            "failures": self._failures,
            "skipped": self._skipped,
        }
