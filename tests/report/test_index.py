"""The index of an archive as HTML and data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from report_support import BAD_NAME, Parsed, entries

from vidfacedeblur.report import write_index


def test_ten_thousand_files(tmp_path: Path) -> None:
    path = tmp_path / "index.html"
    write_index(path, entries(10_000), title="archive", seconds=7200, note="a run of two hours")
    parsed = Parsed(path)
    assert path.stat().st_size < 2_500_000
    assert len(parsed.elements) < 300  # rows are made as they are shown
    assert len(json.loads(parsed.scripts[0])["files"]) == 10_000
    text = parsed.text
    order = ["archive", "a run of two hours", "Files10,000", "100 files failed"]
    order += ["no video stream in it, 3", "90 more are in the table", "All files"]
    places = [text.index(part, 40) for part in order]
    assert places == sorted(places)
    assert "2 h 0 min" in text


def test_names_stay_text(tmp_path: Path) -> None:
    (bad,) = entries(1)
    bad = replace(bad, input=BAD_NAME, state="failed", error=BAD_NAME, page=BAD_NAME)
    write_index(tmp_path / "index.html", [bad], title=BAD_NAME, note=BAD_NAME)
    parsed = Parsed(tmp_path / "index.html")
    assert len(parsed.scripts) == 2
    (file,) = json.loads(parsed.scripts[0])["files"]
    assert file[0].endswith("\\n\\u202egpj \\xe9 😀.mp4")
    assert file[9].startswith("%3C/script%3E%3Cscript%3E")
    assert parsed.text.count("alert(1)") == 5


def test_empty_and_wrong(tmp_path: Path) -> None:
    write_index(tmp_path / "index.html", [], title="nothing")
    assert "There is no file in this archive." in Parsed(tmp_path / "index.html").text
    (one,) = entries(1)
    with pytest.raises(ValueError, match=r"state must be one of failed, .*, got 'lost'"):
        write_index(tmp_path / "index.html", [replace(one, state="lost")], title="")
