"""``-`` on either side: uncompressed pictures and whole files, between other programs."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest
from tests_support import audio_packets, read_times, write_portrait_clip

COMMAND = [sys.executable, "-m", "vidfacedeblur", "--quiet", "--device", "cpu"]


def go(
    small_weights: Path, *arguments: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    command = [*COMMAND, "--weights", str(small_weights), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=False)


def raw(clip: Path, form: str) -> bytes:
    """The clip's pictures, uncompressed, as another program would send them."""
    out = io.BytesIO()
    with av.open(str(clip)) as source, av.open(out, "w", format=form) as target:
        video = target.add_stream("rawvideo", 25)
        video.width, video.height, video.pix_fmt = 256, 240, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for number, frame in enumerate(source.decode(video=0)):
            frame.pict_type = 0
            if form == "yuv4mpegpipe":
                frame.pts, frame.time_base = number, Fraction(1, 25)
            target.mux(video.encode(frame))
    return out.getvalue()


def pictures(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data)) as container:
        return [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]


@pytest.mark.parametrize("form", ["nut", "yuv4mpegpipe"])
def test_uncompressed_pictures_on_both_sides(
    form: str, small_weights: Path, tmp_path: Path
) -> None:
    write_portrait_clip(tmp_path / "a.mp4", audio=False)
    given = raw(tmp_path / "a.mp4", form)
    report = tmp_path / "r.json"
    done = go(small_weights, "-", "-o", "-", "--gate", "off", "--report", str(report), given=given)
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    with av.open(io.BytesIO(done.stdout)) as container:
        assert container.format.name == form
    assert len(pictures(done.stdout)) == 6
    assert pictures(done.stdout) != pictures(given)  # a face was changed
    run = json.loads(report.read_text())["runs"][0]
    assert (run["input"], run["output"]) == ("-", "-")
    assert run["input_sha256"] is run["output_sha256"] is None
    plain = go(small_weights, "-", "-o", "-", "--faces", "none", given=given)
    assert pictures(plain.stdout) == pictures(given)


def test_a_whole_file_goes_out_as_matroska(small_weights: Path, tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    times = write_portrait_clip(clip)
    done = go(small_weights, str(clip), "-o", "-")
    assert done.returncode == 0, done.stderr
    (tmp_path / "b.mkv").write_bytes(done.stdout)
    # Its sound begins before zero, so Matroska moves everything.
    moved = read_times(tmp_path / "b.mkv")[0]
    assert [time - moved for time in read_times(tmp_path / "b.mkv")] == times
    assert audio_packets(tmp_path / "b.mkv") == audio_packets(clip)
    again = go(small_weights, "-", "-o", str(tmp_path / "c.mkv"), given=done.stdout)
    assert again.returncode == 0, again.stderr
    assert read_times(tmp_path / "c.mkv") == read_times(tmp_path / "b.mkv")
    part = go(small_weights, "-", "-o", "-", "--start", "0.1", "--isolate", given=done.stdout)
    assert part.returncode == 0, part.stderr
    assert len(pictures(part.stdout)) == 3


def test_a_closed_pipe(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4", frames=200, audio=False)
    command = [*COMMAND, "--weights", str(small_weights), "--faces", "none"]
    command += [str(tmp_path / "a.mp4"), "-o", "-", "--pipe-format", "nut"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1000)
        process.stdout.close()
        error = process.stderr.read().decode()
        assert process.wait(30) == 5
    assert error == "vidfacedeblur: standard output cannot be written: Broken pipe\n"


@pytest.mark.parametrize(
    ("arguments", "given", "code", "says"),
    [
        (["-", "-o", "x.mkv"], b"", 3, "standard input is not a video"),
        (["-", "-o", "x.mkv"], b"text " * 999, 3, "standard input is not a video"),
        (["-", "clip.mp4", "-o", "x"], b"", 2, "one input and one output"),
        (["clip.mp4", "clip2.mp4", "-o", "-"], b"", 2, "one input and one output"),
        (["-", "-o", "."], b"", 2, "needs a file as --output"),
        (["clip.mp4", "-o", "-", "--pipe-format", "avi"], b"", 2, "--pipe-format"),
    ],
)
def test_mistakes(
    arguments: list[str],
    given: bytes,
    code: int,
    says: str,
    small_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_portrait_clip(tmp_path / "clip.mp4", frames=2, audio=False)
    done = go(small_weights, *arguments, given=given)
    assert done.returncode == code
    assert says in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert done.stdout == b""
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_cut_short_pipe_is_damaged(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4", audio=False)
    given = raw(tmp_path / "a.mp4", "nut")  # the others do not say where they end
    done = go(small_weights, "-", "-o", "-", "--faces", "none", given=given[:-1000])
    assert done.returncode == 4
    assert b"damaged input" in done.stderr
    assert len(pictures(done.stdout)) == 5


def test_a_terminal_is_neither_read_nor_written(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4", frames=2, audio=False)
    ours, theirs = pty.openpty()
    command = [*COMMAND, "--weights", str(small_weights)]
    for side, arguments, code in (
        ("stdout", [str(tmp_path / "a.mp4"), "-o", "-"], 5),
        ("stdin", ["-", "-o", str(tmp_path / "b.mkv")], 3),
    ):
        streams = {side: theirs, "stderr": subprocess.PIPE}
        done = subprocess.run([*command, *arguments], **streams, text=True, check=False)  # type: ignore[call-overload]
        assert done.returncode == code
        assert "is a terminal" in done.stderr
    os.close(ours)
    os.close(theirs)


@pytest.mark.parametrize("form", ["nut", "yuv4mpegpipe"])
def test_between_two_ffmpegs_frames_are_the_librarys_own(
    form: str, small_weights: Path, tmp_path: Path
) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    clip = tmp_path / "a.mp4"
    write_portrait_clip(clip, frames=12, audio=False)
    output = tmp_path / "out.mkv"
    decode = ["ffmpeg", "-v", "error", "-i", clip, "-f", form]
    decode += ["-c:v", "rawvideo"] if form == "nut" else ["-vsync", "passthrough"]
    encode = ["ffmpeg", "-v", "error", "-f", form, "-i", "-", "-c:v", "ffv1", output]
    deblur = [*COMMAND, "--weights", str(small_weights), "--gate", "off", "-", "-o", "-"]
    with (
        subprocess.Popen([*decode, "-"], stdout=subprocess.PIPE) as first,
        subprocess.Popen(deblur, stdin=first.stdout, stdout=subprocess.PIPE) as second,
    ):
        done = subprocess.run(encode, stdin=second.stdout, check=False)
    assert (first.returncode, second.returncode, done.returncode) == (0, 0, 0)

    own = tmp_path / "own.mkv"
    arguments = ["--gate", "off", "--encoder", "ffv1", str(clip), "-o", str(own)]
    assert go(small_weights, *arguments).returncode == 0
    through, wanted = (pictures(path.read_bytes()) for path in (output, own))
    assert len(wanted) == 12
    assert through == wanted
    assert wanted != pictures(clip.read_bytes())
