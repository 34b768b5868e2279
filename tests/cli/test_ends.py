"""However a run ends, nothing half-written stands under the final name, and nothing is lost."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from tests_support import write_portrait_clip

from vidfacedeblur import FaceDeblurPipeline, FaceOptions
from vidfacedeblur.cli import main
from vidfacedeblur.config import VideoOptions
from vidfacedeblur.engines import before_torch
from vidfacedeblur.errors import VidFaceDeblurError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def pipeline(small_weights: Path) -> Iterator[FaceDeblurPipeline]:
    with FaceDeblurPipeline(
        weights=small_weights, device="cpu", faces=FaceOptions(gate="off")
    ) as made:
        yield made


STAGES: dict[str, tuple[str, str]] = {
    "demux": ("vidfacedeblur.video.reading.Reader", "_notice_gap"),
    "decode": ("vidfacedeblur.video.source.VideoSource", "_frame"),
    "detect": ("vidfacedeblur.faces.schedule.FaceFinder", "push"),
    "deblur": ("vidfacedeblur.deblur.Deblurrer", "crops"),
    "paste": ("vidfacedeblur.video.canvas.FrameCanvas", "add"),
    "encode": ("vidfacedeblur.video.encoder.FrameEncoder", "encode"),
    "copy": ("vidfacedeblur.video.copying.Copies", "copy"),
    "verify": ("vidfacedeblur.video.verify", "_check"),
    "publish": ("vidfacedeblur.video.draft.Draft", "publish"),
}


def resolve(dotted: str) -> Any:
    import importlib

    module, _, name = dotted.rpartition(".")
    if name[0].islower():
        return importlib.import_module(dotted)
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_in_any_stage_ends_the_run_with_its_message(
    stage: str, pipeline: FaceDeblurPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = tmp_path / "a.mp4", tmp_path / "b.mp4"
    write_portrait_clip(clip, frames=30)
    out.write_text("old")
    owner = resolve(STAGES[stage][0])
    whole: Callable[..., Any] = getattr(owner, STAGES[stage][1])
    calls = 0

    def faulty(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 5 or stage in ("verify", "publish"):
            raise RuntimeError(f"fault in {stage}")
        return whole(*arguments, **named)

    monkeypatch.setattr(owner, STAGES[stage][1], faulty)
    monkeypatch.setattr(pipeline, "video", VideoOptions(overwrite=True))
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match=f"fault in {stage}"):
        pipeline.run(clip, out)
    assert time.monotonic() - begin < 5
    assert names(tmp_path) == ["a.mp4", "b.mp4"]
    assert out.read_text() == "old"


def start(clip: Path, out: Path, weights: Path, *more: str) -> subprocess.Popen[bytes]:
    """Start the command, and come back when its output has begun."""
    command = [sys.executable, "-m", "vidfacedeblur", str(clip), "-o", str(out), "-y", "-q"]
    command += ["--gate", "off"]  # slow enough to be interrupted
    process = subprocess.Popen([*command, "--weights", str(weights), *more])
    end = time.monotonic() + 60
    while not any(p.suffix == ".part" for p in out.parent.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


INTERRUPTED = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "vidfacedeblur.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
"""
COMMANDS = {
    "vidfacedeblur": "import runpy; runpy.run_module('vidfacedeblur', run_name='__main__')",
    "vidfacedeblur-live": "from vidfacedeblur.__main__ import live; sys.exit(live())",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_that_comes_while_a_command_is_loaded_is_one_line(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", INTERRUPTED + COMMANDS[name]],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (130, f"{name}: stopped\n")


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "long.mkv"
    write_portrait_clip(path, frames=600, audio=False)
    return path


def test_a_killed_run_leaves_a_part_that_the_next_one_clears(
    long_clip: Path, small_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    out = folder / "b.mkv"
    out.write_text("old")
    process = start(long_clip, out, small_weights)
    process.kill()
    process.wait()
    left = names(folder)
    assert len(left) == 2
    assert left[0].endswith(".part")
    assert out.read_text() == "old"
    base = ["-o", str(out), "-y", "-q", "--weights", str(small_weights)]
    assert main([str(long_clip), *base, "--duration", "0.2"]) == 0
    assert names(folder) == ["b.mkv"]
    assert out.stat().st_size > 1000


def test_the_child_goes_with_a_killed_parent(
    long_clip: Path, small_weights: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    process = start(long_clip, folder / "b.mkv", small_weights, "--isolate")
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while names(folder) and time.monotonic() < end:
        time.sleep(0.05)
    assert names(folder) == []  # it even clears up


@pytest.mark.parametrize(
    ("number", "code", "isolate"),
    [(signal.SIGINT, 130, False), (signal.SIGINT, 130, True), (signal.SIGTERM, 143, False)],
)
def test_signals(
    number: signal.Signals,
    code: int,
    isolate: bool,
    long_clip: Path,
    small_weights: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    more = ["--isolate"] if isolate else []
    process = start(long_clip, folder / "b.mkv", small_weights, *more)
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(20) == code
    assert time.monotonic() - begin < 5
    assert names(folder) == []


@pytest.mark.parametrize("sent", [0, 0.5])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_while_standard_input_waits(
    number: signal.Signals,
    code: int,
    sent: float,
    long_clip: Path,
    small_weights: Path,
    tmp_path: Path,
) -> None:
    folder, status = tmp_path / "out", tmp_path / "status"
    folder.mkdir()
    command = [sys.executable, "-m", "vidfacedeblur", "-", "-o", str(folder / "b.mkv")]
    command += ["--weights", str(small_weights)]
    video = long_clip.read_bytes()
    with (
        status.open("wb") as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdin is not None
        process.stdin.write(video[: int(sent * len(video))])
        process.stdin.flush()
        end = time.monotonic() + 60
        while b"using" not in status.read_bytes() if sent else not _waits(process.pid):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(1)
        begin = time.monotonic()
        process.send_signal(number)
        assert process.wait(20) == code
        assert time.monotonic() - begin < 5
    assert names(folder) == []


def _waits(pid: int) -> bool:
    """Whether a process has loaded what it needs and does nothing."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0] == "S" and "libavformat" in Path(f"/proc/{pid}/maps").read_text()


def test_an_error_of_the_callers_is_raised_while_standard_input_waits(
    long_clip: Path, small_weights: Path, tmp_path: Path
) -> None:
    code = f"""
from vidfacedeblur import FaceDeblurPipeline

def fail(result):
    raise RuntimeError("the caller's")

with FaceDeblurPipeline("deblurgan", weights={str(small_weights)!r}) as pipeline:
    pipeline.run("-", {str(tmp_path / "out.mkv")!r}, on_frame=fail)
"""
    command = [sys.executable, "-c", code]
    video = long_clip.read_bytes()
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, bufsize=0, **pipes) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        with suppress(BrokenPipeError):  # it need not take all that
            process.stdin.write(video[: len(video) // 2])
        assert process.wait(60) == 1  # and not when standard input ends
        assert b"RuntimeError: the caller's" in process.stderr.read()
    assert names(tmp_path) == []


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder of one clip, beside a file that is none."""
    (tmp_path / "in").mkdir()
    write_portrait_clip(tmp_path / "in" / "a.mp4", frames=6)
    (tmp_path / "text.mp4").write_text("no video")
    return tmp_path / "in"


def command(source: Path, out: str | Path, weights: Path) -> list[str]:
    base = [sys.executable, "-m", "vidfacedeblur", str(source), "-o", str(out), "-v"]
    return [*base, "--weights", str(weights), "--device", "cpu"]


@pytest.mark.parametrize(
    ("how", "source", "out", "made", "code"),
    [
        ("pipe", "in/a.mp4", "b.mp4", "b.mp4", 0),
        ("pipe", "in", "out/", "out/a_deblurred.mp4", 0),
        ("pipe", "text.mp4", "b.mp4", None, 3),
        ("terminal", "in/a.mp4", "b.mp4", "b.mp4", 0),
        ("closed", "in/a.mp4", "b.mp4", "b.mp4", 0),
    ],
)
def test_nobody_need_read_what_is_said(
    how: str,
    source: str,
    out: str,
    made: str | None,
    code: int,
    inputs: Path,
    small_weights: Path,
    tmp_path: Path,
) -> None:
    arguments = command(tmp_path / source, f"{tmp_path}/{out}", small_weights)
    if how == "closed":
        done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *arguments], check=False)
    else:
        ours, theirs = pty.openpty() if how == "terminal" else os.pipe()
        os.close(ours)
        done = subprocess.run(arguments, stderr=theirs, check=False)
        os.close(theirs)
    assert done.returncode == code
    assert made is None or (tmp_path / made).exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_waits_until_torch_is_loaded(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    def load(name: str) -> None:
        signal.raise_signal(number)  # inside of torch's C++, an error would end the process
        loaded.append(name)

    def pipeline(*_: object, **__: object) -> None:
        before_torch.load_torch()

    write_portrait_clip(tmp_path / "a.mp4")
    monkeypatch.setattr(before_torch, "import_module", load)
    monkeypatch.setattr("vidfacedeblur.pipeline.FaceDeblurPipeline", pipeline)
    handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert main([str(tmp_path / "a.mp4"), "-o", str(tmp_path / "b.mp4")]) == code
    assert loaded == ["torch"]
    assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]


def test_a_second_signal_leaves_no_picture_of_a_face(
    small_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, folder, scratch = tmp_path / "a.mkv", tmp_path / "out", tmp_path / "scratch"
    # The face is known to be gone, and its pictures are written, 3 seconds after it went.
    write_portrait_clip(clip, frames=600, audio=False, empty=range(20, 600))
    folder.mkdir()
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    more = ["--html", str(folder / "b.html"), "--engine", "torch"]  # loads fastest
    process = start(clip, folder / "b.mkv", small_weights, *more)
    end = time.monotonic() + 60
    while not list(scratch.rglob("*.png")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)  # of two that are the same the system may make one
    assert process.wait(20) in (130, 143)
    assert list(scratch.glob("vidfacedeblur-*")) == []


@pytest.mark.parametrize("isolate", [False, True])
def test_a_disk_that_runs_full(isolate: bool, small_weights: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    try:
        write_portrait_clip(tmp_path / "a.mp4", frames=100, audio=False)
        (disk / "b.mp4").write_text("old")
        command = [sys.executable, "-m", "vidfacedeblur", str(tmp_path / "a.mp4")]
        command += ["-o", str(disk / "b.mp4"), "-y", "-q", "--weights", str(small_weights)]
        command += ["--crf", "1", "--faces", "none", *(["--isolate"] if isolate else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 5
        assert "No space left on device" in done.stderr
        assert done.stderr.count("\n") == 1
        assert names(disk) == ["b.mp4"]
        assert (disk / "b.mp4").read_text() == "old"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_many_files_leave_no_descriptor_open(small_weights: Path, tmp_path: Path) -> None:
    write_portrait_clip(tmp_path / "a.mp4", frames=3)
    (tmp_path / "bad.mp4").write_bytes((tmp_path / "a.mp4").read_bytes()[:3000])
    descriptors = Path("/proc/self/fd")
    video, faces = VideoOptions(overwrite=True), FaceOptions(faces="none")
    with FaceDeblurPipeline(
        weights=small_weights, device="cpu", video=video, faces=faces
    ) as pipeline:
        counts = []
        for number in range(200):
            name = "bad.mp4" if number % 10 == 9 else "a.mp4"
            wrong = pytest.raises(VidFaceDeblurError) if name == "bad.mp4" else nullcontext()
            with wrong:
                pipeline.run(tmp_path / name, tmp_path / "b.mp4")
            counts.append(len(list(descriptors.iterdir())))
    assert len(set(counts)) == 1
