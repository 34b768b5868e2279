"""The examples do what they say: each is run as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from skimage.io import imsave
from tests_support import portrait, write_audio, write_portrait_clip

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_portrait_clip(path, frames=12)
    return path


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_surveillance_loop(clip: Path, small_weights: Path) -> None:
    done = run(
        "surveillance_loop",
        clip,
        "--model",
        "deblurgan",
        "--weights",
        small_weights,
        "--gate",
        "off",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"frame {n}" for n in range(12)]
    assert all(re.search(r"track 1, sharpness 0\.\d\d -> \d\.\d\d, [\d.]+ ms", x) for x in lines)


def test_crops_for_recogniser(small_weights: Path, tmp_path: Path) -> None:
    for number in range(3):
        imsave(tmp_path / f"face{number}.png", portrait(4 * number)[20:200, 40:220])
    pictures = sorted(tmp_path.glob("*.png"))
    done = run(
        "crops_for_recogniser", *pictures, "--model", "deblurgan", "--weights", small_weights
    )
    assert done.returncode == 0, done.stderr
    found = re.findall(r"(face\d\.png): .* ([\d.]+) blurred, ([\d.]+) deblurred", done.stdout)
    assert [name for name, _, _ in found] == [path.name for path in pictures]
    assert all(0 < float(old) < 1 and 0 < float(new) < 1 for _, old, new in found)


def test_crops_for_recogniser_takes_any_kind_of_picture(
    small_weights: Path, tmp_path: Path
) -> None:
    grey = portrait()[20:200, 40:220, 1]
    kinds = [grey, np.dstack([grey, grey // 2]), np.dstack([grey] * 3), grey * np.uint16(256)]
    for number, image in enumerate(kinds):
        imsave(tmp_path / f"face{number}.png", image, check_contrast=False)
    pictures = sorted(tmp_path.glob("*.png"))
    done = run(
        "crops_for_recogniser", *pictures, "--model", "deblurgan", "--weights", small_weights
    )
    assert done.returncode == 0, done.stderr
    said = {line.partition(": ")[2] for line in done.stdout.splitlines()}
    assert len(said) == 1, done.stdout


def test_crops_for_recogniser_with_the_bundled_model_helps(tmp_path: Path) -> None:
    imsave(tmp_path / "face.png", portrait()[20:200, 40:220])
    done = run("crops_for_recogniser", tmp_path / "face.png", "--blur", "11")
    ((old, new),) = re.findall(r"([\d.]+) blurred, ([\d.]+) deblurred", done.stdout)
    assert float(new) > float(old), done.stdout + done.stderr


def test_asyncio_camera(clip: Path, small_weights: Path) -> None:
    done = run(
        *("asyncio_camera", clip, "--model", "deblurgan", "--weights", small_weights),
        *("--seconds", "3", "--fps", "200", "--gate", "off"),
    )
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"(\d+) frames came, (\d+) done, (\d+) faces; age (\d+) ms .* busy for (\d+) ms",
        done.stdout,
    )
    assert found is not None, done.stdout
    came, finished, faces, age, busy = map(int, found.groups())
    assert came > finished > 3, "the newest win"
    assert faces > 0
    assert age < 1500
    assert busy < 1000


def test_asyncio_camera_may_be_cancelled_while_it_decodes(clip: Path) -> None:
    code = f"""
import asyncio, pathlib, sys
sys.path.insert(0, {str(EXAMPLES)!r})
from asyncio_camera import camera

async def watch():
    async for _ in camera(pathlib.Path({str(clip)!r}), 1e6):
        pass

async def main():
    for number in range(100):
        try:
            await asyncio.wait_for(watch(), 0.01 + 1e-4 * number)
        except TimeoutError:
            pass

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_asyncio_camera_tells_what_was_at_work_when_it_was_cancelled() -> None:
    code = f"""
import asyncio, sys, time, types
sys.path.insert(0, {str(EXAMPLES)!r})
import asyncio_camera

class Stream:
    pushed, given = 0, []
    def push(self, frame):
        time.sleep(0.2)
        self.pushed += 1
        return self.give(self.pushed - 2) if self.pushed > 1 else []
    def flush(self):
        return self.give(self.pushed - 1)
    def give(self, index):
        self.given.append(index)
        return [types.SimpleNamespace(index=index, faces=())]

async def main():
    stream, told, frames = Stream(), [], asyncio.Queue()
    for _ in range(20):
        frames.put_nowait((time.monotonic(), None))
    asyncio_camera.show = lambda result, age, counts: told.append(result.index)
    pipeline = types.SimpleNamespace(stream=lambda: stream)
    task = asyncio.create_task(asyncio_camera.deblur(pipeline, frames, asyncio_camera.Counts()))
    while stream.pushed < 3:
        await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert told == stream.given == list(range(stream.pushed)), (told, stream.given)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["surveillance_loop", "asyncio_camera", "several_cameras"])
def test_a_clip_without_video_is_told_in_a_line(name: str, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        write_audio(container, seconds=0.2)
    done = run(name, tmp_path / "sound.mp4")
    assert done.returncode == 1
    assert re.fullmatch(rf"{name}: .*sound.mp4: not one frame of video in it\n", done.stderr)


def test_several_cameras(clip: Path, small_weights: Path) -> None:
    done = run(
        *("several_cameras", clip, "--model", "deblurgan", "--weights", small_weights),
        *("--cameras", "3", "--seconds", "1", "--rounds", "1"),
    )
    # The code says whether throughput was reached; on a busy machine it may not be.
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert re.search(r"one alone [\d.]+ fps; 3 together [\d.]+ fps", done.stdout)
    found = re.search(
        r"throughput together / alone ([\d.]+); slowest camera .* ([\d.]+)", done.stdout
    )
    assert found is not None, done.stdout
    assert float(found[1]) > 0
    assert float(found[2]) > 0


NAMES = ["surveillance_loop", "crops_for_recogniser", "asyncio_camera", "several_cameras"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mistake", ["no such model", "no such file"])
def test_a_mistake_is_told_in_a_line(name: str, mistake: str, clip: Path) -> None:
    picture = name == "crops_for_recogniser"
    if mistake == "no such file":
        done = run(name, "nowhere.png" if picture else "nowhere.mp4")
    else:
        done = run(name, *([] if picture else [clip]), "--model", "nope")
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("asyncio_camera", ["--fps", "0"], "--fps must be above 0"),
        ("surveillance_loop", ["--frames", "-3"], "--frames must be 1 or more"),
        ("several_cameras", ["--cameras", "0"], "--cameras and --rounds must be 1 or more"),
        ("several_cameras", ["--rounds", "0"], "--cameras and --rounds must be 1 or more"),
        ("several_cameras", ["--seconds", "0"], "--seconds above 0"),
        ("crops_for_recogniser", ["--blur", "0"], "--blur 1 or more"),
        ("crops_for_recogniser", ["--side", "0"], "--side must be 32 or more"),
    ],
)
def test_a_number_that_makes_no_sense_is_told(name: str, options: list[str], says: str) -> None:
    done = run(name, "nowhere", *options)
    assert done.returncode == 2
    assert says in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["surveillance_loop", "asyncio_camera", "several_cameras"])
def test_a_clip_that_is_damaged_is_told_in_a_line(name: str, clip: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(clip.read_bytes()[:500])
    done = run(name, damaged, "--model", "deblurganv2")
    assert done.returncode == 1
    assert done.stderr.startswith(f"{name}: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_frames_without_a_face_are_told_too(tmp_path: Path, small_weights: Path) -> None:
    """The gate leaves what is not blurred; a host's detector may be wrong."""
    path = tmp_path / "grey.mp4"
    write_portrait_clip(path, frames=3, faces=False)
    done = run("surveillance_loop", path, "--model", "deblurgan", "--weights", small_weights)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
