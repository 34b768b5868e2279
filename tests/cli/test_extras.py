"""``--events`` and ``--best-faces``: what a run tells of faces, and how it refuses to."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import av
import jsonschema
import pytest
from tests_support import portrait, write_portrait_clip

from vidfacedeblur import events
from vidfacedeblur.cli import main

SCHEMA: dict[str, Any] = json.loads(
    Path(events.__file__).with_name("events.schema.json").read_text()
)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_portrait_clip(tmp_path / "clip.mp4", frames=20)
    return tmp_path / "clip.mp4"


def told(path: Path) -> list[dict[str, Any]]:
    """The events of a file, each as the schema wants it."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for event in found:
        jsonschema.Draft202012Validator(SCHEMA).validate(event)
    return found


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if not line.endswith(" ...") and ": using " not in line]
    assert len(said) == 1, said
    return said[0]


def test_a_whole_run(clip: Path, small_weights: Path, tmp_path: Path) -> None:
    path, faces = tmp_path / "e.jsonl", tmp_path / "faces"
    report = tmp_path / "r.json"
    base = [str(clip), "-o", str(tmp_path / "out.mp4"), "--weights", str(small_weights)]
    base += ["--gate", "off", "--events", str(path), "--event-interval", "0.2"]
    assert main([*base, "--best-faces", str(faces), "--report", str(report)]) == 0
    found = told(path)
    assert [(e["event"], e["frame"], e["source"]) for e in found] == [
        ("start", 0, str(clip)),
        ("interval", 5, str(clip)),
        ("interval", 10, str(clip)),
        ("interval", 15, str(clip)),
        ("end", 19, str(clip)),
    ]
    end = found[-1]
    assert (end["frames"], end["deblurred_frames"], end["reason"]) == (20, 20, "flush")
    assert end["timing"]["encode"] > 0
    run = json.loads(report.read_text())["runs"][0]
    first = faces / "track-0001-1"
    about = json.loads(first.with_suffix(".json").read_text())
    assert about["source"] == str(clip)
    assert about["deblurred"] is True
    assert about["provenance"]["model"] == "deblurgan"
    for name in ("input_sha256", "weights_sha256", "options_sha256"):
        assert about["provenance"][name] == run[name]
    # The crops are what the two files show there.
    x0, y0, x1, y1 = about["region"]
    inside = (slice(max(y0, 0), min(y1, 240)), slice(max(x0, 0), min(x1, 256)))
    crop = (slice(inside[0].start - y0, None), slice(inside[1].start - x0, None))
    for source, name in ((clip, "-original.png"), (tmp_path / "out.mp4", ".png")):
        with av.open(source) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        with av.open(str(first) + name) as container:
            (picture,) = (f.to_ndarray(format="rgb24") for f in container.decode(video=0))
        seen = frames[about["frame"]][inside].astype(int)
        shown = picture[crop][: seen.shape[0], : seen.shape[1]]
        assert abs(shown - seen).mean() < 4, name
    with av.open(str(first) + ".png") as container:
        assert container.streams.video[0].format.name == "rgb24"


def test_events_on_standard_output(
    clip: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = [str(clip), "-o", str(tmp_path / "out.mp4"), "--weights", str(small_weights)]
    report = tmp_path / "r.json"
    base += ["--event-interval", "inf", "--report", str(report)]
    assert main([*base, "--events", "-"]) == 0
    lines = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert lines == ["start", "end"]
    assert '"event_interval": "inf"' in report.read_text()


def test_several_inputs(small_weights: Path, tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    write_portrait_clip(folder / "a.mp4", frames=4)
    shutil.copy(folder / "a.mp4", folder / "b.mp4")
    shutil.copy(folder / "a.mp4", folder / "deep" / "a.mp4")
    (folder / "bad.mp4").write_text("no video")
    ok, png = cv2.imencode(".png", portrait()[..., ::-1])
    assert ok
    (folder / "a.png").write_bytes(png.tobytes())
    out, faces = tmp_path / "out", tmp_path / "faces"
    base = [str(folder), "-o", str(out), "--weights", str(small_weights), "-q"]
    base += ["--events", str(tmp_path / "e.jsonl"), "--best-faces", str(faces)]
    assert main(base) == 1  # one cannot be read
    sources = [str(folder / name) for name in ("a.mp4", "a.png", "b.mp4", "deep/a.mp4")]
    found = told(tmp_path / "e.jsonl")
    assert [(e["source"], e["event"]) for e in found] == [
        (source, kind) for source in sources for kind in ("start", "end")
    ]
    wanted = {
        "a_deblurred.mp4": "a.mp4",  # two would share a name without their suffixes
        "a_deblurred.png": "a.png",
        "b_deblurred": "b.mp4",
        "deep/a_deblurred": "deep/a.mp4",
    }
    ends = ("-original.png", ".json", ".png")
    assert names(faces) == sorted(f"{name}/track-0001-1{end}" for name in wanted for end in ends)
    for name, source in wanted.items():
        about = json.loads((faces / name / "track-0001-1.json").read_text())
        assert about["source"] == str(folder / source)
    # What one input left is replaced where its output is missing, and nothing else.
    (out / "b_deblurred.mp4").unlink()
    kept = faces / "a_deblurred.mp4" / "track-0001-1.json"
    kept.write_text("kept")
    (faces / "b_deblurred" / "track-0001-1.json").write_text("old")
    assert main([*base, "--skip-existing"]) == 1
    assert kept.read_text() == "kept"
    assert (faces / "b_deblurred" / "track-0001-1.json").read_text().startswith("{")


def test_pictures_are_replaced_only_when_asked(
    clip: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    (faces / "track-0042-1.json").write_text("old")
    base = [str(clip), "--weights", str(small_weights), "-q", "--best-faces", str(faces)]
    assert main([*base, "-o", str(tmp_path / "a.mp4")]) == 2
    assert "holds pictures of faces already; --overwrite replaces them" in error_line(capsys)
    assert not (tmp_path / "a.mp4").exists()
    assert main([*base, "-o", str(tmp_path / "a.mp4"), "-y"]) == 0
    assert "track-0001-1.json" in names(faces)
    assert "track-0042-1.json" not in names(faces)


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--events", "clip.mp4"], 2, "clip.mp4 is taken by an input"),
        (["--events", "out.mp4"], 2, "out.mp4 is taken by an input, an output"),
        (["--events", "x.jsonl", "--timings", "x.jsonl"], 2, "x.jsonl is taken"),
        (["--events", "folder"], 2, "folder is taken"),
        (["--events", "-", "-o", "-"], 2, "--events - and -o - cannot both use standard output"),
        (["--events", "-", "--status", "-"], 2, "--events - and --status - cannot both use"),
        (["--ray-cores", "2"], 2, "--ray-cores needs --executor ray"),
        (["--ray-gpus", "0.5"], 2, "--ray-gpus needs --executor ray"),
        (["--events", "none/x.jsonl"], 5, "cannot write none/x.jsonl: No such file"),
        (["--event-interval", "-1"], 2, "--event-interval must be 0 or more, got -1"),
        (["--event-interval", "nan"], 2, "--event-interval must be 0 or more, got nan"),
        (["--best-faces", "f", "--faces", "none"], 2, "--best-faces needs faces"),
        (["--best-faces", "out.mp4"], 2, "out.mp4 is taken"),
        (["--best-faces", "text"], 5, "text is a file; choose a folder"),
        (["--best-faces", "x", "--report", "x"], 2, "x is taken"),
        (["folder", "--best-faces", "folder/f"], 2, "lies in the input folder"),
    ],
)
def test_contradictions(
    more: list[str],
    code: int,
    says: str,
    clip: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(clip.parent)
    Path("folder").mkdir()
    shutil.copy(clip, "folder/a.mp4")
    Path("text").write_text("")
    output = [] if "-o" in more else ["-o", "folder-out" if "folder/f" in more else "out.mp4"]
    before = names(Path())
    assert main(["clip.mp4", *more, *output, "-q"]) == code
    assert says in error_line(capsys)
    assert names(Path()) == before


def test_pictures_may_lie_among_the_outputs(
    clip: Path, small_weights: Path, tmp_path: Path
) -> None:
    inputs = tmp_path / "in"
    inputs.mkdir()
    clip.rename(inputs / "clip.mp4")
    base = [str(inputs), "-o", str(inputs / "out"), "--weights", str(small_weights), "-q", "-y"]
    base += ["--best-faces", str(inputs / "out" / "faces"), "--duration", "0.2"]
    for _ in range(2):
        assert main(base) == 0
    made = [name for name in names(inputs / "out") if not name.startswith("archive.")]
    assert len(made) == 4


def test_after_a_failure_what_was_true_stays(small_weights: Path, tmp_path: Path) -> None:
    """A face that went before the damage has its pictures and its end; one that stays has not."""
    # Away for longer than a face may be hidden.
    write_portrait_clip(tmp_path / "whole.mkv", frames=300, audio=False, empty=range(60, 160))
    data = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "short.mkv").write_bytes(data[: len(data) * 3 // 4])
    base = [str(tmp_path / "short.mkv"), "-o", str(tmp_path / "out.mkv"), "-q"]
    base += ["--weights", str(small_weights), "--events", str(tmp_path / "e.jsonl")]
    assert main([*base, "--best-faces", str(tmp_path / "faces")]) == 4
    found = told(tmp_path / "e.jsonl")
    assert found[0]["event"] == "start"
    starts, ends = ([e["track"] for e in found if e["event"] == k] for k in ("start", "end"))
    assert ends
    assert set(ends) < set(starts)  # the last one did not end
    pictures = {int(name.split("-")[1]) for name in names(tmp_path / "faces")}
    assert pictures
    assert pictures <= set(ends)
    assert not (tmp_path / "out.mkv").exists()


def test_a_kill_and_a_signal_leave_whole_lines(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "long.mkv", frames=600, audio=False)
    command = [sys.executable, "-m", "vidfacedeblur", str(tmp_path / "long.mkv")]
    command += ["-o", str(tmp_path / "out.mkv"), "-y", "-q", "--weights", str(small_weights)]
    command += ["--gate", "off", "--events", str(tmp_path / "e.jsonl"), "--event-interval", "0"]
    part = tmp_path / ".e.jsonl.part"
    for number, code in ((signal.SIGKILL, -9), (signal.SIGTERM, 143)):
        process = subprocess.Popen(command)
        end = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 3000):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(number)
        assert process.wait(20) == code
        written = part if number == signal.SIGKILL else tmp_path / "e.jsonl"
        assert written.read_text().endswith("}\n")
        assert told(written)[0]["event"] == "start"
        assert not any(event["event"] == "end" for event in told(written))
        part.unlink(missing_ok=True)
