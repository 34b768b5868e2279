"""What is written when a run over an archive ends: a row for each file, and the totals."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from vidfacedeblur import __version__
from vidfacedeblur.archive.journal import FINISHED, Row
from vidfacedeblur.archive.spool import unpacked
from vidfacedeblur.report import IndexEntry, write_index
from vidfacedeblur.whole import STANDARD, standard_output, whole_file, writing

SCHEMA = 1
"""Version of the tables' form; rises when a field changes its meaning or goes."""


@dataclass(frozen=True)
class Entry:
    """A file of an archive, as it stands in ``archive.csv`` and ``archive.json``."""

    input: str
    output: str | None
    """None where there is none."""
    state: str
    """done, damaged (there is an output, of what could be read), failed, quarantined (it cost two
    workers), skipped (an output was there, and is not ours) or unfinished."""
    error: str | None = None
    exit_code: int | None = None
    """That the input would have alone."""
    attempts: int = 0
    frames: int = 0
    faces: int = 0
    deblurred: int = 0
    seconds: float = 0.0
    fps: float = 0.0
    warnings: str = ""
    """What was repaired, or could not be kept."""
    size: int | None = None
    """Of the input, in bytes."""
    output_size: int | None = None
    model: str | None = None
    input_sha256: str | None = None
    output_sha256: str | None = None
    weights_sha256: str | None = None
    options_sha256: str | None = None
    began: str | None = None
    """UTC."""
    ended: str | None = None


COLUMNS = tuple(Entry.__dataclass_fields__)


_FIGURES = (
    *("frames", "faces", "deblurred", "seconds", "model"),
    *("input_sha256", "output_sha256", "weights_sha256", "options_sha256"),
)


def entry_of(row: Row, output: Path) -> Entry:
    """What is said of a file that the journal knows."""
    told, made = row.figures, row.state in FINISHED
    figures = {name: told[name] for name in _FIGURES if made and name in told}
    seconds = figures.get("seconds", 0.0)
    warnings = [*told.get("repairs", ()), *told.get("losses", ())]
    return Entry(
        input=str(row.source_path),
        output=str(output / row.target_name) if made else None,
        state="unfinished" if row.state in ("planned", "running") else row.state,
        error=row.error,
        exit_code=row.code,
        attempts=row.attempts,
        fps=figures["frames"] / seconds if seconds else 0.0,
        warnings="; ".join(warnings),
        size=row.size,
        output_size=row.out_size if made else None,
        began=_time(row.began),
        ended=_time(row.ended),
        **figures,
    )


def totals(entries: Sequence[Entry]) -> dict[str, Any]:
    """Sums over an archive."""
    states = Counter(entry.state for entry in entries)
    seconds = sum(entry.seconds for entry in entries)
    frames = sum(entry.frames for entry in entries)
    return {
        "files": len(entries),
        **{state: states[state] for state in ("done", "damaged", "failed", "quarantined")},
        **{state: states[state] for state in ("skipped", "unfinished")},
        "frames": frames,
        "faces": sum(entry.faces for entry in entries),
        "deblurred": sum(entry.deblurred for entry in entries),
        "seconds": seconds,
        "fps": frames / seconds if seconds else 0.0,
        "size": sum(entry.size or 0 for entry in entries),
        "output_size": sum(entry.output_size or 0 for entry in entries),
    }


def write_tables(stem: Path, entries: Sequence[Entry], options: Mapping[str, Any]) -> None:
    """Write ``stem.csv`` and ``stem.json``.

    Raises:
        OutputError: They cannot be written.
    """
    with whole_file(stem.with_name(f"{stem.name}.csv"), "w") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        table.writerows(asdict(entry).values() for entry in entries)
    content = {
        "schema": SCHEMA,
        "version": __version__,
        "options": options,
        "totals": totals(entries),
        "files": [asdict(entry) for entry in entries],
    }
    with whole_file(stem.with_name(f"{stem.name}.json"), "w") as file:
        json.dump(content, file, indent=2, default=str)
        file.write("\n")


def write_joined(path: Path, head: str, contents: Iterable[bytes]) -> None:
    """Write what was kept of files, one after the other, into one file; ``-`` is standard output.

    Raises:
        OutputError: It cannot be written.
    """
    with _standard() if path == Path("-") else whole_file(path, "wb") as file:
        file.write(head.encode())
        for content in contents:
            file.write(unpacked(content))


def write_pages_index(
    path: Path, title: str, entries: Sequence[Entry], pages: Mapping[str, Path]
) -> None:
    """Write the page that leads to the files' own.

    Args:
        path: The page.
        title: What it is called.
        entries: The archive's files.
        pages: By input, where its own page is.

    Raises:
        OutputError: It cannot be written.
    """
    folder = path.absolute().parent

    def link(target: Path | str | None) -> str | None:
        return None if target is None else os.path.relpath(Path(target).absolute(), folder)

    listed = [
        IndexEntry(
            input=entry.input,
            output=entry.output,
            state=entry.state,
            error=entry.error,
            frames=entry.frames,
            faces=entry.faces,
            deblurred=entry.deblurred,
            seconds=entry.seconds,
            attempts=entry.attempts,
            # Not `Path.exists`, which raises an error where a name is too long for a file.
            page=link(page) if (page := pages.get(entry.input)) and os.path.lexists(page) else None,
            output_link=link(entry.output),
        )
        for entry in entries
    ]
    write_index(path, listed, title=title)


def _time(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


@contextmanager
def _standard() -> Iterator[IO[bytes]]:
    with writing(STANDARD):
        output = standard_output()
        yield output.buffer
        output.flush()
