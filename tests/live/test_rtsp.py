"""Against a real RTSP server: killed, stopped, changed, and with a password."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from live.cameras import RtspCamera, free_port, rtsp_problem, wait_until, write_clip
from live.test_outputs import result
from live.test_source import agree, source_of, taken

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.live import Publisher

QUICK = LiveOptions(timeout=1.5, stall=5, backoff=0.2, max_backoff=1)
_PROBLEM = rtsp_problem()
pytestmark = pytest.mark.skipif(_PROBLEM is not None, reason=str(_PROBLEM))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("rtsp") / "camera.mkv")


@pytest.fixture
def camera(recording: Path) -> Iterator[RtspCamera]:
    with RtspCamera(recording) as made:
        yield made


def test_killed_and_started_anew(recording: Path) -> None:
    port = free_port()
    with RtspCamera(recording, port=port) as camera, source_of(camera.url, QUICK) as source:
        frames = taken(source, 20)
        assert frames[-1].pts is not None
        camera.process.kill()
        wait_until(lambda: source.health().state == "waiting")
        died = time.monotonic()
        cut = source.health().damaged
        assert cut <= 1, "the kill may cut the last picture short, and no other"
        with RtspCamera(recording, port=port):
            wait_until(lambda: source.health().epoch == 2)
            assert time.monotonic() - died < 8, "within the backoff, and what a server needs"
            taken(source, 20)
            health = source.health()
            assert (health.reconnects, health.damaged, health.abandoned) == (1, cut, 0)
            agree(health)


def test_stopped_and_let_go_on(camera: RtspCamera) -> None:
    with source_of(camera.url, QUICK) as source:
        taken(source, 10)
        camera.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: source.health().state == "waiting")
        assert "sends nothing any more" in source.health().reason
        begin = time.monotonic()
        wait_until(lambda: source.health().attempts >= 3)
        assert time.monotonic() - begin < 15
        camera.process.send_signal(signal.SIGCONT)
        wait_until(lambda: source.health().state == "live")
        taken(source, 10)
        agree(source.health())


def test_closed_while_it_is_stopped(camera: RtspCamera) -> None:
    with source_of(camera.url, LiveOptions(timeout=3)) as source:
        taken(source, 5)
        camera.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
    # `source_of` has seen that closing took less than 5 seconds


def test_another_size_and_codec_after_a_restart(recording: Path, tmp_path: Path) -> None:
    port = free_port()
    with RtspCamera(recording, port=port) as camera, source_of(camera.url, QUICK) as source:
        assert taken(source, 5)[-1].picture.width == 256
        camera.process.kill()
        camera.process.wait()
        wait_until(lambda: source.health().state != "live")
        small = write_clip(tmp_path / "small.mkv", size=(160, 120))
        with RtspCamera(small, "--codec", "mjpeg", port=port):
            wait_until(lambda: source.health().epoch == 2)
            frames = taken(source, 20)
            assert frames[-1].picture.width == 160
            assert frames[-1].epoch == 2


def test_a_password_is_asked_for_and_never_shown(recording: Path) -> None:
    with RtspCamera(recording, "--user", "eve:hunter2") as camera:
        wrong = camera.url.replace("rtsp://", "rtsp://eve:hunter3@")
        with source_of(wrong, QUICK) as source:
            wait_until(lambda: source.health().state == "waiting")
            reason = source.health().reason
            assert "401" in reason or "authorization" in reason
            assert "hunter" not in reason
        right = camera.url.replace("rtsp://", "rtsp://eve:hunter2@")
        with source_of(right, QUICK) as source:
            taken(source, 5)


def test_an_encrypted_stream_from_who_it_should_be(recording: Path, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    own, other = (certificate(tmp_path / name) for name in ("own.pem", "other.pem"))
    with RtspCamera(recording, "--tls", str(own)) as camera:
        url = camera.url.replace("rtsp://127.0.0.1", "rtsps://localhost")
        for ca_file in (None, own):
            options = LiveOptions(timeout=3, backoff=0.2, max_backoff=1, ca_file=ca_file)
            with source_of(url, options) as source:
                taken(source, 5)
        wrong = LiveOptions(timeout=3, backoff=0.2, max_backoff=1, ca_file=other)
        with source_of(url, wrong) as source:
            wait_until(lambda: source.health().state == "waiting")
            assert source.health().epoch == 0


def certificate(path: Path) -> Path:
    """A certificate for localhost, signed by itself, and its key."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*command, "-keyout", f"{path}.key", "-out", f"{path}.crt"], check=True, capture_output=True
    )
    path.write_text(Path(f"{path}.crt").read_text() + Path(f"{path}.key").read_text())
    return path


def test_udp_transport(camera: RtspCamera) -> None:
    options = LiveOptions(transport="udp", timeout=3, backoff=0.2, max_backoff=1)
    with source_of(camera.url, options) as source:
        frames = taken(source, 20)
        assert frames[-1].picture.width == 256


def test_what_is_published_is_recorded(recording: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.mkv"
    with RtspCamera(recording, "--record", str(record)) as camera:
        publisher = Publisher(camera.url.replace("/camera", "/record"), preset="ultrafast")
        for number in range(75):
            publisher.write(result(number))
            time.sleep(0.04)
        assert publisher.failures == 0
        publisher.close()
        wait_until(lambda: record.stat().st_size > 10_000)
        time.sleep(0.5)
    with av.open(record) as container:
        widths = {frame.width for frame in container.decode(video=0)}
    assert widths == {256}
