"""Broken files give frames or an error of ours; and the fuzzer that says so sees what it must."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOOLS = Path(__file__).resolve().parents[1] / "tools"
Make = Callable[..., Path]

PLANTED = """
import os, signal, socket, sys, time
sys.path.insert(0, {tools!r})
import av, fuzz_worker

kept = []

def open_source(path, options):
    match int(path.stem):
        case 0: os.kill(os.getpid(), signal.SIGKILL)
        case 1: time.sleep(60)
        case 2: raise IndexError("planted")
        case 3: open("/etc/passwd").close()
        case 4: kept.append(av.open({clip!r}))
        case 5: socket.socket().close()
        case 6: bytearray(4 << 30)
        case 7: os._exit(3)
    return original(path, options)

original, fuzz_worker.open_source = fuzz_worker.open_source, open_source
fuzz_worker.main()
"""
SEEN = [
    "SIGKILL",
    "hangs for over 1 s",
    "IndexError",
    "opened: open '/etc/passwd'",
    "words.mkv",
    "opened: socket.",
    "MemoryError",
    "the process ends with exit code 3",
]


@pytest.fixture(scope="session")
def clips(make_clip: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    small = {"frames": 8, "size": (48, 32)}
    make_clip(folder / "turned.mp4", orientation=6, sound=True, tags={"title": "a"}, **small)
    make_clip(folder / "words.mkv", sound=True, subtitles=("one", "two"), **small)
    make_clip(folder / "stream.ts", sound=True, **small)
    make_clip(folder / "deep.mov", encoder="prores_ks", pix_fmt="yuv422p10le", **small)
    make_clip(folder / "old.avi", encoder="mpeg4", times=range(0, 320, 40), **small)
    make_clip(folder / "net.webm", encoder="libvpx", **small)
    picture = Image.fromarray(np.arange(48 * 32 * 3, dtype=np.uint8).reshape(32, 48, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "photo.jpg", exif=exif)
    picture.quantize(16).save(folder / "palette.png", exif=exif, transparency=3)
    return folder


def fuzz(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, TOOLS / "fuzz_source.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_broken_files_give_frames_or_an_error(clips: Path, tmp_path: Path) -> None:
    result = fuzz(clips, "--files", "150", "--timeout", "30", "--out", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("150 files\n")
    assert "  whole\n" in result.stdout
    assert "  damaged\n" in result.stdout


def test_a_file_can_be_made_again(clips: Path, tmp_path: Path) -> None:
    made = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        assert fuzz(clips, "--only", "7", "--out", folder).returncode == 0
        made.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert len(made[0]) == 2
    assert made[0] == made[1]


def test_whatever_goes_wrong_is_seen(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(TOOLS))
    pool = importlib.import_module("fuzz_pool")
    script = PLANTED.format(tools=str(TOOLS), clip=str(clips / "words.mkv"))
    command = [sys.executable, "-c", script, str(clips), str(tmp_path), "--timeout", "1"]
    workers = pool.Pool(command, jobs=2, timeout=1, folder=tmp_path)
    found = {outcome.number: outcome for outcome in workers.run(range(len(SEEN) + 1))}
    assert found.pop(len(SEEN)).findings == ()
    for number, expected in enumerate(SEEN):
        findings = found[number].findings
        assert any(expected in finding.title + finding.detail for finding in findings), findings
    assert found[0].verdict == "crash"
