"""A camera that stays, whatever the other side does."""

from __future__ import annotations

import io
import itertools
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av
import numpy as np
import pytest
from live.cameras import FPS, HttpCamera, clip, free_port, mute_server, wait_until

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import InputError
from vidfacedeblur.live import Health, LiveFrame, LiveSource
from vidfacedeblur.live import connection as connection_module
from vidfacedeblur.live import source as source_module
from vidfacedeblur.live.connection import Connection
from vidfacedeblur.live.source import waits
from vidfacedeblur.video import Camera

QUICK = LiveOptions(timeout=1, stall=3, backoff=0.1, max_backoff=0.3)


@contextmanager
def source_of(url: str, options: LiveOptions = QUICK, **more: object) -> Iterator[LiveSource]:
    source = LiveSource(url, options, **more)  # type: ignore[arg-type]
    try:
        yield source
    finally:
        begin = time.monotonic()
        source.close()
        assert time.monotonic() - begin < 5
        wait_until(
            lambda: not any(t.name.startswith("vidfacedeblur-") for t in threading.enumerate())
        )


def taken(source: LiveSource, count: int, *, pause: float = 0.0) -> list[LiveFrame]:
    frames: list[LiveFrame] = []
    deadline = time.monotonic() + 30
    while len(frames) < count:
        assert time.monotonic() < deadline, source.health()
        frame = source.get(0.5)
        if frame is not None:
            frames.append(frame)
            time.sleep(pause)
    return frames


def agree(health: Health) -> None:
    """Every packet and every picture is accounted for."""
    waiting = health.decoded - health.delivered - health.dropped
    assert 0 <= waiting <= 2, health
    assert health.decoded + health.late + health.skipped <= health.packets, health
    assert health.packets - health.decoded - health.late - health.skipped <= health.damaged + 60


def test_pictures_come_with_their_times() -> None:
    with HttpCamera() as camera, source_of(camera.url) as source:
        before = time.time()
        frames = taken(source, 80)
        late = frames[40:]  # the first ones were read while the stream was made out
        assert {frame.epoch for frame in frames} == {1}
        assert all(a.pts < b.pts for a, b in itertools.pairwise(late))  # type: ignore[operator]
        assert all(a.arrived <= b.arrived for a, b in itertools.pairwise(late))
        assert all(before - 5 < frame.wall <= time.time() for frame in frames)
        span = float((late[-1].pts - late[0].pts) * late[0].time_base)  # type: ignore[operator]
        assert late[-1].arrived - late[0].arrived == pytest.approx(span, abs=0.4)
        assert (frames[0].picture.width, frames[0].picture.height) == (256, 240)
        health = source.health()
        assert (health.state, health.epoch, health.reconnects) == ("live", 1, 0)
        agree(health)


def test_a_slow_consumer_gets_new_pictures_and_the_others_are_counted() -> None:
    with HttpCamera() as camera, source_of(camera.url) as source:
        taken(source, 3)
        ages = []
        numbers = []
        for _ in range(8):
            time.sleep(0.3)
            (frame,) = taken(source, 1)
            ages.append(time.monotonic() - frame.arrived)
            numbers.append(frame.pts)
        assert max(ages) < 0.3, "two pictures wait at most"
        assert numbers == sorted(set(numbers))  # type: ignore[type-var]
        health = source.health()
        assert health.dropped > 30
        agree(health)


def test_it_comes_back_when_the_camera_does() -> None:
    port = free_port()
    seen: list[Health] = []
    camera = HttpCamera(port=port)
    with source_of(camera.url, on_health=seen.append) as source:
        taken(source, 5)
        camera.close()
        wait_until(lambda: source.health().state == "waiting")
        with HttpCamera(port=port):
            wait_until(lambda: source.health().epoch == 2)
            frames = taken(source, 10)
            assert frames[-1].epoch == 2
            health = source.health()
            assert (health.state, health.reconnects) == ("live", 1)
            assert health.attempts >= 2
            agree(health)
    states = [health.state for health in seen]
    assert states[:3] == ["connecting", "live", "waiting"]
    assert states[-1] == "closed"
    assert "waiting" in states[3:] or states.count("connecting") >= 2


def test_the_end_of_the_stream_is_no_end() -> None:
    with HttpCamera(clip()[:20]) as camera, source_of(camera.url) as source:
        wait_until(lambda: source.health().reconnects >= 2)
        reason = source.health().reason
        assert "ended the stream" in reason or "the connection broke" in reason
        assert camera.visits >= 2


def test_a_server_that_says_nothing() -> None:
    with mute_server() as host, source_of(f"rtsp://me:secret@{host}/x") as source:
        wait_until(lambda: source.health().state == "waiting")
        health = source.health()
        assert "***@" in health.reason
        assert "secret" not in health.reason
        wait_until(lambda: source.health().attempts >= 2)


def test_closing_is_quick_while_a_mute_server_is_being_asked() -> None:
    slow = LiveOptions(timeout=3)
    with mute_server() as host, source_of(f"rtsp://{host}/x", slow) as source:
        time.sleep(0.3)
        assert source.health().state == "connecting"


def test_a_stream_that_stops_is_connected_to_anew() -> None:
    with HttpCamera() as camera, source_of(camera.url) as source:
        taken(source, 5)
        camera.paused.set()
        wait_until(lambda: source.health().reconnects == 1)
        assert "sends nothing any more" in source.health().reason
        camera.paused.clear()
        wait_until(lambda: source.health().epoch >= 2)
        taken(source, 5)


def test_it_begins_with_a_key_frame() -> None:
    with HttpCamera(clip(gop=25), first=3) as camera, source_of(camera.url) as source:
        taken(source, 5)
        health = source.health()
        assert 0 < health.skipped <= 25
        assert health.damaged == 0
        agree(health)


def test_the_first_picture_waits_for_no_others() -> None:
    """A camera with a picture a second would otherwise be waited for as long as the timeout."""

    def alter(number: int, chunk: bytes) -> bytes:
        if number == 5:
            camera.paused.set()
        return chunk

    patient = LiveOptions(timeout=60, stall=60)
    with HttpCamera(alter=alter) as camera, source_of(camera.url, patient) as source:
        assert source.get(40) is not None
        assert source.health().packets <= 6


def test_packets_without_pictures_are_not_enough() -> None:
    endless = clip(seconds=20, gop=10_000)
    options = LiveOptions(timeout=1, stall=1, backoff=0.1, max_backoff=0.2)
    with HttpCamera(endless, first=5) as camera, source_of(camera.url, options) as source:
        wait_until(lambda: source.health().attempts >= 2)
        health = source.health()
        assert "gave no picture for" in health.reason
        assert health.packets > 10
        assert (health.decoded, health.epoch, health.reconnects) == (0, 0, 0)
        assert health.packets - health.skipped < 3


def test_damage_is_counted_and_the_rest_goes_on() -> None:
    def alter(number: int, chunk: bytes) -> bytes:
        if number < 30 or number % 7:
            return chunk
        # The headers of the transport stream's packets stay as they are.
        return bytes(b ^ 0x5A if i > 400 and i % 188 > 20 else b for i, b in enumerate(chunk))

    with HttpCamera(alter=alter) as camera, source_of(camera.url) as source:
        frames = taken(source, 60)
        health = source.health()
        assert health.damaged >= 2
        assert (health.epoch, health.state) == (1, "live")
        assert len({frame.pts for frame in frames}) == 60


def test_a_decoder_that_is_too_slow_skips_to_the_next_key_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decode = Camera.decode

    def slow(self: Camera, packet: object) -> object:
        time.sleep(0.1)  # 10 fps, of 25
        return decode(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Camera, "decode", slow)
    options = LiveOptions(timeout=2, max_lag=0.5)
    with HttpCamera() as camera, source_of(camera.url, options) as source:
        taken(source, 20)
        ages = []
        for _ in range(40):
            (frame,) = taken(source, 1)
            ages.append(time.monotonic() - frame.arrived)
        health = source.health()
        assert health.late > 10
        assert health.epoch == 1
        assert max(ages) < 0.5 + 0.4
        agree(health)


def test_nothing_is_decoded_of_which_the_frames_before_were_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decode, given = Camera.decode, 0

    def slow(self: Camera, packet: object) -> object:
        nonlocal given
        given += 1
        if given == 50:  # what comes next is a key frame
            time.sleep(0.9)
        return decode(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Camera, "decode", slow)
    stream = clip(gop=50, seconds=6)
    with av.open(io.BytesIO(b"".join(stream)), format="mpegts") as container:
        true = {f.pts: f.to_ndarray() for f in container.decode(video=0)}
    options = LiveOptions(timeout=2, max_lag=0.5)
    with HttpCamera(stream) as camera, source_of(camera.url, options, queue=1000) as source:
        frames = taken(source, 80)
        health = source.health()
    assert health.late > 10
    agree(health)
    assert all(np.array_equal(f.picture.to_ndarray(), true[f.pts]) for f in frames)


def test_a_connection_that_hangs_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = threading.Event()

    class Hanging(Camera):
        def __init__(self, *args: object) -> None:
            hangs.wait(60)
            raise OSError("let go")

    monkeypatch.setattr(connection_module, "Camera", Hanging)
    try:
        source = LiveSource("rtsp://127.0.0.1:9/x", LiveOptions(timeout=1))
        time.sleep(0.2)
        begin = time.monotonic()
        source.close()
        assert time.monotonic() - begin < 5
        wait_until(lambda: source.health().state == "closed")
        assert source.health().abandoned == 1
    finally:
        hangs.set()
        wait_until(
            lambda: not any(t.name.startswith("vidfacedeblur-") for t in threading.enumerate())
        )


def test_one_that_hung_and_ends_after_all_keeps_nobody_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hangs, looks = threading.Event(), []

    class Hanging(Camera):
        def __init__(self, *args: Any) -> None:
            if not source.health().abandoned:
                hangs.wait(60)
                raise InputError("let go")
            super().__init__(*args)

    def wait(self: Connection, seconds: float) -> bool:
        looks.append(seconds)
        return ended(self, seconds)

    ended = Connection.wait
    monkeypatch.setattr(Connection, "wait", wait)
    monkeypatch.setattr(connection_module, "Camera", Hanging)
    monkeypatch.setattr(source_module, "_GRACE", 0.1)
    options = LiveOptions(timeout=0.5, backoff=0.1, max_backoff=0.1)
    with HttpCamera() as camera, source_of(camera.url, options) as source:
        taken(source, 3)
        assert source.health().abandoned == 1
        hangs.set()
        time.sleep(0.3)
        looks.clear()
        time.sleep(1)
        assert len(looks) < 20


@pytest.mark.parametrize("thread", ["vidfacedeblur-camera-1", "vidfacedeblur-camera-1-decode"])
def test_a_system_without_a_thread_to_spare_is_a_lost_connection(
    thread: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, refused = threading.Thread.start, []

    def none_left(self: threading.Thread) -> None:
        if self.name == thread and not refused:
            refused.append(self)
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", none_left)
    with HttpCamera() as camera, source_of(camera.url) as source:
        taken(source, 3)
        assert "can't start new thread" in source.health().reason
        assert (source.health().attempts, source.health().abandoned) == (2, 0)


def test_an_error_that_nobody_foresaw_is_a_lost_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    decode, calls = Camera.decode, []

    def broken(self: Camera, packet: object) -> object:
        calls.append(packet)
        if len(calls) == 5:
            raise RuntimeError("bug")
        return decode(self, packet)  # type: ignore[arg-type]

    monkeypatch.setattr(Camera, "decode", broken)
    with HttpCamera() as camera, source_of(camera.url) as source:
        wait_until(lambda: source.health().epoch == 2)
        assert "internal error, RuntimeError: bug" in source.health().reason
        assert source.health().reconnects == 1
    assert "Traceback" in caplog.text


def test_what_a_host_raises_loses_it_no_camera(caplog: pytest.LogCaptureFixture) -> None:
    def broken(health: Health) -> None:
        raise RuntimeError("host")

    with HttpCamera() as camera, source_of(camera.url, on_health=broken) as source:
        taken(source, 3)
    assert "on_health failed" in caplog.text


def test_no_log_shows_a_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    port = free_port()
    with source_of(f"http://user:hunter2@127.0.0.1:{port}/x?key=hunter3") as source:
        wait_until(lambda: source.health().attempts >= 2)
        assert "hunter" not in source.health().reason
        assert "refused" in source.health().reason.lower()
    assert "***" in caplog.text
    assert "hunter" not in caplog.text


def test_a_device_that_is_not_there() -> None:
    with source_of("/dev/video97") as source:
        wait_until(lambda: source.health().state == "waiting")
        assert "/dev/video97 cannot be opened: No such file" in source.health().reason


def test_iterating_ends_with_the_source() -> None:
    with HttpCamera() as camera:
        source = LiveSource(camera.url, QUICK)
        threading.Timer(2.0, source.close).start()
        assert len(list(source)) >= 10


def test_waits_grow_to_a_limit_and_differ() -> None:
    options = LiveOptions(backoff=1, max_backoff=60)
    for failed, longest in ((0, 1), (1, 2), (3, 8), (6, 60), (1000, 60)):
        drawn = [waits(options, failed) for _ in range(200)]
        assert longest / 2 <= min(drawn) <= max(drawn) <= longest
        assert max(drawn) - min(drawn) > longest / 5


def test_a_camera_with_more_pixels_than_accepted_is_refused() -> None:
    options = LiveOptions(timeout=1, backoff=0.1, max_backoff=0.2, max_pixels=1000)
    with HttpCamera() as camera, source_of(camera.url, options) as source:
        wait_until(lambda: source.health().state == "waiting")
        assert "over 1000 pixels" in source.health().reason


def test_the_pace_is_the_cameras() -> None:
    with HttpCamera() as camera, source_of(camera.url) as source:
        taken(source, 30)
        begin, before = time.monotonic(), source.health().packets
        taken(source, 2 * FPS)
        rate = (source.health().packets - before) / (time.monotonic() - begin)
        assert rate == pytest.approx(FPS, rel=0.2)
