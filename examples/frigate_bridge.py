"""Between Frigate and a recogniser: restored faces of each person's snapshot, over MQTT.

    pip install 'vidfacedeblur[frigate]'
    export MQTT_PASSWORD=...
    python examples/frigate_bridge.py --frigate http://frigate:5000 --mqtt broker:1883 --user bridge

Listens to ``frigate/events``; when the event of a person ends, or gets a better snapshot, fetches
the snapshot, restores the faces in it, and publishes

    vidfacedeblur/CAMERA/EVENT/face/1/image      PNG, the restored crop
    vidfacedeblur/CAMERA/EVENT/face/1/original   PNG, the same before
    vidfacedeblur/CAMERA/EVENT                   JSON: faces, and what was done with what

The JSON comes last: who has it has the crops. A snapshot that cannot be had, and a message that
cannot be understood, cost one line in the log and nothing else. Where events come faster than faces
can be restored, the newest snapshot of each event wins, and the oldest events are dropped and
counted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import (
    Box,
    Face,
    FaceDeblurPipeline,
    FaceOptions,
    VideoOptions,
    VidFaceDeblurError,
)
from vidfacedeblur.video import open_source
from vidfacedeblur.video.picture import picture_kind

try:
    import paho.mqtt.client as mqtt
except ImportError:
    sys.exit("frigate_bridge: paho-mqtt is missing; pip install 'vidfacedeblur[frigate]'")

SCHEMA = 1
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""What the ids and cameras that become parts of addresses and topics may look like."""
_LARGEST = 32 << 20
"""Bytes of a snapshot."""
_QUEUED = 1000
"""Messages that may wait for a broker that is away."""
_MARGIN = 0.3
"""What is kept around a face on each side, as a share of its box's longer side."""
_log = logging.getLogger("frigate_bridge")
Image = NDArray[np.uint8]


class SkippedError(Exception):
    """An event of which nothing comes; the message says why."""


class Event(NamedTuple):
    """What is needed of one of Frigate's events."""

    id: str
    camera: str
    label: str
    kind: str
    frame_time: float | None
    """When the snapshot was taken, in seconds since 1970."""


def event_of(payload: bytes, args: argparse.Namespace) -> Event | None:
    """Read a message of ``frigate/events``; None for one that is not asked for.

    Raises:
        SkippedError: It cannot be understood.
    """
    try:
        message = json.loads(payload)
        kind, before, after = message["type"], message.get("before") or {}, message["after"]
        event = Event(after["id"], after["camera"], after["label"], kind, _frame_time(after))
        has_snapshot = after.get("has_snapshot", False)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SkippedError(f"not an event: {type(error).__name__} {error}") from error
    for name in (event.id, event.camera):
        if not isinstance(name, str) or not _NAME.fullmatch(name) or set(name) == {"."}:
            raise SkippedError(f"not a name that can be used: {str(name)[:100]!r}")
    wanted = event.label in args.label and (not args.camera or event.camera in args.camera)
    better = kind == "end" or _frame_time(before) != event.frame_time
    return event if wanted and has_snapshot and kind in args.on and better else None


def _frame_time(state: dict[str, Any]) -> float | None:
    time = (state.get("snapshot") or {}).get("frame_time")
    return float(time) if isinstance(time, (int, float)) else None


class Waiting:
    """The events that wait, each with its newest snapshot; of too many, the oldest go."""

    def __init__(self, most: int) -> None:
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._most = most
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, event: Event) -> None:
        with self._changed:
            self._events.pop(event.id, None)
            self._events[event.id] = event
            if len(self._events) > self._most:
                self._events.popitem(last=False)
                self.dropped += 1
            self._changed.notify()

    def get(self, seconds: float) -> Event | None:
        """The event that waits longest; None where none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._events, seconds)
            return self._events.popitem(last=False)[1] if self._events else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Frigate is asked, and nobody that somebody else names."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def fetch(event: Event, base: str, timeout: float) -> bytes:
    """The event's snapshot as Frigate has it, without a box or a time drawn into it.

    Raises:
        SkippedError: It cannot be had.
    """
    url = f"{base}/api/events/{event.id}/snapshot.jpg?bbox=0&timestamp=0&crop=0&quality=100"
    try:
        with urllib.request.build_opener(_NoRedirect).open(url, timeout=timeout) as answer:
            data = answer.read(_LARGEST + 1)
    except (OSError, ValueError) as error:  # urllib's own errors are among them
        raise SkippedError(f"no snapshot: {error}") from error
    if len(data) > _LARGEST:
        raise SkippedError(f"the snapshot is larger than {_LARGEST >> 20} MiB")
    return bytes(data)


def picture_of(data: bytes) -> Image:
    """The snapshot as (H, W, 3) RGB; JPEG or PNG, decoded under the project's own limits.

    Raises:
        SkippedError: It is neither, or damaged.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "snapshot"
        path.write_bytes(data)
        try:
            if picture_kind(path) is None:
                raise SkippedError("the snapshot is neither JPEG nor PNG")
            with open_source(path, VideoOptions(max_pixels=64_000_000)) as source:
                (frame,) = list(source)
        except VidFaceDeblurError as error:
            raise SkippedError(str(error).replace(str(path), "the snapshot")) from error
    picture: Any = frame.picture
    return np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)


def crop(image: Image, box: Box) -> Image:
    """The face with some margin, as far as it is inside the picture."""
    margin = _MARGIN * max(box.width, box.height)
    x0, y0 = max(0, round(box.x0 - margin)), max(0, round(box.y0 - margin))
    return image[y0 : max(y0 + 1, round(box.y1 + margin)), x0 : max(x0 + 1, round(box.x1 + margin))]


def png(image: Image) -> bytes:
    done, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    assert done
    return data.tobytes()


def face_values(face: Face) -> dict[str, Any]:
    return {
        "box": [round(value, 2) for value in face.box],
        "landmarks": face.landmarks and [[round(v, 2) for v in point] for point in face.landmarks],
        "score": round(face.score, 4),
        "sharpness": face.sharpness,
        "sharpness_after": face.sharpness_after,
        "deblurred": face.deblurred,
    }


class Bridge:
    """Listens, restores, publishes."""

    def __init__(self, pipeline: FaceDeblurPipeline, args: argparse.Namespace) -> None:
        self._pipeline = pipeline
        self._args = args
        self.waiting = Waiting(args.queue)
        self.stop = threading.Event()
        self.done = self.skipped = 0
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.on_disconnect = self._on_disconnect
        client.reconnect_delay_set(1, 60)
        client.max_queued_messages_set(_QUEUED)
        if args.user:
            client.username_pw_set(args.user, os.environ.get("MQTT_PASSWORD"))
        if args.tls:
            client.tls_set(ca_certs=args.ca_file)

    def run(self) -> None:
        """Work until told to stop, or until as many events are done as were asked for."""
        host, port = self._args.mqtt
        self._client.connect_async(host, port)
        self._client.loop_start()  # connects, and connects again, in a thread of its own
        try:
            while not self.stop.is_set() and self.done + self.skipped != self._args.count:
                event = self.waiting.get(0.2)
                if event is not None:
                    self._work_on(event)
        finally:
            self._client.disconnect()
            self._client.loop_stop()

    def _on_connect(self, client: Any, *_: Any) -> None:
        _log.info("connected to the broker")
        client.subscribe(f"{self._args.frigate_prefix}/events", qos=1)

    def _on_disconnect(self, *told: Any) -> None:
        if not self.stop.is_set():
            _log.warning("the broker went away (%s); connecting again", told[3])

    def _on_message(self, *told: Any) -> None:
        message = told[2]
        try:
            event = event_of(message.payload, self._args)
        except SkippedError as reason:
            self._skip("a message", reason)
            return
        if event is not None:
            self.waiting.put(event)

    def _work_on(self, event: Event) -> None:
        try:
            data = fetch(event, self._args.frigate, self._args.timeout)
            before = picture_of(data)
        except SkippedError as reason:
            self._skip(f"event {event.id}", reason)
            return
        result = self._pipeline.process_image(before)
        topic = f"{self._args.prefix}/{event.camera}/{event.id}"
        for number, face in enumerate(result.faces, 1):
            for name, image in (("image", result.image), ("original", before)):
                self._publish(f"{topic}/face/{number}/{name}", png(crop(image, face.box)))
        document = {
            "schema": SCHEMA,
            **event._asdict(),
            "faces": [face_values(face) for face in result.faces],
            "timing": asdict(result.timing) | {"total": result.timing.total},
            "provenance": self._pipeline.provenance(hashlib.sha256(data).hexdigest()),
        }
        self._publish(topic, json.dumps(document).encode())
        self.done += 1
        _log.info("%s: %d faces, %.0f ms", topic, len(result.faces), result.timing.total)

    def _publish(self, topic: str, payload: bytes) -> None:
        # Quality 1: what is published while the broker is away is sent when it is back.
        sent = self._client.publish(topic, payload, qos=1, retain=self._args.retain)
        if sent.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            _log.warning("%s is lost: too much waits for the broker", topic)
        while sent.rc == mqtt.MQTT_ERR_SUCCESS and not (sent.is_published() or self.stop.is_set()):
            sent.wait_for_publish(0.5)

    def _skip(self, what: str, reason: SkippedError) -> None:
        self.skipped += 1
        _log.warning("%s is skipped: %s", what, reason)


def _base(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError("must be http://HOST:PORT")
    return text.rstrip("/")


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.partition(":")
    if not host or not (port or "1883").isdecimal():
        raise argparse.ArgumentTypeError("must be HOST or HOST:PORT")
    return host, int(port or 1883)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    made.add_argument("--frigate", type=_base, required=True, metavar="URL")
    made.add_argument("--mqtt", type=_host_port, required=True, metavar="HOST:PORT")
    made.add_argument("--user", help="of the broker; its password is taken from MQTT_PASSWORD")
    made.add_argument("--tls", action="store_true")
    made.add_argument("--ca-file", help="certificates to check the broker's against")
    made.add_argument("--frigate-prefix", default="frigate", help="topic that Frigate publishes to")
    made.add_argument("--prefix", default="vidfacedeblur", help="topic to publish to")
    made.add_argument("--camera", action="append", default=[], help="only this one; repeatable")
    made.add_argument("--label", action="append", default=None, help="default: person")
    made.add_argument("--on", action="append", default=None, choices=("new", "update", "end"))
    made.add_argument("--model", default="deblurganv2")
    made.add_argument("--weights", type=Path)
    made.add_argument("--gate", default="auto", choices=("auto", "off"))
    made.add_argument("--retain", action="store_true", help="let the broker keep the last of each")
    made.add_argument("--timeout", type=float, default=10, help="seconds that Frigate may take")
    made.add_argument("--queue", type=int, default=100, help="events that may wait")
    made.add_argument("--count", type=int, default=-1, help="end after so many events")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="frigate_bridge: %(message)s")
    args = parser().parse_args(argv)
    args.label, args.on = args.label or ["person"], args.on or ["update", "end"]
    options = FaceOptions(gate=args.gate)
    with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
        bridge = Bridge(pipeline, args)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: bridge.stop.set())
        bridge.run()
    _log.info(
        "%d events done, %d skipped, %d dropped",
        bridge.done,
        bridge.skipped,
        bridge.waiting.dropped,
    )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except VidFaceDeblurError as error:
        sys.exit(f"frigate_bridge: {error}")
