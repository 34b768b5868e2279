"""Files that take their names when they are whole; and what is no file stays what it is."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from vidfacedeblur.errors import OptionError, OutputError
from vidfacedeblur.event_file import EventFile
from vidfacedeblur.records import Report, TimingsFile
from vidfacedeblur.whole import whole_file


def put(path: Path) -> None:
    with whole_file(path) as file:
        file.write("all of it\n")


def test_a_file_is_there_when_it_is_whole_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with whole_file(path) as file:
        file.write("half")
        file.flush()
        assert not path.exists()
    assert path.read_text() == "half"
    with pytest.raises(ZeroDivisionError), whole_file(path) as file:
        file.write(str(1 / 0))
    assert path.read_text() == "half"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, real = tmp_path / "a.json", tmp_path / "elsewhere/real.json"
    link.symlink_to(real)
    put(link)
    assert link.is_symlink()
    assert real.read_text() == "all of it\n"


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(path.read_text()))
    reader.start()
    put(path)
    reader.join(10)
    assert said == ["all of it\n"]
    assert path.is_fifo()


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*: Is a directory"):
        put(tmp_path)
    with pytest.raises(OutputError, match="No such file or directory"):
        put(tmp_path / "no/such/place")


def test_rows_stay_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with pytest.raises(ZeroDivisionError), TimingsFile(path):
        raise ZeroDivisionError
    assert path.read_text().startswith("input,frame,")


def test_a_whole_file_cannot_be_standard_output() -> None:
    with pytest.raises(OptionError, match="--report needs the name of a file"):
        Report(Path("-"), {})
    with pytest.raises(OptionError, match=r"--timings must end in|--timings needs the name"):
        TimingsFile(Path("-"))


def test_a_name_may_be_a_text(tmp_path: Path) -> None:
    with EventFile(str(tmp_path / "e.jsonl")) as events:
        events({"schema": 1})
    assert (tmp_path / "e.jsonl").read_text() == '{"schema": 1}\n'
