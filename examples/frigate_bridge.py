"""Between Frigate and a recogniser: restored faces of each person's snapshot, over MQTT.

    pip install '.[frigate]'
    export MQTT_PASSWORD=...
    python examples/frigate_bridge.py --frigate http://frigate:5000 --mqtt broker --user bridge

Listens to ``frigate/events``; when the event of a person ends, or gets a better snapshot, fetches
the snapshot, restores the faces in it, and publishes

    vidfacedeblur/CAMERA/EVENT/face/1/image      PNG, the restored crop
    vidfacedeblur/CAMERA/EVENT/face/1/original   PNG, the same before
    vidfacedeblur/CAMERA/EVENT                   JSON: the faces, and what was done with what

The JSON comes last: who has it has the crops. Frigate's clean copy is taken where there is one
(``snapshots: clean_copy``); else the snapshot, which after the end of an event has in it what
Frigate was told to draw. A snapshot that cannot be had, and a message that cannot be understood,
cost one line in the log and nothing else. Where events come faster than faces can be restored, the
newest snapshot of each event wins, and the oldest events are dropped and counted.

What happens while the bridge is away is done when it is back, if the broker keeps it: give the
bridge a name that no other client has (``--client-id bridge``), and let Frigate publish with
``qos: 1`` (``mqtt:`` in its configuration); its usual 0 asks the broker to keep nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import logging
import math
import os
import re
import signal
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidfacedeblur import Box, Face, FaceDeblurPipeline, FaceOptions, VidFaceDeblurError
from vidfacedeblur.video.picture_bytes import is_whole, kind_of

try:
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion
except ImportError:
    sys.exit("frigate_bridge: paho-mqtt is missing; pip install 'vidfacedeblur[frigate]'")

SCHEMA = 1
"""Version of the JSON's form; rises when a field changes its meaning or goes."""
_SNAPSHOTS = (
    "snapshot-clean.webp",  # from Frigate 0.17 on
    "snapshot-clean.png",
    "snapshot.jpg?bbox=0&timestamp=0&crop=0&quality=100",  # while an event lasts, as asked for
)
"""Where a snapshot may be, best first."""
_DECODERS = {"webp": "webp", "png": "png", "jpeg": "mjpeg"}
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
"""What the ids and cameras that become parts of addresses and topics may look like."""
_LONGEST = 1 << 20
"""Bytes of a message of Frigate."""
_LARGEST = 32 << 20
"""Bytes of a snapshot."""
_MOST_PIXELS = 64_000_000
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
    type: str
    """``new``, ``update`` or ``end``."""
    frame_time: float | None
    """When the snapshot was taken, in seconds since 1970; None if unknown."""


def event_of(payload: bytes, args: argparse.Namespace) -> Event | None:
    """Read a message of ``frigate/events``; None for one that is not asked for.

    Raises:
        SkippedError: It cannot be understood, or has names that could lead elsewhere.
    """
    if len(payload) > _LONGEST:
        raise SkippedError(f"a message of {len(payload)} bytes is no event")
    try:
        message = json.loads(payload)
        before, after = message.get("before") or {}, message["after"]
        known = _snapshot_time(before)
        named = (_text(after, "id"), _text(after, "camera"), _text(after, "label"))
        event = Event(*named, _text(message, "type"), _snapshot_time(after))
        has_snapshot = after.get("has_snapshot") is True
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SkippedError(f"not an event ({type(error).__name__})") from error
    wanted = event.label in args.label and (not args.camera or event.camera in args.camera)
    improved = event.type != "update" or event.frame_time != known
    if not (wanted and has_snapshot and improved and event.type in args.on):
        return None
    for name in (event.id, event.camera):
        if not _NAME.fullmatch(name):
            raise SkippedError(f"not a name that can be used: {name[:100]!a}")
    return event


def _text(state: dict[str, Any], key: str) -> str:
    if not isinstance(state[key], str):
        raise TypeError(key)
    return str(state[key])


def _snapshot_time(state: dict[str, Any]) -> float | None:
    """When an object's best snapshot so far was taken; older versions of Frigate say it flatly."""
    snapshot = state.get("snapshot") or {}
    value: Any = snapshot.get("frame_time", state.get("snapshot_time"))
    good = type(value) in (int, float) and abs(value) < 1e12  # also refuses NaN
    return float(value) if good else None


class Waiting:
    """The events that wait, each with its newest snapshot; of too many, the oldest go."""

    def __init__(self, most: int) -> None:
        self._events: OrderedDict[str, Event] = OrderedDict()
        self._most = most
        self._changed = threading.Condition()
        self.dropped = 0

    def put(self, event: Event) -> None:
        with self._changed:
            self._events[event.id] = event  # it keeps its place in line
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


_opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


def fetch(event: Event, base: str, timeout: float) -> tuple[str, bytes]:
    """The event's snapshot as Frigate has it, and what Frigate calls it.

    Args:
        event: Its id is part of the address.
        base: Frigate's address, without a slash at its end.
        timeout: Seconds for all of it.

    Raises:
        SkippedError: It cannot be had.
    """
    deadline = time.monotonic() + timeout
    reason = ""
    for name in _SNAPSHOTS:
        left = max(0.1, deadline - time.monotonic())
        try:
            # The scheme and the host are the user's own.
            with _opener.open(f"{base}/api/events/{event.id}/{name}", timeout=left) as answer:
                return name.partition("?")[0], _read(answer, deadline)
        except urllib.error.HTTPError as error:  # not there; the next may be
            error.close()
            reason = f"Frigate answers {error.code}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SkippedError(f"no snapshot: {error or type(error).__name__}") from error
    raise SkippedError(f"no snapshot: {reason}")


def _read(answer: Any, deadline: float) -> bytes:
    """The body, in pieces: one that trickles in must not hold up everything for ever."""
    data = bytearray()
    while piece := answer.read1(1 << 16):
        data += piece
        if len(data) > _LARGEST:
            raise SkippedError(f"the snapshot is larger than {_LARGEST >> 20} MiB")
        if time.monotonic() > deadline:
            raise SkippedError("no snapshot: Frigate is too slow")
    return bytes(data)


def picture_of(data: bytes) -> Image:
    """The snapshot, WebP, PNG or JPEG, as (H, W, 3) RGB. What came over a network is not trusted.

    Raises:
        SkippedError: It is none of them, damaged or too large.
    """
    kind = "webp" if data[:4] + data[8:12] == b"RIFFWEBP" else kind_of(data)
    if kind is None:
        raise SkippedError("the snapshot is neither WebP, PNG nor JPEG")
    whole = 8 + int.from_bytes(data[4:8], "little") <= len(data)
    if not (whole if kind == "webp" else is_whole(data, kind)):
        raise SkippedError("the snapshot is cut short")
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(_DECODERS[kind], "r"))
    decoder.options = {"max_pixels": str(_MOST_PIXELS)}
    try:
        (frame,) = decoder.decode(av.Packet(data)) or decoder.decode(None)
        if frame.is_corrupt:
            raise SkippedError("the snapshot is damaged")
        return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    except (av.error.FFmpegError, ValueError) as error:
        raise SkippedError(f"the snapshot cannot be decoded as {kind.upper()}") from error


def region_around(box: Box, image: Image) -> tuple[int, int, int, int]:
    """The face with some margin, as far as it is inside the picture: left, top, right, bottom."""
    margin = _MARGIN * max(box.width, box.height)
    height, width = image.shape[:2]
    x0, y0 = (min(max(0, round(v - margin)), m - 1) for v, m in ((box.x0, width), (box.y0, height)))
    x1, y1 = (min(round(v + margin), m) for v, m in ((box.x1, width), (box.y1, height)))
    return x0, y0, max(x0 + 1, x1), max(y0 + 1, y1)


def png(image: Image) -> bytes:
    _, data = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))
    return data.tobytes()


def face_values(face: Face, crop: tuple[int, int, int, int]) -> dict[str, Any]:
    """What the JSON says of a face; pixels of the snapshot."""
    return {
        "box": [round(value, 2) for value in face.box],
        "crop": list(crop),
        "landmarks": face.landmarks and [[round(v, 2) for v in point] for point in face.landmarks],
        "score": round(face.score, 4),
        "sharpness": face.sharpness,
        "sharpness_after": face.sharpness_after,
        "deblurred": face.deblurred,
    }


class Bridge:
    """Listens, restores, publishes.

    Args:
        pipeline: Restores the faces.
        args: As `parser` reads them.
    """

    def __init__(self, pipeline: FaceDeblurPipeline, args: argparse.Namespace) -> None:
        self._pipeline = pipeline
        self._args = args
        self._waiting = Waiting(args.queue)
        self._away = False
        self.done = self.failed = 0
        self.misread = 0
        """Messages that could not be understood; counted in the broker's thread."""
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=args.client_id or "",
            clean_session=not args.client_id,
        )
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.on_disconnect, client.on_connect_fail = self._on_disconnect, self._on_fail
        client.reconnect_delay_set(1, 60)
        client.connect_timeout = 3  # seconds; a signal must not wait longer
        if args.user:
            client.username_pw_set(args.user, args.password)
        if args.tls:
            client.tls_set_context(ssl.create_default_context(cafile=args.ca_file))

    @property
    def counts(self) -> str:
        """What became of the events, in one line."""
        return (
            f"{self.done} events done, {self.failed} failed, {self._waiting.dropped} dropped;"
            f" {self.misread} messages not understood"
        )

    def run(self) -> None:
        """Work until a signal comes, or until as many events are over as were asked for."""
        self._client.connect_async(*self._args.mqtt)
        self._client.loop_start()  # connects, and connects again, in a thread of its own
        try:
            while self._args.once is None or self.done + self.failed < self._args.once:
                event = self._waiting.get(0.5)
                if event is not None:
                    self._work_on(event)
        finally:
            self._client.disconnect()  # after what is on its way
            self._client.loop_stop()

    def _work_on(self, event: Event) -> None:
        try:
            self._publish_faces(event, *fetch(event, self._args.frigate, self._args.timeout))
            self.done += 1
        except SkippedError as reason:
            self.failed += 1
            _log.warning("event %s is skipped: %s", event.id, _line(reason))
        except Exception as error:  # noqa: BLE001 - it must not cost the events that follow
            self.failed += 1
            _log.warning("event %s is skipped: %s", event.id, _line(repr(error)))

    def _publish_faces(self, event: Event, name: str, data: bytes) -> None:
        before = picture_of(data)
        result = self._pipeline.process_image(before)
        topic = f"{self._args.prefix}/{event.camera}/{event.id}"
        crops = [region_around(face.box, before) for face in result.faces]
        for number, (x0, y0, x1, y1) in enumerate(crops, 1):
            self._publish(f"{topic}/face/{number}/image", png(result.image[y0:y1, x0:x1]))
            self._publish(f"{topic}/face/{number}/original", png(before[y0:y1, x0:x1]))
        document = {
            "schema": SCHEMA,
            **event._asdict(),
            "snapshot": name,
            "faces": [face_values(f, crop) for f, crop in zip(result.faces, crops, strict=True)],
            "timing": asdict(result.timing) | {"total": result.timing.total},  # milliseconds
            "provenance": self._pipeline.provenance(hashlib.sha256(data).hexdigest()),
        }
        self._publish(topic, json.dumps(document, allow_nan=False).encode())
        _log.info("%s: %d face(s), %.0f ms", topic, len(crops), result.timing.total)

    def _publish(self, topic: str, payload: bytes) -> None:
        """Publish when the broker is there; above quality 0, what a break cuts off is sent again.

        One message at a time: while the broker is away the events wait, of which the oldest go,
        and not any number of pictures.
        """
        while not self._client.is_connected():
            time.sleep(0.1)
        sent = self._client.publish(topic, payload, qos=self._args.qos, retain=self._args.retain)
        while sent.rc == mqtt.MQTT_ERR_SUCCESS and not sent.is_published():
            sent.wait_for_publish(1)

    def _on_connect(self, client: mqtt.Client, _: Any, __: Any, code: Any, *___: Any) -> None:
        if code.is_failure:
            self._gone(f"refuses: {code}")
            return
        self._away = False
        client.subscribe(f"{self._args.frigate_prefix}/events", qos=1)
        _log.info("connected to the broker")

    def _on_disconnect(self, _: Any, __: Any, ___: Any, code: Any, *____: Any) -> None:
        if code.is_failure:
            self._gone(f"went away: {code}")

    def _on_fail(self, *_: Any) -> None:
        self._gone("cannot be reached")

    def _gone(self, what: str) -> None:
        """Say so once, not at each attempt."""
        if not self._away:
            _log.warning("the broker %s; trying again", what)
        self._away = True

    def _on_message(self, _: Any, __: Any, message: mqtt.MQTTMessage) -> None:
        try:
            event = event_of(bytes(message.payload), self._args)
        except SkippedError as reason:
            self.misread += 1
            _log.warning("a message is skipped: %s", reason)
            return
        if event is not None:
            self._waiting.put(event)


def _line(reason: object) -> str:
    """What others may have had a say in, such as the words of a server, as one short line."""
    return " ".join(str(reason).split())[:200]


def _base(text: str) -> str:
    """Frigate's address.

    Raises:
        ArgumentTypeError: It is none; the message does not repeat it, it may hold a password.
    """
    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment:
        raise argparse.ArgumentTypeError("must be http://HOST:PORT, without a user or a query")
    return text.rstrip("/")


def _broker(text: str) -> tuple[str, int | None]:
    host, _, port = text.partition(":")
    if not host or "@" in text or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
        raise argparse.ArgumentTypeError("must be HOST or HOST:PORT")
    return host, int(port) if port else None


def _topic(text: str) -> str:
    if not text.strip("/") or set("+#\0") & set(text):
        raise argparse.ArgumentTypeError("must be a topic without + and #")
    return text.strip("/")


def _client_id(text: str) -> str:
    if text and not _NAME.fullmatch(text):  # an empty variable is none
        raise argparse.ArgumentTypeError("must be up to 100 letters, digits, '.', '_' and '-'")
    return text


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1 up")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError("must be seconds, more than 0 to 600")
    return seconds


def parser() -> argparse.ArgumentParser:
    env = os.environ.get
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = made.add_argument
    url, broker = env("FRIGATE_URL"), env("MQTT_BROKER")
    add("--frigate", type=_base, default=url, required=not url, metavar="URL", help="FRIGATE_URL")
    add("--mqtt", type=_broker, default=broker, required=not broker, metavar="HOST[:PORT]")
    add("--user", default=env("MQTT_USER"), help="of the broker; its password is MQTT_PASSWORD")
    add("--password-file", type=Path, help="instead of MQTT_PASSWORD, as a secret of a container")
    add(
        "--client-id",
        type=_client_id,
        default=env("MQTT_CLIENT_ID"),
        metavar="NAME",
        help="let the broker keep events for this name while the bridge is away; MQTT_CLIENT_ID",
    )
    add("--tls", action="store_true", help="encrypt, and check the broker's certificate")
    add("--ca-file", help="certificates to check it against, instead of the system's")
    add("--frigate-prefix", type=_topic, default="frigate", help="topic that Frigate publishes to")
    add("--prefix", type=_topic, default="vidfacedeblur", help="topic to publish to")
    add("--camera", action="append", default=[], help="only this one; repeatable")
    add("--label", action="append", help="instead of person; repeatable")
    add("--on", action="append", choices=("new", "update", "end"), help="default: update and end")
    add("--model", default="deblurganv2")
    add("--weights", type=Path)
    add("--gate", default="auto", choices=("auto", "off"))
    add("--strength", type=float, default=1.0, help="of the correction, 0 to 1")
    add("--qos", type=int, default=1, choices=(0, 1, 2), help="of what is published")
    add("--retain", action="store_true", help="let the broker keep the last of each topic")
    add("--timeout", type=_seconds, default=10, help="seconds that Frigate may take")
    add("--queue", type=_number, default=100, help="events that may wait")
    add("--once", type=_number, metavar="N", help="end after so many events")
    return made


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    made = parser()
    args = made.parse_args(argv)
    args.label, args.on = args.label or ["person"], args.on or ["update", "end"]
    host, port = args.mqtt
    args.mqtt = host, port or (8883 if args.tls else 1883)
    args.password = os.environ.get("MQTT_PASSWORD")
    if args.password_file is not None:
        try:
            args.password = args.password_file.read_text().strip()
        except OSError as error:
            made.error(f"--password-file cannot be read: {error.strerror}")
    if args.ca_file and not args.tls:
        made.error("--ca-file needs --tls")
    return args


def _stop(*_: Any) -> None:
    """Leave whatever is being done or waited for; a second signal changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """Run the bridge; 0 after a signal or `--once` events."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    args = read_arguments(argv)
    options = FaceOptions(gate=args.gate, strength=args.strength)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        with FaceDeblurPipeline(args.model, weights=args.weights, faces=options) as pipeline:
            bridge = Bridge(pipeline, args)
            try:
                bridge.run()
            finally:
                _log.info("%s", bridge.counts)
    except KeyboardInterrupt:
        return 0
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (VidFaceDeblurError, OSError) as error:  # OSError: certificates that cannot be read
        sys.exit(f"frigate_bridge: {error}")
