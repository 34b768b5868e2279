"""The journal of an archive: what became of each file, on disk before anything else is done.

One SQLite file beside the outputs, written by one process at a time. Whatever happens to that
process, the next one goes on from what is written here.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from vidfacedeblur.errors import OutputError

SCHEMA = 1
"""Version of the tables' form."""

State = Literal["planned", "running", "done", "damaged", "failed", "quarantined"]
FINISHED = ("done", "damaged")
"""There is an output."""
GIVEN_UP = ("failed", "quarantined")

_TABLES = """
CREATE TABLE files (
    id INTEGER PRIMARY KEY,
    target BLOB NOT NULL UNIQUE,   -- below the folder of the journal
    source BLOB NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,       -- of workers, at this file
    interruptions INTEGER NOT NULL DEFAULT 0,  -- of whole runs, at this file
    whole INTEGER NOT NULL DEFAULT 0,        -- it cannot be done in pieces
    size INTEGER, mtime INTEGER, sha256 TEXT,  -- of the input
    options TEXT,                            -- a hash of those that show in the output
    made TEXT NOT NULL DEFAULT '',           -- what there is beside the output
    out_size INTEGER, out_mtime INTEGER,
    error TEXT, code INTEGER,
    summary TEXT,                            -- JSON of the run's figures
    began REAL, ended REAL
);
CREATE TABLE records (
    file INTEGER NOT NULL, kind TEXT NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (file, kind)
);
CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Row:
    """What is known of a file."""

    id: int
    target: bytes
    source: bytes
    state: State
    attempts: int
    deaths: int
    interruptions: int
    whole: int
    size: int | None
    mtime: int | None
    """Nanoseconds since 1970."""
    sha256: str | None
    options: str | None
    made: str
    out_size: int | None
    out_mtime: int | None
    error: str | None
    code: int | None
    summary: str | None
    began: float | None
    ended: float | None

    @property
    def source_path(self) -> Path:
        return Path(os.fsdecode(self.source))

    @property
    def target_name(self) -> str:
        return os.fsdecode(self.target)

    @property
    def figures(self) -> dict[str, Any]:
        """The run's summary; empty where there is none."""
        return dict(json.loads(self.summary)) if self.summary else {}


_COLUMNS = tuple(field.name for field in fields(Row))
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM files"  # noqa: S608 - our own names


class Journal:
    """An open journal; a context manager.

    Args:
        path: The file, made if it is not there; its folder is there.
        locked: Keep others out for as long as it is open; else it is only read.

    Raises:
        OutputError: It cannot be opened, is of another version, or another run is at work on it.
    """

    def __init__(self, path: Path, *, locked: bool = True) -> None:
        self.path = path
        with self._errors():
            # Also who only reads has to undo what a killed writer left half done.
            mode = "rwc" if locked else "rw" if os.access(path, os.W_OK) else "ro"
            name = path.absolute().as_uri()
            self._base = sqlite3.connect(
                f"{name}?mode={mode}", uri=True, isolation_level=None, timeout=0.5
            )
        try:
            with self._errors():
                if locked:
                    self._lock()
                self._check()
        except BaseException:
            self._base.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the next one in."""
        self._base.close()

    def rows(self) -> Iterator[Row]:
        """All files, in the order in which they were planned."""
        with self._errors():
            for values in self._base.execute(f"{_SELECT} ORDER BY id"):
                yield Row(*values)

    def row(self, file: int) -> Row:
        """One file."""
        with self._errors():
            values = self._base.execute(f"{_SELECT} WHERE id = ?", (file,)).fetchone()
        return Row(*values)

    def add(self, files: Iterable[tuple[bytes, bytes]]) -> None:
        """Take in new files, as target and source."""
        with self._writing():
            self._base.executemany(
                "INSERT INTO files (target, source, state) VALUES (?, ?, 'planned')", files
            )

    def adopt(self, row: Row, records: Mapping[str, bytes]) -> None:
        """Take over what another journal says of a file, in place of what this one does."""
        names = [name for name in _COLUMNS if name != "id"]
        marks = ", ".join("?" * len(names))
        with self._writing():
            self._base.execute(
                "DELETE FROM records WHERE file IN (SELECT id FROM files WHERE target = ?)",
                (row.target,),
            )
            cursor = self._base.execute(
                f"INSERT OR REPLACE INTO files ({', '.join(names)}) VALUES ({marks})",  # noqa: S608
                [getattr(row, name) for name in names],
            )
            self._keep(cursor.lastrowid, records)

    def change(self, file: int, records: Mapping[str, bytes] | None = None, **values: Any) -> None:
        """Write what is new of a file, all of it or nothing.

        Args:
            file: Its number.
            records: By kind, what is kept to be put into files at the end; replaces what was kept.
            values: By column.
        """
        if values.get("error"):  # which may name a file whose name is no text
            values["error"] = values["error"].encode(errors="backslashreplace").decode()
        names = ", ".join(f"{name} = ?" for name in values)
        with self._writing():
            self._base.execute(f"UPDATE files SET {names} WHERE id = ?", (*values.values(), file))  # noqa: S608
            if records is not None:
                self._base.execute("DELETE FROM records WHERE file = ?", (file,))
                self._keep(file, records)

    def begin(self, file: int) -> None:
        """A worker is given a file."""
        with self._writing():
            self._base.execute(
                "UPDATE files SET state = 'running', attempts = attempts + 1, began = ?,"
                " ended = NULL, error = NULL, code = NULL WHERE id = ?",
                (time.time(), file),
            )

    def recover(self) -> list[Row]:
        """Files that a run was at work on when it ended without a word; they are planned again."""
        rows = [row for row in self.rows() if row.state == "running"]
        with self._writing():
            self._base.execute(
                "UPDATE files SET state = 'planned', interruptions = interruptions + 1"
                " WHERE state = 'running'"
            )
        return rows

    def records(self, file: int) -> dict[str, bytes]:
        """What was kept of a file, by kind."""
        with self._errors():
            return dict(
                self._base.execute("SELECT kind, content FROM records WHERE file = ?", (file,))
            )

    def _keep(self, file: int | None, records: Mapping[str, bytes]) -> None:
        self._base.executemany(
            "INSERT INTO records VALUES (?, ?, ?)",
            [(file, kind, content) for kind, content in records.items()],
        )

    def _lock(self) -> None:
        # Held until it is closed, also by a process that is killed.
        self._base.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._base.execute("PRAGMA synchronous = FULL")
        with self._writing():
            if not self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                for statement in _TABLES.split(";"):
                    self._base.execute(statement)
                self._base.execute("INSERT INTO about VALUES ('schema', ?)", (str(SCHEMA),))

    def _check(self) -> None:
        found = self._base.execute("SELECT value FROM about WHERE key = 'schema'").fetchone()
        if found is None or found[0] != str(SCHEMA):
            raise OutputError(
                f"{self.path} was written by another version; move it away to begin anew"
            )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._errors():
            self._base.execute("BEGIN EXCLUSIVE")
            try:
                yield
            except BaseException:
                with suppress(sqlite3.Error):
                    self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise OutputError(
                    f"another run is at work on {self.path.parent}; wait for it, or stop it"
                ) from error
            raise OutputError(f"the journal {self.path} cannot be used: {error}") from error
        except sqlite3.DatabaseError as error:
            raise OutputError(
                f"{self.path} is no journal, or was altered ({error}); move it away to begin anew"
            ) from error
