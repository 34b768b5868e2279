"""The bridge between a real mosquitto and a Frigate that is acted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live.cameras import free_port, wait_until
from numpy.typing import NDArray
from tests_support import portrait

from vidfacedeblur import FaceDeblurPipeline, FaceOptions

mqtt = pytest.importorskip("paho.mqtt.client")
BRIDGE = Path(__file__).resolve().parent.parent.parent / "examples" / "frigate_bridge.py"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
Image = NDArray[np.uint8]
PIXELS = {"mjpeg": "yuvj444p", "png": "rgb24", "libwebp": "yuv420p"}
FULL = "1607123955.475377-mxklsc"
"""An id as Frigate makes them."""


def encoded(image: Image, codec: str = "mjpeg") -> bytes:
    """A picture file, as Frigate might serve it."""
    encoder: Any = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = image.shape[1], image.shape[0]
    encoder.pix_fmt, encoder.time_base = PIXELS[codec], Fraction(1)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=PIXELS[codec])
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])


def rgb(data: bytes, codec: str = "png") -> Image:
    decoder: Any = av.CodecContext.create(codec, "r")
    (frame,) = decoder.decode(av.Packet(data)) or decoder.decode(None)
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


class Broker:
    """A mosquitto of our own, and a client that collects what is published."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = lines or ("allow_anonymous true",)
        self._config.write_text("\n".join((f"listener {self.port} 127.0.0.1", *lines, "")))
        self.messages: list[tuple[str, bytes]] = []
        self.start()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_message = lambda _, __, m: self.messages.append((m.topic, m.payload))
        self.client.reconnect_delay_set(1, 1)

    def open(self, user: str | None = None, password: str | None = None) -> None:
        self.client.username_pw_set(user, password)
        self.client.connect_async("127.0.0.1", self.port)
        self.client.loop_start()
        wait_until(self.client.is_connected)

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)], stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.stop()

    def tell(self, payload: Any, topic: str = "frigate/events") -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(topic, data, qos=1).wait_for_publish(10)

    def published(self) -> dict[str, bytes]:
        return {t: data for t, data in list(self.messages) if t.startswith("vidfacedeblur/")}

    def documents(self) -> list[dict[str, Any]]:
        mine = [m for m in list(self.messages) if m[0].startswith("vidfacedeblur/")]
        return [json.loads(data) for topic, data in mine if "/face/" not in topic]


class Frigate:
    """Answers for snapshots: `files` by event and name, or whatever `answer` does."""

    def __init__(self) -> None:
        self.files: dict[tuple[str, str], bytes] = {}
        self.answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.slow = 0.0
        frigate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                frigate.asked.append(self.path)
                time.sleep(frigate.slow)
                _, _, _, event, name = self.path.partition("?")[0].split("/")
                if event in frigate.answers:
                    frigate.answers[event](self)
                    return
                data = frigate.files.get((event, name))
                self.send_response(404 if data is None else 200)
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *args: None  # type: ignore[method-assign]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def has(self, event: str, data: bytes, name: str = "snapshot.jpg") -> bytes:
        self.files[event, name] = data
        return data

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Bridge:
    """The program in a process of its own, and what it says."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(BRIDGE), *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | (environment or {}),
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self._lines.extend(iter(self.process.stderr.readline, ""))

    @property
    def said(self) -> str:
        return "".join(self._lines)

    def wait_for(self, text: str, seconds: float = 20, times: int = 1) -> None:
        wait_until(
            lambda: self.said.count(text) >= times or self.process.poll() is not None, seconds
        )
        assert self.said.count(text) >= times, self.said

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


def event(name: Any, *, kind: str = "end", label: str = "person", **more: Any) -> dict[str, Any]:
    """A message as Frigate's documentation shows it."""
    after = {
        "id": name,
        "camera": "front_door",
        "frame_time": 1607123962.082975,
        "snapshot": {
            "frame_time": 1607123965.975463,
            "box": [415, 489, 528, 700],
            "area": 12728,
            "region": [260, 446, 660, 846],
            "score": 0.77546,
            "attributes": [],
        },
        "label": label,
        "sub_label": ["John Smith", 0.79],
        "top_score": 0.958984375,
        "false_positive": False,
        "start_time": 1607123955.475377,
        "end_time": None,
        "score": 0.87890625,
        "box": [432, 496, 544, 854],
        "current_zones": ["yard", "driveway"],
        "has_clip": False,
        "has_snapshot": True,
        "stationary": False,
        "attributes": {"face": 0.64},
        "current_attributes": [{"label": "face", "box": [442, 506, 534, 524], "score": 0.64}],
    } | more
    return {"type": kind, "before": after | {"snapshot": None}, "after": after}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    try:
        made.open()
        yield made
    finally:
        made.close()


@pytest.fixture
def frigate() -> Iterator[Frigate]:
    made = Frigate()
    yield made
    made.close()


@pytest.fixture
def common(broker: Broker, frigate: Frigate, small_weights: Path) -> list[str]:
    """Arguments of a bridge between the two, quick, and with every face changed."""
    return [
        *("--frigate", frigate.url, "--mqtt", f"127.0.0.1:{broker.port}", "--gate", "off"),
        *("--model", "deblurgan", "--weights", str(small_weights), "--queue", "3"),
        *("--timeout", "2"),
    ]


@pytest.fixture
def bridge(common: list[str]) -> Iterator[Bridge]:
    made = Bridge(*common)
    try:
        made.wait_for("connected to the broker", 60)
        time.sleep(0.3)  # until it has subscribed
        yield made
    finally:
        made.close()


def test_a_persons_faces_come_with_where_they_are_from(
    broker: Broker, frigate: Frigate, bridge: Bridge, small_weights: Path
) -> None:
    data = frigate.has(FULL, encoded(portrait()))
    broker.tell(event(FULL))
    wait_until(lambda: broker.documents() != [])
    (document,) = broker.documents()
    topic = f"vidfacedeblur/front_door/{FULL}"
    crops = [f"{topic}/face/1/image", f"{topic}/face/1/original"]
    assert list(broker.published()) == [*crops, topic], "the JSON comes last"

    before = rgb(data, "mjpeg")
    options = FaceOptions(gate="off")
    with FaceDeblurPipeline("deblurgan", weights=small_weights, faces=options) as pipeline:
        result = pipeline.process_image(before)
        provenance = pipeline.provenance(hashlib.sha256(data).hexdigest())
    (face,) = result.faces
    (told,) = document.pop("faces")
    timing = document.pop("timing")
    assert document == {
        "schema": 1,
        "id": FULL,
        "camera": "front_door",
        "label": "person",
        "type": "end",
        "frame_time": 1607123965.975463,
        "snapshot": "snapshot.jpg",
        "provenance": provenance,
    }
    assert set(timing) == {"decode", "detect", "deblur", "paste", "encode", "total"}
    assert 0 < timing["deblur"] < timing["total"]
    x0, y0, x1, y1 = told.pop("crop")
    assert told == {
        "box": [round(value, 2) for value in face.box],
        "landmarks": [[round(v, 2) for v in point] for point in face.landmarks or ()],
        "score": round(face.score, 4),
        "sharpness": pytest.approx(face.sharpness, abs=1e-3),
        "sharpness_after": pytest.approx(face.sharpness_after, abs=1e-3),
        "deblurred": True,
    }
    assert len(told["landmarks"]) == 5
    assert x0 < face.box.x0 - 10 < face.box.x1 + 10 < x1, "there is a margin"
    restored, original = (rgb(broker.published()[name]) for name in crops)
    assert (original == before[y0:y1, x0:x1]).all()
    assert (restored == result.image[y0:y1, x0:x1]).all()
    assert (restored != original).any()
    assert [path.rpartition("/")[2] for path in frigate.asked] == [
        "snapshot-clean.webp",
        "snapshot-clean.png",
        "snapshot.jpg?bbox=0&timestamp=0&crop=0&quality=100",
    ]


@pytest.mark.parametrize("codec", ["png", "libwebp"])
def test_the_clean_copy_is_taken_where_there_is_one(
    broker: Broker, frigate: Frigate, bridge: Bridge, codec: str
) -> None:
    name = f"snapshot-clean.{codec.removeprefix('lib')}"
    frigate.has("some", encoded(np.full((240, 256, 3), 90, np.uint8)))
    data = frigate.has("some", encoded(portrait(), codec), name)
    broker.tell(event("some"))
    wait_until(lambda: broker.documents() != [])
    (document,) = broker.documents()
    assert document["snapshot"] == name
    assert document["provenance"]["input_sha256"] == hashlib.sha256(data).hexdigest()
    x0, y0, x1, y1 = document["faces"][0]["crop"]
    original = rgb(broker.published()["vidfacedeblur/front_door/some/face/1/original"])
    assert (original == rgb(data, codec.removeprefix("lib"))[y0:y1, x0:x1]).all()


def test_what_is_not_asked_for_costs_nothing(
    broker: Broker, frigate: Frigate, bridge: Bridge
) -> None:
    same = event("same", kind="update")
    same["before"] = same["after"]
    broker.tell(event("dog", label="dog"))
    broker.tell(event("none", has_snapshot=False))
    broker.tell(event("new", kind="new"))
    broker.tell(same)
    broker.tell(event("elsewhere"), "other/events")
    frigate.has("empty", encoded(np.full((240, 256, 3), 90, np.uint8)))
    broker.tell(event("empty"))
    wait_until(lambda: broker.documents() != [])
    assert list(broker.published()) == ["vidfacedeblur/front_door/empty"], "no face, no crop"
    assert broker.documents()[0]["faces"] == []
    assert {path.split("/")[3] for path in frigate.asked} == {"empty"}
    assert "skipped" not in bridge.said


def mistaken_messages() -> list[Any]:
    ids = ["../../config", "a/b", "..", ".hidden", "a b", "x" * 200, "a#", "a?b", "a\n", "ä", ""]
    other = event("ok")
    return [
        *(event(name) for name in [*ids, 17, None, ["a"]]),
        event("ok", camera="../+"),
        event("ok", camera=None),
        *(b"\xff not json", b"", b"[" * 100_000, b"1" * 5000, b"x" * (2 << 20), [1, 2], None),
        {"type": "end"},
        {"type": "end", "after": "text"},
        other | {"before": "text"},
        other | {"before": {"snapshot": [1]}},
        event("ok", snapshot="text"),
        event("ok", label={}),
    ]


def test_a_message_that_makes_no_sense_costs_a_line(
    broker: Broker, frigate: Frigate, bridge: Bridge
) -> None:
    messages = mistaken_messages()
    for message in messages:
        broker.tell(message)
    frigate.has("good", encoded(portrait()))
    nan = json.dumps(event("good", snapshot={"frame_time": float("nan")}))
    broker.tell(nan.encode())
    wait_until(lambda: broker.documents() != [])
    assert [(d["id"], d["frame_time"]) for d in broker.documents()] == [("good", None)]
    bridge.wait_for("front_door/good: 1 face")
    assert bridge.said.count("a message is skipped") == len(messages)
    assert len(bridge.said.splitlines()) == len(messages) + 2
    assert {path.split("/")[3] for path in frigate.asked} == {"good"}


def _drip(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b"\xff\xd8")
        time.sleep(0.1)


def _redirect(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "/api/events/secret/snapshot.jpg")
    handler.end_headers()


def _short(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"\xff\xd8")


def test_a_snapshot_that_cannot_be_had_costs_a_line(
    broker: Broker, frigate: Frigate, bridge: Bridge
) -> None:
    good = frigate.has("good", encoded(portrait()))
    frigate.has("cut", good[: len(good) // 2])
    frigate.has("text", b"<html>not found</html>")
    frigate.has("empty", b"")
    frigate.has("huge", b"\xff\xd8" + b"x" * (33 << 20))
    frigate.has("head", good[:200] + bytes(range(256)) * 4 + b"\xff\xd9")
    large = encoded(np.zeros((64, 64, 3), np.uint8), "png")
    large = large[:16] + (60_000).to_bytes(4, "big") * 2 + large[24:]
    frigate.has("bomb", large)
    webp = encoded(portrait(), "libwebp")
    frigate.has("webp", webp[:-100], "snapshot-clean.webp")
    frigate.answers |= {
        "drip": _drip,
        "redirect": _redirect,
        "short": _short,
        "garbage": lambda handler: handler.wfile.write(b"no HTTP at all\r\n\r\n") and None,
        "silence": lambda handler: None,
    }
    names = ["missing", *(name for name, _ in frigate.files if name != "good"), *frigate.answers]
    for name in names:
        broker.tell(event(name))
        bridge.wait_for(f"event {name} is skipped: ")
    broker.tell(event("good"))
    wait_until(lambda: broker.documents() != [])
    assert [document["id"] for document in broker.documents()] == ["good"]
    assert "secret" not in " ".join(frigate.asked)
    bridge.wait_for("front_door/good: 1 face")
    assert len(bridge.said.splitlines()) == len(names) + 2, bridge.said


def test_a_broker_that_was_away(broker: Broker, frigate: Frigate, bridge: Bridge) -> None:
    for name in ("one", "two", "three"):
        frigate.has(name, encoded(portrait()))
    broker.tell(event("one"))
    wait_until(lambda: len(broker.documents()) == 1)
    # Two is fetched while the broker is there, and done when it is gone.
    frigate.slow = 1.0
    asked = len(frigate.asked)
    broker.tell(event("two"))
    wait_until(lambda: len(frigate.asked) > asked)
    broker.stop()
    bridge.wait_for("went away")
    time.sleep(3.5)
    broker.start()
    bridge.wait_for("connected to the broker", 30, times=2)
    wait_until(broker.client.is_connected)
    time.sleep(0.5)
    frigate.slow = 0.0
    broker.tell(event("three"))
    wait_until(lambda: len(broker.documents()) >= 2)
    assert broker.documents()[-1]["id"] == "three"
    assert bridge.process.poll() is None
    assert "Traceback" not in bridge.said


def test_of_a_burst_the_newest_is_taken(broker: Broker, frigate: Frigate, bridge: Bridge) -> None:
    frigate.slow = 0.5
    names = [f"event{number}" for number in range(8)]
    for name in ("first", *names):
        frigate.has(name, encoded(portrait()))
    broker.tell(event("first"))
    wait_until(lambda: frigate.asked != [])
    for name in names:
        for moment in (1.0, 2.0, 3.0):
            broker.tell(event(name, kind="update", snapshot={"frame_time": moment}))
    frigate.slow = 0.0
    wait_until(lambda: len(broker.documents()) == 4)
    time.sleep(0.3)
    assert [document["id"] for document in broker.documents()] == ["first", *names[-3:]]
    assert {document["frame_time"] for document in broker.documents()[1:]} == {3.0}
    bridge.process.send_signal(signal.SIGINT)
    assert bridge.process.wait(5) == 0
    bridge.wait_for("4 events done, 0 failed, 5 dropped; 0 messages not understood")


def test_what_happens_while_it_is_away_is_done_when_it_is_back(
    broker: Broker, frigate: Frigate, common: list[str]
) -> None:
    names = ["one", "two"]
    for number, name in enumerate(names):
        bridge = Bridge(*common, "--client-id", "bridge")
        try:
            bridge.wait_for("connected to the broker", 180)
            wait_until(lambda done=number: len(broker.documents()) == done, 60)  # type: ignore[misc]
            bridge.process.send_signal((signal.SIGTERM, signal.SIGKILL)[number])
            bridge.process.wait(10)
        finally:
            bridge.close()
        frigate.has(name, encoded(portrait()))
        broker.tell(event(name))
    last = Bridge(*common, "--client-id", "bridge", "--once", "1")
    try:
        assert last.process.wait(180) == 0, last.said
    finally:
        last.close()
    wait_until(lambda: len(broker.documents()) == 2)
    assert [document["id"] for document in broker.documents()] == names


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_while_frigate_keeps_it_waiting(
    broker: Broker, frigate: Frigate, common: list[str], number: signal.Signals
) -> None:
    frigate.slow = 30
    bridge = Bridge(*common, "--timeout", "60")
    try:
        bridge.wait_for("connected to the broker", 60)
        time.sleep(0.3)
        broker.tell(event("some"))
        wait_until(lambda: frigate.asked != [])
        bridge.process.send_signal(number)
        assert bridge.process.wait(5) == 0
    finally:
        bridge.close()
    assert broker.published() == {}
    assert "Traceback" not in bridge.said


def test_a_signal_ends_it_while_the_broker_is_away(
    broker: Broker, frigate: Frigate, bridge: Bridge
) -> None:
    broker.stop()
    bridge.wait_for("went away")
    time.sleep(1)
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(5) == 0
    assert "Traceback" not in bridge.said


def test_it_waits_for_a_broker_that_is_not_there_yet(
    common: list[str], broker: Broker, frigate: Frigate
) -> None:
    broker.stop()
    frigate.has("some", encoded(portrait()))
    bridge = Bridge(*common, "--once", "1")
    try:
        bridge.wait_for("cannot be reached; trying again", 60)
        broker.start()
        bridge.wait_for("connected to the broker")
        wait_until(broker.client.is_connected)
        time.sleep(0.3)
        broker.tell(event("some"))
        assert bridge.process.wait(20) == 0
        assert bridge.said.count("cannot be reached") == 1
        wait_until(lambda: len(broker.documents()) == 1)
    finally:
        bridge.close()


def test_a_password_is_given_and_never_told(
    tmp_path: Path, frigate: Frigate, small_weights: Path
) -> None:
    passwords = tmp_path / "passwords"
    made = shutil.which("mosquitto_passwd")
    if made is None:
        pytest.skip("mosquitto_passwd is not installed")
    subprocess.run([made, "-c", "-b", passwords, "bridge", "s3cret"], check=True)
    broker = Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}", "user root")
    arguments = ["--frigate", frigate.url, "--mqtt", f"127.0.0.1:{broker.port}", "--user", "bridge"]
    arguments += ["--model", "deblurgan", "--weights", str(small_weights), "--once", "1"]
    frigate.has("some", encoded(portrait()))
    wrong = Bridge(*arguments, environment={"MQTT_PASSWORD": "s3cret-but-wrong"})
    right = Bridge(*arguments, "--retain", environment={"MQTT_PASSWORD": "s3cret"})
    try:
        broker.open("bridge", "s3cret")
        wrong.wait_for("the broker refuses: ", 60)
        right.wait_for("connected to the broker", 60)
        time.sleep(0.3)
        broker.tell(event("some"))
        assert right.process.wait(20) == 0
        assert "connected" not in wrong.said
        assert "s3cret" not in wrong.said + right.said
    finally:
        wrong.close()
        right.close()
        broker.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mqtt", "broker"], "required: --frigate"),
        (["--frigate", "ftp://host", "--mqtt", "broker"], "must be http://HOST:PORT"),
        (["--frigate", "http://u:s3cret@host", "--mqtt", "broker"], "without a user"),
        (["--frigate", "http://host:99999", "--mqtt", "broker"], "must be http://HOST:PORT"),
        (["--frigate", "http://host", "--mqtt", "b:0"], "must be HOST or HOST:PORT"),
        (["--frigate", "http://host", "--mqtt", "b", "--prefix", "a/#"], "without + and #"),
        (["--frigate", "http://host", "--mqtt", "b", "--ca-file", "x"], "needs --tls"),
        (["--frigate", "http://host", "--mqtt", "b", "--client-id", "a b"], "must be up to 100"),
        (["--frigate", "http://host", "--mqtt", "b", "--timeout", "soon"], "must be seconds, more"),
        (["--frigate", "http://host", "--mqtt", "b", "--strength", "2"], "--strength must be"),
        (["--frigate", "http://host", "--mqtt", "b", "--model", "none"], "unknown model"),
    ],
)
def test_a_mistake_is_told_in_a_line(arguments: list[str], message: str) -> None:
    command = [sys.executable, str(BRIDGE), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (1, 2)
    last = done.stderr.strip().splitlines()[-1]
    assert message in last
    assert last.startswith("frigate_bridge")
    assert "s3cret" not in done.stderr


def test_without_paho_it_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "paho.py").write_text("")  # not the package
    command = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r});"
    command += f" runpy.run_path({str(BRIDGE)!r}, run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "frigate_bridge: paho-mqtt is missing; pip install 'vidfacedeblur[frigate]'\n"
    )


def test_tls_is_checked(tmp_path: Path, small_weights: Path) -> None:
    """A broker that does not speak TLS is not spoken to."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        port = plain.getsockname()[1]
        arguments = ["--frigate", "http://127.0.0.1:9", "--mqtt", f"127.0.0.1:{port}", "--tls"]
        arguments += ["--model", "deblurgan", "--weights", str(small_weights), "--user", "u"]
        bridge = Bridge(*arguments, environment={"MQTT_PASSWORD": "s3cret"})
        try:
            plain.settimeout(60)
            peer, _ = plain.accept()
            with peer:
                first = peer.recv(1000)
            assert first[:1] == b"\x16", "a TLS handshake"
            assert b"s3cret" not in first
            bridge.wait_for("cannot be reached")
        finally:
            bridge.close()
