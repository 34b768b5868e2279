"""Where finished frames go: files that survive a kill, servers, whoever asks."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext
from live.cameras import free_port, wait_until
from tests_support import portrait

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import OptionError, OutputError
from vidfacedeblur.live import (
    Freshest,
    LiveFrame,
    LiveResult,
    LiveSource,
    Publisher,
    SegmentWriter,
    publish,
)
from vidfacedeblur.live.values import StreamClock
from vidfacedeblur.types import FrameResult, FrameTiming


def result(number: int, *, epoch: int = 1, size: tuple[int, int] = (256, 240)) -> LiveResult:
    """The frame of a camera with 25 fps, as a session hands it out."""
    image = np.roll(portrait(), number, 1)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(*size, format="yuv420p")
    picture.pts, picture.time_base = 3600 * number, Fraction(1, 90_000)
    frame = LiveFrame(
        picture, picture.pts, picture.time_base, 100 + number / 25, 1.7e9 + number / 25, epoch
    )
    timing = FrameTiming()
    done = FrameResult(number, picture.pts, picture.time_base, (), timing, picture)
    return LiveResult(done, frame, 0.05)


def times_of(path: Path) -> list[float]:
    with av.open(path) as container:
        return [round(float(f.pts * f.time_base), 3) for f in container.decode(video=0)]  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_files_are_as_long_as_asked_and_lose_no_frame(tmp_path: Path, kind: str) -> None:
    writer = SegmentWriter(tmp_path / "a" / "b", seconds=1, kind=kind, tags={"comment": "made so"})  # type: ignore[arg-type]
    for number in range(60):
        writer.write(result(number))
        if number == 30:
            names = sorted(path.name for path in (tmp_path / "a" / "b").iterdir())
            assert names == [
                f"camera-20231114T221320.000Z.{kind}",
                f"camera-20231114T221321.000Z.part.{kind}",
            ]
    writer.close()
    writer.close()
    assert [path.name for path in writer.finished] == [
        f"camera-20231114T22132{second}.000Z.{kind}" for second in range(3)
    ]
    assert sorted((tmp_path / "a" / "b").iterdir()) == writer.finished
    assert [len(times_of(path)) for path in writer.finished] == [25, 25, 10]
    assert times_of(writer.finished[1])[:3] == [0.0, 0.04, 0.08]
    with av.open(writer.finished[0]) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
        assert tags["comment"] == "made so"
        assert tags["creation_time"].startswith("2023-11-14T22:13:20")
        assert container.streams.video[0].codec_context.name == "h264"


def at_rate(
    folder: Path, fps: Fraction, kind: Literal["mkv", "mp4"], *, seconds: int
) -> list[Path]:
    """Two files of a camera of that rate."""
    writer = SegmentWriter(folder, kind=kind, seconds=seconds)
    for number in range(round(2 * seconds * fps)):
        given = result(number % 10)
        pts = round(90_000 * number / fps)
        frame = replace(given.frame, pts=pts, arrived=100 + float(number / fps))
        writer.write(replace(given, frame=frame))
    writer.close()
    return writer.finished


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
@pytest.mark.parametrize("fps", [Fraction(1, 2), Fraction(5), Fraction(30)])
def test_a_file_claims_no_rate_but_its_pictures_and_ends_where_the_next_begins(
    tmp_path: Path, fps: Fraction, kind: Literal["mkv", "mp4"]
) -> None:
    files = at_rate(tmp_path, fps, kind, seconds=4)
    assert len(files) == 2
    for path in files:
        with av.open(path) as container:
            video = container.streams.video[0]
            assert video.average_rate in (None, fps)
            assert container.duration == 4_000_000
            assert (video.codec_context.extradata or b"")[3] == 12, "the level, for x264 knows it"
            assert len(list(container.decode(video=0))) == 4 * fps


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="there is no ffmpeg")
def test_who_converts_a_slow_cameras_file_gets_each_picture_once(tmp_path: Path) -> None:
    first, _ = at_rate(tmp_path, Fraction(5), "mkv", seconds=4)
    made = tmp_path / "made.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-i", first, made], check=True, timeout=120)
    assert len(times_of(made)) == 20


def test_a_gap_another_connection_or_size_begins_another_file(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, name="door")
    for number in range(5):
        writer.write(result(number))
    writer.gap()
    writer.gap()
    for number in range(10, 15):
        writer.write(result(number))
    for number in range(15, 20):
        writer.write(result(number, epoch=2))
    for number in range(20, 25):
        writer.write(result(number, epoch=2, size=(128, 120)))
    writer.close()
    assert [len(times_of(path)) for path in writer.finished] == [5, 5, 5, 5]
    assert all(path.name.startswith("door-") for path in writer.finished)


def test_odd_sizes_and_times_that_do_not_rise(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    for number in (0, 1, 1, 3, 2):
        writer.write(result(number, size=(131, 97)))
    writer.close()
    times = times_of(writer.finished[0])
    assert len(times) == 5
    assert times == sorted(times)


@pytest.mark.parametrize("jump", [-(2**33), 10**12], ids=["back", "far ahead"])
def test_a_clock_that_is_set_meanwhile_changes_no_files_times(tmp_path: Path, jump: int) -> None:
    writer = SegmentWriter(tmp_path, seconds=1)
    for number in range(70):
        given = result(number)
        pts = 2**33 + 3600 * number + (jump if number >= 35 else 0)
        writer.write(replace(given, frame=replace(given.frame, pts=pts)))
    writer.close()
    assert [len(times_of(path)) for path in writer.finished] == [25, 25, 20]
    assert times_of(writer.finished[1]) == [round(n / 25, 3) for n in range(25)]


def test_a_clock_that_is_set_time_and_again_costs_no_more_each_time() -> None:
    clock = StreamClock()
    for number in range(200):
        given = result(number)
        frame = replace(given.frame, pts=90_000 * (number % 10), arrived=100 + number * 8 / 7)
        taken = clock.time(replace(given, frame=frame))
        assert 90_000 % taken.denominator == 0
    assert float(taken) == pytest.approx(100 + 20 * 9 + 19 * 8 / 7, abs=1e-3)


def test_a_burst_after_a_pause_of_the_network_keeps_its_times(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path)
    for number in range(50):
        given = result(number)
        late = replace(given.frame, arrived=max(given.frame.arrived, 101.0))
        # Two of three were dropped for newer ones while they all came at once.
        if number % 3 == 0:
            writer.write(replace(given, frame=late))
    writer.close()
    assert times_of(writer.finished[0]) == [round(n / 25, 3) for n in range(0, 50, 3)]


def test_what_a_picture_looks_like_is_kept_and_it_is_not_touched(tmp_path: Path) -> None:
    writer = SegmentWriter(tmp_path, crf=10)
    given = result(0)
    before = given.result.image.to_ndarray(format="rgb24").astype(int)
    writer.write(given)
    writer.close()
    assert given.result.image.pts == 0
    assert (given.result.image.to_ndarray(format="rgb24") == before).all()
    with av.open(writer.finished[0]) as container:
        after = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(after - before).mean() < 3


_RECORDS_FOR_EVER = """
import sys, time
sys.path[:0] = {paths!r}
from live.test_outputs import result
from vidfacedeblur.live import SegmentWriter
from pathlib import Path
writer = SegmentWriter(Path({folder!r}), seconds=3600, kind={kind!r})
for number in range(10**6):
    writer.write(result(number))
    print(number, flush=True)
"""


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_killed_recording_plays_and_gets_its_name(tmp_path: Path, kind: str) -> None:
    tests = Path(__file__).parent.parent
    code = _RECORDS_FOR_EVER.format(
        paths=[str(tests), str(tests.parent)], folder=str(tmp_path), kind=kind
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        written = 0
        while written < 150:
            written = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    (part,) = tmp_path.iterdir()
    assert part.name.endswith(f".part.{kind}")
    frames = len(times_of(part))
    assert frames > 50, "all but the last seconds"
    writer = SegmentWriter(tmp_path, kind=kind)  # type: ignore[arg-type]
    assert [path.name for path in writer.finished] == ["camera-20231114T221320.000Z." + kind]
    assert len(times_of(writer.finished[0])) == frames
    writer.close()


def test_a_killed_recording_gets_its_name_whatever_it_and_the_next_are_called(
    tmp_path: Path,
) -> None:
    writer = SegmentWriter(tmp_path, name="cam[1]")
    for number in range(50):
        writer.write(result(number))
    writer.close()
    (whole,) = writer.finished
    whole.rename(tmp_path / "cam[1]-20231114T221320.000Z.part.mkv")
    assert SegmentWriter(tmp_path, name="cam[1]", kind="mp4").finished == [whole]
    assert list(tmp_path.iterdir()) == [whole]


def test_recordings_that_go_on_or_cannot_be_read_are_left_alone(tmp_path: Path) -> None:
    first = SegmentWriter(tmp_path)
    first.write(result(0))
    (rubbish := tmp_path / "camera-20200101T000000.000Z.part.mkv").write_bytes(b"x" * 1000)
    (other := tmp_path / "other-20200101T000000.000Z.part.mkv").write_bytes(b"x")
    second = SegmentWriter(tmp_path)
    assert second.finished == []
    assert rubbish.read_bytes() == b"x" * 1000
    assert other.exists()
    first.write(result(1))
    first.close()
    assert len(times_of(first.finished[0])) == 2


def test_a_file_deleted_while_it_is_recorded_ends_nothing(tmp_path: Path) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    writer = SegmentWriter(str(tmp_path), seconds=1)
    for number in range(60):
        writer.write(result(number))
        if number == 10:
            [part] = tmp_path.iterdir()
            part.unlink()
    writer.close()
    assert len(writer.finished) == len(list(tmp_path.iterdir())) >= 1
    assert set(Path("/proc/self/fd").iterdir()) <= before


@pytest.mark.parametrize("room", [10_000, 20_000])
@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_full_disk_at_the_very_end_is_noticed(tmp_path: Path, kind: str, room: int) -> None:
    writer = SegmentWriter(tmp_path, kind=kind, crf=1)  # type: ignore[arg-type]
    for number in range(12):
        writer.write(result(number))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OutputError, match="cannot be completed"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert writer.finished == []


@pytest.mark.parametrize(("room", "frames"), [(3000, 0), (60_000, 25)])
def test_of_a_file_that_was_cut_short_what_plays_is_kept(
    tmp_path: Path, room: int, frames: int
) -> None:
    def record() -> None:
        for number in range(500):
            writer.write(result(number))

    writer = SegmentWriter(tmp_path, crf=5)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))  # as good as a full disk
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            record()
        with pytest.raises(OutputError, match="cannot be completed"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = list(tmp_path.iterdir())
    if frames:
        assert [path.name for path in left] == ["camera-20231114T221320.000Z.mkv"]
        assert len(times_of(left[0])) >= frames
    else:
        assert left == []


def test_wrong_choices_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="mkv or mp4"):
        SegmentWriter(tmp_path, kind="avi")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="1 second"):
        SegmentWriter(tmp_path, seconds=float("nan"))
    with pytest.raises(OptionError, match="cannot begin"):
        SegmentWriter(tmp_path, name="../x")
    with pytest.raises(OptionError, match="preset"):
        SegmentWriter(tmp_path, preset="warp").write(result(0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        SegmentWriter(tmp_path / "file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        SegmentWriter(tmp_path).write(result(0))


def test_a_file_of_that_name_is_not_written_over(tmp_path: Path) -> None:
    SegmentWriter(tmp_path).close()
    taken = tmp_path / "camera-20231114T221320.000Z.mkv"
    taken.write_bytes(b"precious")
    writer = SegmentWriter(tmp_path)
    writer.write(result(0))
    writer.close()
    assert taken.read_bytes() == b"precious"
    (made,) = writer.finished
    assert made.name == "camera-20231114T221320.000Z-2.mkv"


def test_published_pictures_arrive() -> None:
    port = free_port()
    received: list[int] = []

    def receive() -> None:
        with av.open(
            f"udp://127.0.0.1:{port}",
            format="mpegts",
            timeout=(10, 3),
            options={"timeout": "3000000"},
        ) as container:
            for frame in container.decode(video=0):
                received.append(frame.width)
                if len(received) >= 20:
                    return

    thread = threading.Thread(target=receive)
    thread.start()
    publisher = Publisher(f"udp://127.0.0.1:{port}", preset="ultrafast")
    for number in range(400):
        publisher.write(result(number))
        time.sleep(0.02)
        if not thread.is_alive():
            break
    thread.join(20)
    publisher.close()
    assert len(received) >= 20
    assert set(received) == {256}
    assert publisher.sent > 20
    assert publisher.failures == 0


def test_what_is_published_over_udp_can_be_watched() -> None:
    url = f"udp://127.0.0.1:{free_port()}"
    options = LiveOptions(timeout=3, backoff=0.2, max_backoff=0.5)
    publisher = Publisher(url, preset="ultrafast")
    with LiveSource(url, options) as source:
        frames = []
        for number in range(600):
            publisher.write(result(number))
            frame = source.get(0.02)
            frames += [frame] if frame else []
            if len(frames) >= 10:
                break
    publisher.close()
    # Nothing is sent any more: what waits for it ends with the timeout.
    wait_until(lambda: not any("camera" in thread.name for thread in threading.enumerate()))
    assert len(frames) >= 10
    assert {frame.picture.width for frame in frames} == {256}


def test_who_publishes_never_waits_for_a_server_that_is_away() -> None:
    options = LiveOptions(timeout=1, backoff=0.1, max_backoff=0.2)
    publisher = Publisher(f"rtsp://u:secret@127.0.0.1:{free_port()}/x", options)
    slowest = 0.0
    for number in range(30):
        begin = time.monotonic()
        publisher.write(result(number))
        slowest = max(slowest, time.monotonic() - begin)
        time.sleep(0.02)
    wait_until(lambda: publisher.failures >= 2)
    begin = time.monotonic()
    publisher.close()
    assert time.monotonic() - begin < 5
    assert slowest < 0.2
    assert publisher.dropped > 0
    assert publisher.sent == 0
    assert "refused" in publisher.reason.lower()


def test_a_preset_that_does_not_exist_ends_it() -> None:
    publisher = Publisher(f"udp://127.0.0.1:{free_port()}", preset="warp")
    publisher.write(result(0))
    wait_until(lambda: not publisher._thread.is_alive())
    with pytest.raises(OptionError, match="preset"):
        publisher.write(result(1))
    publisher.close()
    assert publisher.sent == 0


def test_an_encoder_that_cannot_be_opened_now_is_no_wrong_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(context: object, *args: object) -> None:
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(VideoCodecContext, "open", full, raising=False)
    segments = SegmentWriter(tmp_path / "camera")
    with pytest.raises(OutputError, match="libx264 cannot be opened: Cannot allocate memory"):
        segments.write(result(0))
    segments.close()


def test_the_reason_of_a_failure_of_our_own_is_its_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise OutputError("the cable is out")

    monkeypatch.setattr(publish, "StreamWriter", fail)
    publisher = Publisher(f"udp://127.0.0.1:{free_port()}")
    publisher.write(result(0))
    wait_until(lambda: publisher.failures == 1)
    publisher.close()
    assert publisher.reason == "the cable is out"


def test_an_error_that_nobody_foresaw_is_one_more_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write, calls = publish.StreamWriter.write, []

    def broken(self: object, *arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError("bug")
        write(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(publish.StreamWriter, "write", broken)
    options = LiveOptions(timeout=1, backoff=0.1, max_backoff=0.1)
    publisher = Publisher(f"udp://127.0.0.1:{free_port()}", options, preset="ultrafast")
    for number in range(200):
        publisher.write(result(number))
        time.sleep(0.02)
        if publisher.sent > 3:
            break
    publisher.close()
    assert (publisher.failures, publisher.reason) == (1, "RuntimeError")
    assert publisher.sent > 3


def test_closing_does_not_wait_for_a_mute_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"
        publisher = Publisher(url, LiveOptions(timeout=2))
        publisher.write(result(0))
        time.sleep(0.3)
        begin = time.monotonic()
        publisher.close()
        assert time.monotonic() - begin < 5
    wait_until(lambda: not publisher._thread.is_alive())


def test_the_freshest_frame_is_there_for_whoever_asks() -> None:
    freshest = Freshest()
    assert freshest.get(timeout=0.01) is None
    threading.Timer(0.05, freshest.write, (result(0),)).start()
    first = freshest.get(timeout=5)
    assert first is not None
    assert freshest.get() is first
    assert freshest.get(after=first, timeout=0.01) is None
    newer = result(1)
    threading.Timer(0.05, freshest.write, (newer,)).start()
    assert freshest.get(after=first, timeout=5) is newer
    freshest.gap()
    threading.Timer(0.05, freshest.close).start()
    assert freshest.get(after=newer) is None
