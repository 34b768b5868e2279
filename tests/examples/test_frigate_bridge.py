"""The bridge between a real mosquitto and a Frigate that is acted."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from live.cameras import free_port, wait_until
from tests_support import portrait

from vidfacedeblur import FaceDeblurPipeline, FaceOptions

mqtt = pytest.importorskip("paho.mqtt.client")
BRIDGE = Path(__file__).resolve().parent.parent.parent / "examples" / "frigate_bridge.py"
MOSQUITTO = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


def jpeg(image: np.ndarray) -> bytes:
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = image.shape[1], image.shape[0]  # type: ignore[attr-defined]
    encoder.pix_fmt = "yuvj444p"  # type: ignore[attr-defined]
    encoder.time_base = 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuvj444p")
    return b"".join(bytes(p) for p in [*encoder.encode(frame), *encoder.encode(None)])  # type: ignore[attr-defined]


class Broker:
    """A mosquitto of our own, and a client that collects what is published."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.messages: dict[str, list[bytes]] = {}
        self.start()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("vidfacedeblur/#", qos=1)
        self.client.on_message = self._take
        self.client.reconnect_delay_set(1, 1)
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

    def tell(self, payload: Any) -> None:
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish("frigate/events", data, qos=1).wait_for_publish(10)

    def documents(self) -> list[dict[str, Any]]:
        return [
            json.loads(payload)
            for topic, payloads in list(self.messages.items())
            if "/face/" not in topic
            for payload in payloads
        ]

    def _take(self, client: Any, data: Any, message: Any) -> None:
        self.messages.setdefault(message.topic, []).append(message.payload)


class Frigate:
    """Answers for snapshots."""

    def __init__(self) -> None:
        self.snapshots: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.slow = 0.0
        frigate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                frigate.asked.append(self.path)
                time.sleep(frigate.slow)
                data = frigate.snapshots.get(self.path.split("/")[3])
                self.send_response(200 if data is not None else 404)
                self.end_headers()
                self.wfile.write(data or b"")

            def log_message(self, *args: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def event(name: str, *, kind: str = "end", label: str = "person", **more: Any) -> dict[str, Any]:
    """A message as Frigate's documentation shows it."""
    after = {
        "id": name,
        "camera": "front_door",
        "frame_time": 1607123962.082975,
        "snapshot": {"frame_time": 1607123961.837752, "box": [424, 500, 536, 712], "score": 0.8},
        "label": label,
        "sub_label": None,
        "top_score": 0.958984375,
        "false_positive": False,
        "start_time": 1607123955.475377,
        "end_time": None,
        "has_clip": False,
        "has_snapshot": True,
    } | more
    before = after | {"snapshot": None}
    return {"type": kind, "before": before, "after": after}


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    yield made
    made.close()


@pytest.fixture
def frigate() -> Iterator[Frigate]:
    made = Frigate()
    yield made
    made.close()


@pytest.fixture
def bridge(
    broker: Broker, frigate: Frigate, small_weights: Path
) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(BRIDGE), "--frigate", frigate.url, "--gate", "off"]
    command += ["--mqtt", f"127.0.0.1:{broker.port}", "--model", "deblurgan"]
    command += ["--weights", str(small_weights), "--queue", "3", "--timeout", "5"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines: list[str] = []
    assert process.stderr is not None
    stderr = process.stderr
    reader = threading.Thread(target=lambda: lines.extend(iter(stderr.readline, "")))
    reader.start()
    process.lines = lines  # type: ignore[attr-defined]
    wait_until(lambda: any("connected" in line for line in lines), 60)
    time.sleep(0.3)  # until it has subscribed
    yield process
    process.kill()
    process.wait()
    reader.join()
    stderr.close()


def said(bridge: subprocess.Popen[str]) -> str:
    return "".join(bridge.lines)  # type: ignore[attr-defined]


def rgb(png: bytes) -> np.ndarray:
    with av.open(io.BytesIO(png)) as container:
        assert container.format.name == "png_pipe"
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_a_persons_faces_come_with_where_they_are_from(
    broker: Broker, frigate: Frigate, bridge: subprocess.Popen[str], small_weights: Path
) -> None:
    data = frigate.snapshots["1607123955.475377-mxklsc"] = jpeg(portrait())
    broker.tell(event("1607123955.475377-mxklsc"))
    wait_until(lambda: broker.documents() != [])
    (document,) = broker.documents()
    topic = "vidfacedeblur/front_door/1607123955.475377-mxklsc"
    assert set(broker.messages) == {topic, f"{topic}/face/1/image", f"{topic}/face/1/original"}

    image = rgb_of_jpeg(data)
    options = FaceOptions(gate="off")
    with FaceDeblurPipeline("deblurgan", weights=small_weights, faces=options) as pipeline:
        result = pipeline.process_image(image)
        provenance = pipeline.provenance(hashlib.sha256(data).hexdigest())
    (face,) = result.faces
    assert document["provenance"] == provenance
    assert (document["schema"], document["id"]) == (1, "1607123955.475377-mxklsc")
    assert (document["camera"], document["label"], document["kind"]) == (
        "front_door",
        "person",
        "end",
    )
    assert document["frame_time"] == 1607123961.837752
    (told,) = document["faces"]
    assert told["box"] == [round(value, 2) for value in face.box]
    assert len(told["landmarks"]) == 5
    assert told["deblurred"] is True
    assert told["sharpness"] == pytest.approx(face.sharpness)
    assert told["sharpness_after"] == pytest.approx(face.sharpness_after, abs=1e-3)
    assert document["timing"]["total"] > 0

    margin = 0.3 * max(face.box.width, face.box.height)
    x0, y0 = max(0, round(face.box.x0 - margin)), max(0, round(face.box.y0 - margin))
    x1, y1 = round(face.box.x1 + margin), round(face.box.y1 + margin)
    (restored,), (original,) = (
        broker.messages[f"{topic}/face/1/{name}"] for name in ("image", "original")
    )
    assert (rgb(original) == image[y0:y1, x0:x1]).all()
    assert np.abs(rgb(restored).astype(int) - result.image[y0:y1, x0:x1]).max() <= 1
    assert (rgb(restored) != rgb(original)).any()
    assert "bbox=0" in frigate.asked[0]


def rgb_of_jpeg(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def test_what_is_not_asked_for_or_cannot_be_had_is_passed_over(
    broker: Broker, frigate: Frigate, bridge: subprocess.Popen[str]
) -> None:
    good = jpeg(portrait())
    frigate.snapshots |= {
        "good": good,
        "dog": good,
        "none": good,
        "cut": good[: len(good) // 2],
        "text": b"<html>not found</html>",
        "huge": b"\xff\xd8" + b"x" * (33 << 20),
        "new": good,
        "same": good,
    }
    broker.tell(event("dog", label="dog"))
    broker.tell(event("none", has_snapshot=False))
    broker.tell(event("new", kind="new"))
    same = event("same", kind="update")
    same["before"] = same["after"]
    broker.tell(same)
    for name in ("missing", "cut", "text", "huge"):
        broker.tell(event(name))
        wait_until(lambda name=name: f"event {name} is skipped" in said(bridge))  # type: ignore[misc]
    broker.tell(b"\xff not json")
    broker.tell({"type": "end"})
    broker.tell([1, 2])
    for name in ("../../config", "a/b", "..", "a b", 17, "x" * 200, "a#"):
        broker.tell(event("?") | {"after": event("?")["after"] | {"id": name}})
    broker.tell(event("ok") | {"after": event("ok")["after"] | {"camera": "../+"}})
    broker.tell(event("good"))
    wait_until(lambda: broker.documents() != [])
    assert [document["id"] for document in broker.documents()] == ["good"]
    assert sorted(path.split("/")[3] for path in frigate.asked) == [
        "cut",
        "good",
        "huge",
        "missing",
        "text",
    ]
    text = said(bridge)
    assert text.count("is skipped") == 4 + 3 + 7 + 1
    assert "Traceback" not in text


def test_a_broker_that_was_away(
    broker: Broker, frigate: Frigate, bridge: subprocess.Popen[str]
) -> None:
    frigate.snapshots |= {"one": jpeg(portrait()), "two": jpeg(portrait(8))}
    broker.tell(event("one"))
    wait_until(lambda: len(broker.documents()) == 1)
    broker.stop()
    wait_until(lambda: "went away" in said(bridge))
    broker.start()
    wait_until(lambda: said(bridge).count("connected to the broker") == 2, 30)
    wait_until(broker.client.is_connected)
    time.sleep(0.5)
    broker.tell(event("two"))
    wait_until(lambda: len(broker.documents()) == 2)
    assert bridge.poll() is None


def test_of_a_burst_the_newest_is_taken_and_it_ends_when_told(
    broker: Broker, frigate: Frigate, bridge: subprocess.Popen[str]
) -> None:
    frigate.slow = 1.0
    names = [f"event{number}" for number in range(8)]
    frigate.snapshots |= dict.fromkeys(["first", *names], jpeg(portrait()))
    broker.tell(event("first"))
    wait_until(lambda: frigate.asked != [])
    for name in names:
        for time_of in (1.0, 2.0, 3.0):
            broker.tell(event(name, kind="update", snapshot={"frame_time": time_of}))
    frigate.slow = 0.0
    wait_until(lambda: len(broker.documents()) == 4)
    time.sleep(0.3)
    assert [document["id"] for document in broker.documents()] == ["first", *names[-3:]]
    assert {document["frame_time"] for document in broker.documents()[1:]} == {3.0}
    bridge.send_signal(signal.SIGTERM)
    assert bridge.wait(5) == 0
    wait_until(lambda: "4 events done, 0 skipped, 5 dropped" in said(bridge))
