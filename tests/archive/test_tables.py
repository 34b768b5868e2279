"""What is written at the end of an archive, whatever its files are called."""

from __future__ import annotations

from pathlib import Path

from vidfacedeblur.archive.tables import Entry, write_pages_index


def test_a_page_that_cannot_be_looked_at_is_absent(tmp_path: Path) -> None:
    (tmp_path / "a.html").touch()
    entries = [Entry(name, None, "failed", error="no video") for name in ("a", "b", "c")]
    pages = {"a": tmp_path / "a.html", "b": tmp_path / f"{'x' * 300}.html"}
    write_pages_index(tmp_path / "index.html", "archive", entries, pages)
    text = (tmp_path / "index.html").read_text()
    assert "a.html" in text
    assert "xxx" not in text
