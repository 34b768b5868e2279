"""``--html``: a page however a run ends, and refusals before it begins."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from report_support import Parsed
from tests_support import portrait, write_portrait_clip

from vidfacedeblur.cli import main
from vidfacedeblur.errors import OutputError
from vidfacedeblur.whole import check_place


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_portrait_clip(tmp_path / "clip.mp4", frames=12)
    return tmp_path / "clip.mp4"


@pytest.fixture
def base(clip: Path, small_weights: Path, tmp_path: Path) -> list[str]:
    (tmp_path / "out").mkdir()
    command = [str(clip), "-o", str(tmp_path / "out" / "clip.mp4"), "-q", "--gate", "off"]
    return [*command, "--weights", str(small_weights), "--html", str(tmp_path / "page.html")]


def test_a_whole_run(base: list[str], tmp_path: Path) -> None:
    assert main(base) == 0
    page = Parsed(tmp_path / "page.html")
    assert "Frames12" in page.text
    assert "Deblurred12100 % of the faces found" in page.text
    assert [one["alt"] for one in page.all("img")] == [
        "Face 1, picture 1, before",
        "Face 1, picture 1, after",
    ]
    assert "out/clip.mp4" in [one.get("href") for one in page.all("a")]
    assert "strengthFalse" not in page.text
    assert "strength1.0" in page.text
    assert "Weights, SHA-256" in page.text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out", "page.html"]


def test_it_takes_the_best_faces_that_are_kept_anyway(base: list[str], tmp_path: Path) -> None:
    assert main([*base, "--best-faces", str(tmp_path / "faces")]) == 0
    assert (tmp_path / "faces" / "track-0001-1.json").exists()
    assert len(Parsed(tmp_path / "page.html").all("img")) == 2


def test_without_faces_and_of_a_picture(base: list[str], tmp_path: Path) -> None:
    import cv2

    assert main([*base, "--faces", "none"]) == 0
    page = Parsed(tmp_path / "page.html")
    assert "Time spent on a frame" in page.text
    assert page.all("img") == []
    ok, png = cv2.imencode(".png", portrait()[..., ::-1])
    assert ok
    (tmp_path / "p.png").write_bytes(png.tobytes())
    assert main([str(tmp_path / "p.png"), "-o", str(tmp_path / "o.png"), *base[3:]]) == 0
    page = Parsed(tmp_path / "page.html")
    assert "Frames1" in page.text
    assert len(page.all("img")) == 2


def test_a_run_that_fails_has_its_page(base: list[str], clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    clip.write_bytes(content[: len(content) * 2 // 3])
    code = main(base)
    assert code != 0
    text = Parsed(tmp_path / "page.html").text
    assert "This run failed, and wrote no output." in text
    assert "clip.mp4" in text


def test_an_error_on_the_way_keeps_what_was_seen(
    base: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vidfacedeblur.video import VideoSink

    def full(self: VideoSink) -> Path:
        raise OutputError("the disk is full")

    monkeypatch.setattr(VideoSink, "finish", full)
    assert main(base) == 5
    page = Parsed(tmp_path / "page.html")
    assert page.text.index("the disk is full") < page.text.index("Frames12")
    assert len(page.all("img")) == 2


def test_what_is_refused(
    base: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        ("page.htm", 2, "--html must end in .html"),
        ("none/page.html", 5, "there is no folder"),
        ("dir.html", 2, "it is a folder; name a file"),
        ("events.html", 2, "is taken by"),
    ]
    (tmp_path / "dir.html").mkdir()
    for name, code, said in cases:
        extra = ["--events", str(tmp_path / "events.html")]
        assert main([*base[:-1], str(tmp_path / name), *extra]) == code
        assert said in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize("flag", ["--html", "--report"])
def test_a_folder_that_cannot_be_written_to(
    flag: str,
    base: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "ro").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path / "ro")  # also root
    place = tmp_path / "ro" / "x.html"
    assert main([*base[:-2], flag, str(place)]) == 5
    line = f"vidfacedeblur: cannot write {place}: nothing may be written to {place.parent}\n"
    assert capsys.readouterr().err == line
    assert not list((tmp_path / "out").iterdir())


def test_a_link_or_a_device_needs_no_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ro").mkdir()
    (tmp_path / "ro" / "link.json").symlink_to(tmp_path / "real.json")
    (tmp_path / "back.json").symlink_to(tmp_path / "ro" / "real.json")
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path / "ro")
    check_place(Path("/dev/null"))
    check_place(tmp_path / "ro" / "link.json")
    with pytest.raises(OutputError, match="nothing may be written to"):
        check_place(tmp_path / "back.json")


@pytest.mark.parametrize("flag", ["--html", "--report", "--timings", "--events"])
def test_of_several_inputs_nothing_is_begun(
    flag: str, base: list[str], clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "x.csv" if flag == "--timings" else "x.html"
    several = [str(clip), str(clip), "-o", str(tmp_path / "out"), *base[3:-2]]
    assert main([*several, flag, str(tmp_path / "none" / name)]) == 5
    assert "there is no folder" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_several_inputs_go_on_without(base: list[str], clip: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    shutil.move(clip, tmp_path / "in" / "clip.mp4")
    assert main([str(tmp_path / "in"), "-o", str(tmp_path / "out"), *base[3:]]) == 0
