"""The command as a person runs it: one clear line for each mistake, the right code, no debris."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from tests_support import read_times, write_portrait_clip

from vidfacedeblur.cli import main


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    write_portrait_clip(tmp_path / "clip.mp4")
    return tmp_path / "clip.mp4"


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error that is neither progress nor the choice of an engine."""
    error = capsys.readouterr().err
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("vidfacedeblur: ")]
    said = [line for line in lines if not line.endswith(" ...") and ": using " not in line]
    assert len(said) == 1, said
    return said[0]


def test_one_file(
    clip: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    code = main(
        [
            *(str(clip), "-o", str(out), "--weights", str(small_weights), "--device", "cpu"),
            *("--report", str(tmp_path / "r.json"), "--timings", str(tmp_path / "t.csv")),
            *("--gate", "off"),
        ]
    )
    assert code == 0
    assert read_times(out) == read_times(clip)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["summary"]["frames"] == report["summary"]["faces"] == 6
    assert report["summary"]["deblurred"] == report["runs"][0]["deblurred"] == 6
    assert report["summary"]["fps"] > 0
    assert report["summary"]["stages"]["deblur"]["p95"] > 0
    assert report["runs"][0]["tag"] == "vidfacedeblur"
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert float(rows[0]["total"]) == pytest.approx(
        sum(float(rows[0][s]) for s in ("decode", "detect", "deblur", "paste", "encode")), abs=0.01
    )
    assert len(json.loads(rows[0]["faces"])) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "6 frames, 6 faces (6 deblurred)" in said.err
    with av.open(out) as container:
        assert "deblurgan" in container.metadata["vidfacedeblur"]


def test_quiet_says_nothing(
    clip: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["-o", str(tmp_path / "o.mp4"), "--weights", str(small_weights), "-q"]
    assert main([str(clip), *arguments]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_folder_with_a_bad_file_in_it(
    clip: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    clip.rename(folder / "deep" / "good.mp4")
    (folder / "bad.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("left out")
    report = tmp_path / "r.jsonl"
    options = ["--weights", str(small_weights), "--timings", str(report)]
    code = main([str(folder), "-o", str(tmp_path / "out"), *options])
    assert code == 1
    tables = [f"archive.{suffix}" for suffix in ("csv", "json", "sqlite")]
    assert names(tmp_path / "out") == [*tables, "deep/good_deblurred.mp4"]
    assert "bad.mp4" in capsys.readouterr().err
    assert len(report.read_text().splitlines()) == 6


def test_existing_outputs(clip: Path, small_weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("mine")
    base = [str(clip), "-o", str(out), "--weights", str(small_weights), "-q"]
    assert main(base) == 2
    assert out.read_text() == "mine"
    assert main([*base, "--skip-existing"]) == 0
    assert out.read_text() == "mine"
    assert main([*base, "--overwrite"]) == 0
    assert out.stat().st_size > 1000


MISTAKES = [
    (["nosuch.mp4", "-o", "o.mp4"], 3, "nosuch.mp4"),
    (["text.mp4", "-o", "o.mp4"], 3, "text.mp4"),
    (["empty.mp4", "-o", "o.mp4"], 3, "empty.mp4"),
    (["sound.m4a", "-o", "o.mp4"], 3, "sound.m4a"),
    (["clip.mp4", "-o", ""], 2, "no output given"),
    (["a" * 300 + ".mp4", "-o", "o.mp4"], 3, "no such file"),
    (["clip.mp4", "-o", "a" * 300 + ".mp4"], 5, "a.mp4: its name is too long"),
    (["clip.mp4", "-o", "a" * 300 + "/"], 5, "its name is too long"),
    (["clip.mp4", "clip.mp4", "-o", "a" * 300], 5, "its name is too long"),
    (["clip.mp4", "-o", "new/" + "a" * 300 + ".mp4"], 5, "a.mp4: its name is too long"),
    (["clip.mp4", "-o", "o.mp4", "--report", "a" * 250], 5, "its name is too long"),
    (["clip.mp4", "-o", "o.mp4", "--report", "a" * 300], 2, "--report must be a shorter name"),
    (["clip.mp4", "-o", "o.mp4", "--html", "a" * 300], 2, "--html must be a shorter name"),
    (["clip.mp4", "-o", "o.mp4", "--best-faces", "a" * 300], 2, "--best-faces must be a shorter"),
    (["clip.mp4", "-o", "clip.mp4"], 2, "clip.mp4"),
    (["clip.mp4", "-o", "clip.mp4", "-y"], 2, "clip.mp4"),
    (["clip.mp4", "-o", "taken.mp4"], 2, "taken.mp4"),
    (["clip.mp4", "-o", "o.mp4", "--model", "deblurgan3"], 2, "deblurgan3"),
    (["clip.mp4", "-o", "o.mp4", "--model", "deblurganv2-inception"], 2, "--weights FILE"),
    (["clip.mp4", "-o", "o.mp4", "--device", "cuda"], 2, "cuda"),
    (["clip.mp4", "-o", "o.mp4", "--engine", "tensorrt"], 2, "cuda"),
    (["clip.mp4", "-o", "o.mp4", "--weights", "text.mp4"], 2, "text.mp4"),
    (["clip.mp4", "-o", "o.mp4", "--weights", "nosuch"], 2, "nosuch"),
    (["clip.mp4", "-o", "o.mp4", "--strength", "2"], 2, "--strength"),
    (["clip.mp4", "-o", "o.mp4", "--region", "0,900,5,5"], 2, "0,900,5,5 lies outside the picture"),
    (["clip.mp4", "-o", "o.mp4", "--exclude", "256,0,9,5"], 2, "--exclude 256,0,9,5 lies outside"),
    (["clip.mp4", "-o", "o.mp4", "--crop-size", "77"], 2, "--crop-size"),
    (["clip.mp4", "-o", "o.mp4", "--timings", "t.txt"], 2, "--timings"),
    (["clip.mp4", "-o", "o.mp4", "--encoder", "libx999"], 2, "libx999"),
    (["clip.mp4", "-o", "o.mp4", "--report", "nowhere/r.json"], 5, "nowhere"),
    (["clip.mp4", "-o", "o.mp4", "--timings", "nowhere/t.csv"], 5, "nowhere"),
    (["clip.mp4", "-o", "o.mp4", "--report", "clip.mp4"], 2, "clip.mp4"),
    (["clip.mp4", "-o", "o.mp4", "--report", "o.mp4"], 2, "o.mp4"),
    (["clip.mp4", "-o", "o.mp4", "--report", "twins"], 2, "twins"),
    (["clip.mp4", "-o", "o.mp4", "--overwrite", "--skip-existing"], 2, "--skip-existing"),
    (["clip.mp4", "-o", "text.mp4/o.mp4"], 5, "o.mp4"),
    (["clip.mp4", "-o", "y.mxf"], 2, "-o y.mxf: .mxf cannot be written; known are .mp4 .m4v"),
    (["clip.mp4", "-o", "y.wmv"], 2, ".wmv cannot be written"),
    (["clip.mp4", "-o", "y.wmv", "--copy-if-no-faces"], 2, ".wmv cannot be written"),
    (["clip.mp4", "-o", "o.mp4", "--compare", "c.xyz"], 2, ".xyz cannot be written"),
    (["text.xyz", "-o", "empty-folder"], 3, "text.xyz"),
    (["clip.mp4"], 2, "-o OUT"),
    (["-o", "o.mp4"], 2, "no INPUT"),
    (["empty-folder", "-o", "out"], 3, "empty-folder"),
    (["twins/a.avi", "twins/a.mkv", "-o", "out"], 2, "a_deblurred.mkv"),
    (["clip.mp4", "nosuch.mp4", "-o", "text.mp4"], 2, "text.mp4"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "says"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES]
)
def test_a_mistake_gives_one_clear_line(
    arguments: list[str],
    code: int,
    says: str,
    clip: Path,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("this is no video, only text\n" * 40)
    Path("text.xyz").write_text("nor is this")
    Path("empty.mp4").touch()
    Path("taken.mp4").write_text("mine")
    Path("empty-folder").mkdir()
    Path("twins").mkdir()
    clip_bytes = clip.read_bytes()
    for suffix in ("avi", "mkv"):
        with av.open(f"twins/a.{suffix}", "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            container.mux(stream.encode(None))
    with av.open("sound.m4a", "w", format="mp4") as container:
        from tests_support import write_audio

        write_audio(container, seconds=0.2)
    if "--weights" not in arguments and "--model" not in arguments:
        arguments = [*arguments, "--weights", str(small_weights)]
    monkeypatch.setattr("vidfacedeblur.engines.select.cuda_problem", lambda _: "no GPU here")
    before = names(tmp_path)
    assert main(arguments) == code
    assert says in one_line(capsys)
    assert names(tmp_path) == before
    assert clip.read_bytes() == clip_bytes
    assert Path("taken.mp4").read_text() == "mine"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_cleanly(
    number: signal.Signals, code: int, small_weights: Path, tmp_path: Path
) -> None:
    clip = tmp_path / "long.mp4"
    write_portrait_clip(clip, frames=500, audio=False)
    command = [sys.executable, "-m", "vidfacedeblur", str(clip), "-o", str(tmp_path / "o.mp4")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*command, "--weights", str(small_weights), "--report", str(tmp_path / "r.json")],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    deadline = time.monotonic() + 60
    while not any(p.name.endswith(".part") for p in tmp_path.iterdir()):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in error
    assert names(tmp_path) == ["long.mp4", "r.json"]
    report = json.loads((tmp_path / "r.json").read_text())
    assert not report["summary"]["complete"]
    failure = {"input": str(clip), "error": "stopped before its end", "exit_code": code}
    assert report["failures"] == [failure]
