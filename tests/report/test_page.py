"""The page of a run as HTML: what is said, in which order, and that text stays text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from report_support import BAD_NAME, Parsed, face, record, result, summary, write_faces

from vidfacedeblur.errors import OutputError
from vidfacedeblur.report import RunRecord, prune, write_page
from vidfacedeblur.report.pictures import SHOWN
from vidfacedeblur.report.text import amount, clock, href, script_json, shown


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.html"


def test_everything_is_there_in_order(page: Path, tmp_path: Path) -> None:
    made = record()
    faces = write_faces(tmp_path / "faces", sharp=frozenset({2}))
    done = summary(made, losses=("chapters are lost",), repairs=("a gap was closed",))
    options = {"options": {"strength": 1.0}}
    write_page(page, title="clip.mp4", record=made, summary=done, faces=faces, provenance=options)
    parsed = Parsed(page)
    order = [
        "chapters are lost",
        "clip.mp4",
        "Frames",
        "Left of the line",
        "When faces were changed",
    ]
    order += ["Time spent on a frame", "p50", "p95", "What was changed", "a" * 64, "strength"]
    places = [parsed.text.index(part, 40) for part in order]
    assert places == sorted(places)
    assert len([one for one in parsed.all("input") if one["type"] == "range"]) == 2 + 2
    assert [one["alt"] for one in parsed.all("img")][:2] == [
        "Face 1, picture 1, before",
        "Face 1, picture 1, after",
    ]
    headings = [tag for tag, _ in parsed.elements if tag in ("h1", "h2", "h3")]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert not list(tmp_path.glob(".*"))


def test_nothing_is_asked_for_from_elsewhere(page: Path, tmp_path: Path) -> None:
    made = record()
    write_page(
        page, title="c", record=made, summary=summary(made), faces=write_faces(tmp_path / "f")
    )
    parsed = Parsed(page)
    for _, attributes in parsed.elements:
        assert not {"style", "onclick", "onload"} & set(attributes)
        for name in ("src", "href", "srcset", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:image/webp;base64,", "#")), value
    policy = next(one["content"] for one in parsed.all("meta") if "http-equiv" in one)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_a_failed_run_says_so_first(page: Path) -> None:
    write_page(page, title="c.mp4", record=record(30), summary=None, error="disk is <full>")
    text = Parsed(page).text
    assert text.index("This run failed") < text.index("disk is <full>") < text.index("Frames")
    assert "30 frames" in text
    assert "Time spent on a frame" in text


def test_names_and_messages_stay_text(page: Path) -> None:
    made = record(30)
    done = summary(made, input=BAD_NAME, losses=(BAD_NAME,), tag=BAD_NAME)
    given = {BAD_NAME: BAD_NAME, "options": {BAD_NAME: BAD_NAME}}
    links = {"output_link": BAD_NAME, "index_link": "//evil/javascript:x"}
    write_page(page, title=BAD_NAME, record=made, summary=done, provenance=given, **links)  # type: ignore[arg-type]
    parsed = Parsed(page)
    assert len(parsed.scripts) == 2
    assert "alert(1)" not in "".join(parsed.scripts)
    assert parsed.text.count("alert(1)") >= 6
    assert "\\n\\u202egpj \\xe9 😀.mp4" in parsed.text
    targets = [one["href"] for one in parsed.all("a")]
    assert "/evil/javascript%3Ax" in targets
    assert not [t for t in targets if t and (":" in t or "//" in t)]


def test_the_size_is_bounded(page: Path) -> None:
    """900,000 frames, ten hours: no more than some thousand."""
    made = RunRecord()
    some = [result(i, [face(1 + i // 50), face(0, 0.3)]) for i in range(5000)]
    for i in range(900_000):
        made.add(some[i * len(some) // 900_000])
    assert made.frames == 900_000
    write_page(page, title="long.mkv", record=made, summary=summary(made))
    assert page.stat().st_size < 600_000


def test_most_faces_are_left_out_of_the_page(page: Path, tmp_path: Path) -> None:
    faces = write_faces(tmp_path / "faces", tracks=SHOWN + 5)
    made = record(30)
    write_page(page, title="c", record=made, summary=summary(made), faces=faces)
    assert f"The {SHOWN} best of {SHOWN + 5} faces are shown." in Parsed(page).text
    prune(faces)
    assert len(list(faces.glob("*-1.json"))) == SHOWN
    assert len(list(faces.iterdir())) == SHOWN * 6
    (faces / "track-0001-1.png").write_bytes(b"no picture")
    (faces / "track-0002-1.json").write_text("{")
    write_page(page, title="c", record=made, summary=summary(made), faces=faces)
    assert "Face 3" in Parsed(page).text


@pytest.mark.parametrize("timed", [True, False])
def test_little_to_say(page: Path, tmp_path: Path, timed: bool) -> None:
    write_page(page, title="none", record=RunRecord(), summary=None, error="no such file")
    assert "No frame was finished." in Parsed(page).text
    made = record(1, timed=timed)
    write_page(page, title="p.png", record=made, summary=summary(made), faces=tmp_path / "none")
    text = Parsed(page).text
    assert "No face was seen for long enough" in text
    assert "Moment" not in text
    assert "p95" in text
    made = record(20, tracks=0, timed=timed)
    write_page(page, title="empty", record=made, summary=summary(made, copied=True))
    assert "byte by byte" in Parsed(page).text


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write .*page.html: No such file"):
        write_page(tmp_path / "no" / "page.html", title="", record=RunRecord(), summary=None)
    (tmp_path / "page.html").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_page(tmp_path / "page.html", title="", record=RunRecord(), summary=None)
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_text() -> None:
    assert [clock(s) for s in (0, 12.44, 59.96, 3599.9, 3723, None)] == [
        *("0:00.0", "0:12.4", "1:00.0", "59:59.9", "1:02:03", ""),
    ]
    assert [amount(v) for v in (0.123, 12.34, 1234.5, 3)] == ["0.12", "12.3", "1,234", "3"]
    assert shown("a\x00\u2066\ud800b👨\u200d👩") == "a\\x00\\u2066\\ud800b👨\u200d👩"
    assert href("a b/ü?#%\udce9.mp4") == "a%20b/%C3%BC%3F%23%25%E9.mp4"
    assert json.loads(script_json({"a": BAD_NAME})) == {"a": BAD_NAME}
    assert "<" not in script_json(BAD_NAME)
