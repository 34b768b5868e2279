"""The journal keeps what it is told, lets one run in at a time, and survives its process."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from vidfacedeblur.archive.journal import Journal
from vidfacedeblur.errors import OutputError


def test_what_is_written_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    name = os.fsencode("b\udcff \U0001f600\n.mp4")
    with Journal(path) as journal:
        journal.add([(b"a.mp4", b"/in/a.mp4"), (name, b"/in/b")])
        first, second = journal.rows()
        journal.begin(first.id)
        journal.change(first.id, {"events": b"packed"}, state="done", summary='{"frames": 3}')
        journal.change(second.id, state="failed", error="b\udcff is no video", code=3)
    with Journal(path, locked=False) as journal:
        first, second = journal.rows()
        assert (first.state, first.attempts, first.figures) == ("done", 1, {"frames": 3})
        assert journal.records(first.id) == {"events": b"packed"}
        assert (second.target, second.error) == (name, "b\\udcff is no video")
    assert [p.name for p in tmp_path.iterdir()] == ["archive.sqlite"]


def test_one_run_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    with Journal(path):
        for locked in (True, False):
            with pytest.raises(OutputError, match="another run is at work on"):
                Journal(path, locked=locked)
    Journal(path).close()


@pytest.mark.parametrize("content", [b"no journal at all, but a text", b""])
def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.sqlite"
    path.write_bytes(content)
    if content:
        with pytest.raises(OutputError, match="is no journal, or was altered"):
            Journal(path)
    else:  # a run that was killed before it wrote anything
        Journal(path).close()


def test_a_journal_of_another_version(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as base:
        base.execute("UPDATE about SET value = '99'")
    with pytest.raises(OutputError, match="another version"):
        Journal(path)


def test_a_killed_writer_leaves_whole_rows_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    script = (
        "import sys, os; from pathlib import Path; from vidfacedeblur.archive.journal import"
        " Journal; j = Journal(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    j.add([(b'%d' % n, b'x'), (b'%d too' % n, b'y')]); n += 1\n"
        "    print(n, flush=True)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    told = 0
    while told < 20:
        told = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Journal(path) as journal:
        rows = list(journal.rows())
        assert len(rows) >= 2 * told
        assert len(rows) % 2 == 0


def test_what_was_half_written_is_undone_also_for_who_only_reads(tmp_path: Path) -> None:
    path, copy = tmp_path / "archive.sqlite", tmp_path / "killed" / "archive.sqlite"
    with Journal(path) as journal:
        journal.add([(b"a", b"a")])
    with sqlite3.connect(path, isolation_level=None) as base:
        base.execute("PRAGMA cache_size = 1")  # so that it writes before it is sure
        base.execute("BEGIN EXCLUSIVE")
        base.execute("UPDATE files SET state = 'done'")
        rows = [(b"%d" % number, bytes(4000)) for number in range(100)]
        base.executemany("INSERT INTO files (target, source, state) VALUES (?, ?, 'x')", rows)
        copy.parent.mkdir()
        for name in ("archive.sqlite", "archive.sqlite-journal"):
            shutil.copy(tmp_path / name, copy.parent / name)  # as a kill would leave them
        base.execute("ROLLBACK")
    base.close()
    with Journal(copy, locked=False) as journal:
        assert [(row.target, row.state) for row in journal.rows()] == [(b"a", "planned")]


def test_what_a_run_was_at_is_planned_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "archive.sqlite") as journal:
        journal.add([(b"a", b"a"), (b"b", b"b")])
        journal.begin(1)
        assert [row.target for row in journal.recover()] == [b"a"]
        row = journal.row(1)
        assert (row.state, row.interruptions, row.attempts) == ("planned", 1, 1)
        assert journal.recover() == []
