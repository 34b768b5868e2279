"""The report has the form that its schema describes, however the run ends."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import jsonschema
import numpy as np
import pytest
from numpy.typing import NDArray
from tests_support import write_portrait_clip

from vidfacedeblur import records
from vidfacedeblur.cli import main
from vidfacedeblur.config import VideoOptions
from vidfacedeblur.types import RunSummary

SCHEMA: dict[str, Any] = json.loads(
    Path(records.__file__).with_name("report.schema.json").read_text()
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def report_of(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(report)
    return report


def test_the_schema_is_one_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    described = SCHEMA["$defs"]["run"]["properties"]
    assert set(described) == {f.name for f in fields(RunSummary)} | {"fps", "damaged"}
    assert SCHEMA["properties"]["schema"]["const"] == records.SCHEMA


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of a good clip, a damaged one, one cut short and a text."""
    folder = tmp_path / "in"
    folder.mkdir()
    write_portrait_clip(folder / "good.mp4", frames=4)
    write_portrait_clip(folder / "a.ts", frames=40, audio=False, faces=False)
    data = bytearray((folder / "a.ts").read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 4000, 97):
        data[place] ^= 0xFF
    (folder / "a.ts").rename(folder / "damaged.ts").write_bytes(data)
    write_portrait_clip(folder / "short.mkv", frames=60, audio=False)
    whole = (folder / "short.mkv").read_bytes()
    (folder / "short.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    (folder / "text.mp4").write_text("no video")
    return folder


def test_a_run_with_everything_in_it(inputs: Path, small_weights: Path, tmp_path: Path) -> None:
    base = ["--weights", str(small_weights), "-q", "--report", str(tmp_path / "r.json")]
    assert main([str(inputs), "-o", str(tmp_path / "out"), *base]) == 1
    report = report_of(tmp_path / "r.json")
    runs = {Path(run["input"]).name: run for run in report["runs"]}
    assert set(runs) == {"good.mp4", "damaged.ts"}
    assert runs["damaged.ts"]["damaged"]
    assert not runs["good.mp4"]["damaged"]
    failed = {Path(f["input"]).name: f["exit_code"] for f in report["failures"]}
    assert failed == {"short.mkv": 4, "text.mp4": 3}
    good = runs["good.mp4"]
    assert good["input_sha256"] == sha256(inputs / "good.mp4")
    assert good["output_sha256"] == sha256(Path(good["output"]))
    assert good["weights_sha256"] == sha256(small_weights)
    with av.open(good["output"]) as container:
        told = json.loads(container.metadata[good["tag"]])
    assert good["encoding"].startswith("libx264 yuv420p ")
    for name in ("input_sha256", "weights_sha256", "options_sha256"):
        assert told[name] == good[name]
    again = ["--skip-existing", "--keep-partial"]
    assert main([str(inputs), "-o", str(tmp_path / "out"), *base, *again]) == 1
    report = report_of(tmp_path / "r.json")
    assert len(report["skipped"]) == 2
    assert "cut short" in report["runs"][0]["truncated"]


def test_a_mistake_has_a_report_too(small_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    report = tmp_path / "r.json"
    arguments = ["-o", str(tmp_path / "o.mp4"), "--weights", str(small_weights), "-q"]
    assert main([str(tmp_path / "text.mp4"), *arguments, "--report", str(report)]) == 3
    assert report_of(report)["failures"][0]["exit_code"] == 3


def test_it_says_what_another_laboratory_needs(tmp_path: Path) -> None:
    report = tmp_path / "r.json"
    before = datetime.now(UTC).replace(microsecond=0)
    with records.Report(report, {}):
        pass
    told = report_of(report)
    began, ended = (datetime.fromisoformat(told[name]) for name in ("began", "ended"))
    assert before <= began <= ended <= datetime.now(UTC)
    made = told["made_with"]
    for package in ("av", "numpy", "opencv-python-headless", "facenet-pytorch", "torch"):
        assert made[package] == version(package)
    assert made["ffmpeg"] == av.ffmpeg_version_info
    assert int(made["cores"]) >= 1
    assert made["processor"]


def test_nothing_is_changed_but_what_the_rows_say(small_weights: Path, tmp_path: Path) -> None:
    """Measured on the files: frames without a face are equal, others but for the faces' places."""
    source, output, rows = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "t.jsonl"
    write_portrait_clip(source, frames=12, empty=range(5, 8))
    base = [str(source), "-o", str(output), "-q", "--weights", str(small_weights)]
    assert main([*base, "--gate", "off", "--crf", "0", "--timings", str(rows)]) == 0
    told = [json.loads(line) for line in rows.read_text().splitlines()]
    for row, before, after in zip(told, lumas(source), lumas(output), strict=True):
        changed = before != after
        boxes = [face["box"] for face in row["faces"] if face["sharpness_after"] is not None]
        assert changed.any() == bool(boxes)
        for x0, y0, x1, y1 in boxes:
            across, down = (x1 - x0) / 2, (y1 - y0) / 2
            high, wide = (max(0, int(low)) for low in (y0 - down, x0 - across))
            changed[high : math.ceil(y1 + down), wide : math.ceil(x1 + across)] = False
        assert not changed.any()
    assert 0 < sum(bool(row["faces"]) for row in told) < 12


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_damaged_frames_are_marked(
    inputs: Path, small_weights: Path, tmp_path: Path, suffix: str
) -> None:
    rows, report, page = (tmp_path / name for name in (f"t{suffix}", "r.json", "p.html"))
    asked = ["--timings", str(rows), "--report", str(report), "--html", str(page)]
    output = ["-o", str(tmp_path / "o.mp4"), "-q", "--weights", str(small_weights)]
    assert main([str(inputs / "damaged.ts"), *output, *asked]) == 4
    with rows.open(newline="") as file:
        told = (
            [json.loads(line) for line in file] if suffix == ".jsonl" else [*csv.DictReader(file)]
        )
    marked = [int(row["frame"]) for row in told if row["corrupt"] in (True, "true")]
    assert all(row["corrupt"] in (True, False, "true", "false") for row in told)
    assert 0 < len(marked) == report_of(report)["runs"][0]["corrupt_frames"] < len(told)
    assert f"concealed damage: frame {marked[0]} (0:45.9)" in page.read_text()


def lumas(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(path) as container:
        return [
            frame.to_ndarray(format="yuv420p")[: frame.height]
            for frame in container.decode(video=0)
        ]


def test_the_hash_of_the_options_tells_runs_apart(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4", frames=2)
    base = [str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mp4"), "-y", "-q"]
    base += ["--weights", str(small_weights), "--report", str(tmp_path / "r.json")]

    def told(*more: str) -> str:
        assert main([*base, *more]) == 0
        return str(report_of(tmp_path / "r.json")["runs"][0]["options_sha256"])

    assert told() == told("--threads", "1") == told("--isolate")
    assert len({told(), told("--strength", "0.5"), told("--crf", "30")}) == 3


def test_a_file_without_faces_is_left_untouched(
    small_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_portrait_clip(tmp_path / "none.mp4", faces=False)
    write_portrait_clip(tmp_path / "some.mp4")
    report = tmp_path / "r.json"
    base = ["--weights", str(small_weights), "--copy-if-no-faces", "-y", "--report", str(report)]
    for isolate in ([], ["--isolate"]):
        out = tmp_path / "out.mp4"
        assert main([str(tmp_path / "none.mp4"), "-o", str(out), *base, *isolate]) == 0
        assert out.read_bytes() == (tmp_path / "none.mp4").read_bytes()
        run = report_of(report)["runs"][0]
        assert run["copied"] is True
        assert run["tag"] is run["encoding"] is None
        assert run["input_sha256"] == run["output_sha256"]
    assert "copied as it is" in capsys.readouterr().err
    assert main([str(tmp_path / "some.mp4"), "-o", str(out), *base, "--gate", "off"]) == 0
    assert report_of(report)["runs"][0]["copied"] is False
    assert out.read_bytes() != (tmp_path / "some.mp4").read_bytes()
    # A copy under a name that lies would be no help.
    assert main([str(tmp_path / "none.mp4"), "-o", str(tmp_path / "o.mkv"), *base]) == 0
    assert report_of(report)["runs"][0]["copied"] is False
    assert "cannot be called .mkv" in capsys.readouterr().err
    assert main([str(tmp_path / "none.mp4"), "-o", str(out), *base, "--start", "1"]) == 2


def test_copying_contradicts_cutting() -> None:
    for options in ({"start": 1.0}, {"duration": 1.0}, {"strip_metadata": True}):
        with pytest.raises(Exception, match="contradict"):
            VideoOptions(copy_if_no_faces=True, **options)  # type: ignore[arg-type]
