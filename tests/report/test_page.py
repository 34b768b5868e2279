"""The page of a run as HTML: what is said, in which order, and that text stays text."""

from __future__ import annotations

import json
from dataclasses import replace
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


def test_it_says_what_a_deblurred_face_is(page: Path, tmp_path: Path) -> None:
    made = record()
    for sharp, said in ((frozenset({1, 2}), 0), (frozenset({1}), 1)):
        faces = write_faces(tmp_path / str(said), sharp=sharp)
        write_page(page, title="c", record=made, summary=summary(made), faces=faces)
        assert Parsed(page).text.count("A deblurred face is an estimate") == said


def test_what_was_changed_is_counted_in_frames(page: Path) -> None:
    """Not the faces, of which a frame may have several, in all frames of the video."""
    made = RunRecord()
    for i in range(8):
        made.add(result(i, [face(1), face(2)] if i < 3 else [face(3, 0.0)]))
    write_page(page, title="c", record=made, summary=summary(made))
    assert "faces in 3 of 8 frames, nothing else" in Parsed(page).text
    none = record(20, tracks=0)
    write_page(page, title="c", record=none, summary=summary(none))
    assert "nothing; then every frame was encoded anew" in Parsed(page).text
    write_page(page, title="c", record=made, summary=summary(made, copied=True, deblurred=0))
    assert "nothing: the output is the input" in Parsed(page).text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 0, "duration": None}, ""),
        ({"start": 0, "duration": 1.5}, "worked on: from its first frame on, for 1.5 s."),
        (
            {"start": 61.25, "duration": None},
            "from 61.25 s after its first frame on. Frames are counted, and",
        ),
    ],
)
def test_a_part_of_an_input_is_named(page: Path, options: dict[str, object], said: str) -> None:
    made = record(30)
    write_page(page, title="c", record=made, summary=summary(made), provenance={"options": options})
    text = Parsed(page).text
    assert said in text
    assert ("Only a part of the input" in text) == bool(said)


def test_options_are_said_without_python(page: Path) -> None:
    made = record(30)
    options = {"crf": None, "regions": (), "strict": True, "isolate": False, "names": ("a", "b")}
    given = {
        "options": options,
        "made_with": {"ffmpeg": "8.1.2"},
        "began": "2026-01-02 03:04:05 UTC",
    }
    write_page(page, title="c", record=made, summary=summary(made), provenance=given)
    text = Parsed(page).text
    for said in ("crfnot given", "regionsnot given", "strictyes", "isolateno", "namesa, b"):
        assert said in text
    assert text.index("Made with1 entry") < text.index("ffmpeg8.1.2")
    assert "Begun2026-01-02 03:04:05 UTC" in text


@pytest.mark.parametrize(
    ("options", "tracks", "said"),
    [
        ({"faces": "none"}, 0, "No face was looked for"),
        ({"faces": "all", "exclude": ()}, 0, "No face was found, so"),
        ({"exclude": ((0, 0, 9, 9),)}, 0, "No face was found where they were asked for, so"),
        ({"strength": 0}, 1, "the strength that was asked for is 0."),
        ({"strength": 1}, 1, "Every face was sharp already"),
    ],
)
def test_why_no_face_was_changed(
    page: Path, tmp_path: Path, options: dict[str, object], tracks: int, said: str
) -> None:
    made = RunRecord()
    for i in range(30):
        made.add(result(i, [face(1, 0.0)] * tracks))
    given = {"options": options}
    done = summary(made)
    write_page(page, title="c", record=made, summary=done, provenance=given, faces=tmp_path / "f")
    text = Parsed(page).text
    assert said in text
    assert ("long enough" in text) == bool(tracks)


def test_a_damage_is_said_once(page: Path) -> None:
    made = record(30)
    done = summary(made, truncated="a.mkv is cut short: read 1 s of 2 s")
    write_page(page, title="c", record=made, summary=done)
    assert Parsed(page).text.count("cut short") == 1


def test_damaged_frames_are_named_up_to_ten(page: Path) -> None:
    made = record(30)
    for number in range(100, 112):
        made.add(replace(result(number, timed=number != 100), corrupt=True))
    done = summary(made, corrupt_frames=12)
    write_page(page, title="c", record=made, summary=done)
    told = Parsed(page).text.partition("12 frames with concealed damage: frames ")[2]
    assert told.startswith("100, 101 (0:04.0), 102 (0:04.1), ")
    assert told.split("109 (0:04.4)")[1].startswith(", ...")


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
    assert made.faces
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
