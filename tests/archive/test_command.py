"""The command over several inputs, with real workers: killed, stopped, gone on with, in pieces."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
from archive_kills import build, command, compare, outcome, run_with_kills
from tests_support import write_portrait_clip

from vidfacedeblur.archive import tables
from vidfacedeblur.cli import main
from vidfacedeblur.pieces import pieces_ready

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(small_weights: Path) -> Start:
    """Starts the command in a process of its own."""

    def begin(source: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
        base = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(out), "-q"]
        base += ["--weights", str(small_weights), "--device", "cpu", "--gate", "off"]
        return subprocess.Popen([*base, *more], stderr=subprocess.PIPE)

    return begin


def wait_until(true: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 90
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def drafts(out: Path) -> list[Path]:
    return list(out.rglob(".*.part"))


def children(process: subprocess.Popen[bytes]) -> list[int]:
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(number) for number in text.split()]


def states(out: Path) -> dict[str, str]:
    with sqlite3.connect(out / "archive.sqlite") as base:
        return {os.fsdecode(t): s for t, s in base.execute("SELECT target, state FROM files")}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def schema(name: str) -> dict[str, Any]:
    path = Path(tables.__file__).with_name(f"{name}.schema.json")
    return dict(json.loads(path.read_text()))


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


TABLES = ["archive.csv", "archive.json", "archive.sqlite"]


def test_killed_again_and_again(small_weights: Path, tmp_path: Path) -> None:
    source, left, right = (tmp_path / name for name in ("in", "alone", "killed"))
    build(source, [], 24, seed=3)
    more = ["--gate", "off", "--workers", "2"] if (os.cpu_count() or 1) > 1 else ["--gate", "off"]
    begin = time.monotonic()
    subprocess.run(command(source, left, small_weights, more), stderr=subprocess.DEVNULL)
    longest = 1.2 * (time.monotonic() - begin)
    arguments = command(source, right, small_weights, more)
    problems = run_with_kills(arguments, right, 3, longest, seed=5)
    assert problems + compare(outcome(left), outcome(right), (left, right)) == []


def test_a_file_that_costs_two_workers(start: Start, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_portrait_clip(source / "long.mkv", frames=900, audio=False)
    process = start(source, out, "--workers", "1")
    wait_until(lambda: drafts(out), process)
    first = set(drafts(out))
    os.kill(*children(process), signal.SIGKILL)
    wait_until(lambda: set(drafts(out)) - first, process)
    os.kill(*children(process), signal.SIGKILL)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "the worker was killed by SIGKILL, as one before; left alone from now on" in said
    assert states(out) == {"long_deblurred.mkv": "quarantined"}
    assert names(out) == TABLES
    (row,) = table(out / "archive.csv")
    assert (row["state"], row["attempts"], row["output"]) == ("quarantined", "2", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_and_it_goes_on(number: int, start: Start, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_portrait_clip(source / "a.mp4", frames=6)
    process = start(source, out)
    process.communicate(timeout=60)
    write_portrait_clip(source / "b.mkv", frames=900, audio=False)
    report = tmp_path / "r.json"
    process = start(source, out, "--workers", "1", "--report", str(report))
    wait_until(lambda: any("b_deblurred" in p.name for p in drafts(out)), process)
    process.send_signal(number)
    said = process.communicate(timeout=30)[1].decode()
    assert process.returncode == 128 + number
    assert "stopped; start it again, and it goes on from here" in said
    assert names(out) == ["a_deblurred.mp4", *TABLES]
    rows = table(out / "archive.csv")
    assert [row["state"] for row in rows] == ["done", "unfinished"]
    told = json.loads(report.read_text())
    assert not told["summary"]["complete"]
    assert [Path(run["input"]).name for run in told["runs"]] == ["a.mp4"]
    made = (out / "a_deblurred.mp4").stat().st_mtime_ns
    process = start(source, out, "--workers", "1", "--duration", "40")  # to the end of both
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert set(states(out).values()) == {"done"}
    assert (out / "a_deblurred.mp4").stat().st_mtime_ns != made  # another option


def luma(path: Path) -> np.ndarray:
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="gray") for f in container.decode(video=0)])


def results(pieces: Path, number: int) -> int:
    return (pieces / f"piece-{number:05d}.results").stat().st_mtime_ns


def test_a_long_video_in_pieces_goes_on_in_the_middle(
    start: Start, small_weights: Path, tmp_path: Path
) -> None:
    source, out, whole = tmp_path / "in", tmp_path / "out", tmp_path / "whole"
    source.mkdir()
    write_portrait_clip(source / "long.mkv", frames=750, settings={"g": "25"})
    options = ["--encoder", "ffv1", "--threads", "1"]
    process = start(source, out, *options, "--chunk", "4", "--workers", "1")
    wait_until(lambda: len(list(out.rglob("*.results"))) >= 2, process)
    process.kill()
    process.communicate()
    (pieces,) = (out / ".vidfacedeblur" / "archive").iterdir()
    done = {number: results(pieces, number) for number in pieces_ready(pieces).done}
    assert done
    process = start(source, out, *options, "--chunk", "4", "--workers", "2")
    wait_until(lambda: len(pieces_ready(pieces).done) > len(done), process)
    assert {number: results(pieces, number) for number in done} == done  # not done again
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert names(out) == [*TABLES, "long_deblurred.mkv"]
    process = start(source, whole, *options, "--chunk", "0")
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert np.array_equal(luma(out / "long_deblurred.mkv"), luma(whole / "long_deblurred.mkv"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "in"
    (place / "deep").mkdir(parents=True)
    write_portrait_clip(place / "a & <b>.mp4", frames=8)
    shutil.copy(place / "a & <b>.mp4", place / "deep" / "c.mp4")
    (place / "bad.mp4").write_text("no video")
    return place


def test_everything_beside(
    folder: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    base = [str(folder), "-o", str(out), "--weights", str(small_weights), "--gate", "off"]
    base += ["--timings", str(tmp_path / "t.csv"), "--events", str(tmp_path / "e.jsonl")]
    base += ["--best-faces", str(tmp_path / "faces"), "--html", str(tmp_path / "index.html")]
    base += ["--compare", str(tmp_path / "compared"), "--status", str(tmp_path / "s.jsonl")]
    base += ["--report", str(tmp_path / "r.json")]
    for again in (False, True):
        assert main(base) == 1
        said = capsys.readouterr().err
        assert ("2 done" in said) == again
        rows = table(tmp_path / "t.csv")
        assert len(rows) == 16
        assert {Path(row["input"]).name for row in rows} == {"a & <b>.mp4", "c.mp4"}
        events = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
        assert [event["event"] for event in events] == ["start", "end"] * 2
        report = json.loads((tmp_path / "r.json").read_text())
        assert (report["summary"]["frames"], report["summary"]["failed"]) == (16, 1)
        assert report["summary"]["complete"]
    assert names(tmp_path / "compared") == ["a & <b>_deblurred.mp4", "deep/c_deblurred.mp4"]
    assert len(names(tmp_path / "faces" / "deep" / "c_deblurred")) == 3
    pages = ["a & <b>_deblurred.mp4.html", "bad_deblurred.mp4.html", "deep/c_deblurred.mp4.html"]
    assert names(tmp_path / "index_files") == pages
    index = (tmp_path / "index.html").read_text()
    assert "no video" not in index
    assert "is not a video that can be read" in index
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    for line in lines:
        jsonschema.validate(line, schema("status"))
    whole = json.loads((out / "archive.json").read_text())
    jsonschema.validate(whole, schema("archive"))
    assert schema("archive")["properties"]["schema"]["const"] == tables.SCHEMA
    files = [line for line in lines if line["what"] == "file"]
    assert [f["state"] for f in sorted(files, key=lambda f: f["input"])] == [
        *("done", "failed", "done"),
    ]
    assert lines[0]["what"] == "start"
    assert lines[-1] == lines[-1] | {"what": "end", "done": 2, "failed": 1, "files": 3}
    assert names(out) == [*sorted(["a & <b>_deblurred.mp4", *TABLES]), "deep/c_deblurred.mp4"]


def test_a_dry_run_writes_nothing(
    folder: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    base = [str(folder), "-o", str(out), "--weights", str(small_weights)]
    assert main([*base, "--dry-run"]) == 0
    assert not out.exists()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["new"] * 3
    assert main([*base, "-q"]) == 1
    before = {name: (out / name).stat().st_mtime_ns for name in names(out)}
    capsys.readouterr()
    assert main([*base, "--dry-run", "--retry-failed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = sorted(line.split("\t")[0] for line in lines)
    assert said == ["not done: done", "not done: done", "retried"]
    assert {name: (out / name).stat().st_mtime_ns for name in names(out)} == before


@pytest.mark.parametrize(("encoding", "said"), [("ascii", "\\U0001f600"), ("utf-8", "\U0001f600")])
def test_a_dry_run_tells_of_any_name(encoding: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("\U0001f600.mp4", "a\nb\x1b[31m.mp4"):
        (tmp_path / "in" / name).touch()
    command = [sys.executable, "-m", "vidfacedeblur", str(tmp_path / "in"), "--dry-run"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "out")],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode(encoding).splitlines()
    assert [line.count("\t") for line in lines] == [2, 2]
    assert f"in/{said}.mp4\t" in done.stdout.decode(encoding)
    assert "in/a\\nb\\x1b[31m.mp4\t" in done.stdout.decode(encoding)


def test_a_dry_run_whose_reader_leaves_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w") as full, pytest.MonkeyPatch.context() as patch:  # noqa: PTH123
        patch.setattr(sys, "stdout", full)
        assert main([str(folder), "-o", str(tmp_path / "out"), "--dry-run"]) == 5
        patch.undo()
    assert "cannot write standard output: No space left" in capsys.readouterr().err


def test_other_files_are_told_of_but_not_our_own(
    folder: Path, small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deep" / "d.rmvb").touch()
    base = [str(folder), "-o", str(folder), "--weights", str(small_weights), "--faces", "none"]
    base += ["--report", str(folder / "r.json"), "--html", str(folder / "index.html")]
    line = "vidfacedeblur: 1 other file left out (.rmvb 1); --match tries it"
    for more in ([], [], ["--dry-run"]):
        assert main([*base, *more]) == (0 if more else 1)
        assert capsys.readouterr().err.splitlines().count(line) == 1
    assert (folder / "index_files" / "deep" / "c_deblurred.mp4.html").exists()
    assert main([*base, "--dry-run", "--match", "*.mp4"]) == 0
    assert "left out" not in capsys.readouterr().err


def test_the_longest_file_names(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    first = source / ("\xe9" * 117 + ".mp4")  # 248 bytes with _deblurred
    write_portrait_clip(first, frames=3)
    for name in (f"{'x' * 237}a.mp4", f"{'x' * 237}b.mp4", f"{'x' * 251}.mp4"):
        shutil.copy(first, source / name)
    base = [str(source), "-o", str(out), "--weights", str(small_weights), "--gate", "off"]
    base += ["--html", str(tmp_path / "index.html"), "--best-faces", str(tmp_path / "faces")]
    base += ["--compare", str(tmp_path / "compared"), "--events", str(tmp_path / "e.jsonl")]
    (tmp_path / "compared").mkdir()
    (tmp_path / "faces").mkdir()
    for again in (False, True):
        assert main(base) == 1
        said = capsys.readouterr().err
        assert "3 outputs, 1 input failed or damaged" in said
        assert ("3 done" in said) == again
    (bad,) = [row for row in table(out / "archive.csv") if row["state"] != "done"]
    assert "File name too long" in bad["error"]
    pages = names(tmp_path / "index_files")
    assert len(pages) == len(names(tmp_path / "compared")) == 3
    assert all(len(os.fsencode(page)) <= 249 for page in pages)
    assert (tmp_path / "index.html").read_text().count("index_files/") == 3
    assert len(list((tmp_path / "faces").iterdir())) == 3


def test_two_runs_at_once(start: Start, small_weights: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    write_portrait_clip(source / "long.mkv", frames=600, audio=False)
    first = start(source, out)
    wait_until(lambda: drafts(out), first)
    second = start(source, out)
    said = second.communicate(timeout=60)[1].decode()
    assert second.returncode == 5
    assert (
        said.strip() == f"vidfacedeblur: another run is at work on {out}; wait for it, or stop it"
    )
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_on_a_ray_of_its_own(folder: Path, start: Start, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(folder, out, "--executor", "ray", "--workers", "1")
    said = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 1
    assert [line.partition("bad.mp4")[2] for line in said.splitlines()] == [
        " is not a video that can be read: wrong kind of file, or its header is missing"
    ]
    made = ["a & <b>_deblurred.mp4", *TABLES, "deep/c_deblurred.mp4"]
    assert names(out) == made
    assert sorted(states(out).values()) == ["done", "done", "failed"]


def test_one_input_may_be_run_like_several(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out"
    write_portrait_clip(clip, frames=4)
    base = [str(clip), "--weights", str(small_weights), "-q"]
    assert main([*base, "--workers", "auto", "-o", str(out) + "/"]) == 0
    assert names(out) == [*TABLES, "clip_deblurred.mp4"]
    capsys.readouterr()
    for asked in (["--workers", "1"], ["--workers", "auto"], ["--executor", "ray"]):
        assert main([*base, *asked, "-o", str(tmp_path / "o.mp4")]) == 2
        line = f"{asked[0]} is for several inputs, or a folder as --output"
        assert line in capsys.readouterr().err
    for wrong, line in (
        (["--chunk", "-1"], "--chunk must be 0 or more"),
        (["--workers", "0"], "--workers must be 1 or more"),
        (["--workers", "two"], "--workers must be a whole number or auto, got 'two'"),
        (["--ray-address", "auto"], "--ray-address needs --executor ray"),
    ):
        assert main([*base, *wrong, "-o", str(tmp_path / "o.mp4")]) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--shard", "4/3"], 2, "--shard must be I/N"),
        (["--chunk", "-1"], 2, "--chunk must be 0 or more"),
        (["--workers", "1000"], 2, "--workers 1000: this machine has"),
        (["--workers", "0"], 2, "--workers must be 1 or more"),
        (["--device", "cuda"], 2, "cuda"),
        (["--ray-address", "auto"], 2, "--ray-address needs --executor ray"),
        (["--weights", "/nowhere"], 2, "/nowhere"),
        (["--report", "out/archive.json"], 2, "is one of the archive's own"),
        (["--timings", "out/archive.csv"], 2, "is one of the archive's own"),
        (["--html", "page.txt"], 2, "--html must end in .html"),
    ],
)
def test_mistakes(
    folder: Path,
    tmp_path: Path,
    more: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path)
    assert main([str(folder), "-o", "out", "-q", *more]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
