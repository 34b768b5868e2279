"""One connection to a camera: a thread that receives, and one that decodes.

The receiving thread never waits for the decoder, so that a backlog forms here, where it can be seen
and cut short, and not in the network's buffers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import av

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import VidFaceDeblurError
from vidfacedeblur.live.values import LiveFrame
from vidfacedeblur.video import Address, Camera

_log = logging.getLogger(__name__)
_REORDERED = 64
"""Packets whose times of arrival are remembered; pictures come out of order by fewer."""

_UNCLEAN = 3
"""Damaged pictures in the beginning that are held back; a camera may have no others."""


class _Arrival(NamedTuple):
    packet: av.Packet[Any]
    arrived: float
    wall: float


class Counts:
    """What a connection counts; each field is written by one thread only."""

    def __init__(self) -> None:
        self.packets = self.decoded = self.late = self.skipped = self.damaged = 0


class Connection:
    """Receives and decodes until the other side ends it, it stalls, or `stop` is called.

    Args:
        address: The camera.
        options: Timeouts and limits.
        epoch: Number that its frames bear.
        deliver: Given each picture, in the decoding thread.
        on_first: Called before the first one.
        on_end: Called when both threads are done.
    """

    def __init__(
        self,
        address: Address,
        options: LiveOptions,
        *,
        epoch: int,
        deliver: Callable[[LiveFrame], None],
        on_first: Callable[[], None],
        on_end: Callable[[], None],
    ) -> None:
        self.counts = Counts()
        self.reason = ""
        """Why it ended; empty while it goes on."""
        self.progress = time.monotonic()
        """When it was begun, opened, or gave its last picture."""
        self.opened = False
        """Whether the camera has answered."""
        self._address = address
        self._options = options
        self._epoch = epoch
        self._deliver = deliver
        self._on_first = on_first
        self._on_end = on_end
        self._arrivals: deque[_Arrival] = deque()
        self._changed = threading.Condition()
        self._stopped = self._received = False
        self._ended = threading.Event()
        self._awaits_key = True
        self._times: dict[int, tuple[float, float]] = {}
        name = f"vidfacedeblur-camera-{epoch}"
        self._thread = threading.Thread(target=self._receive, name=name, daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        try:
            self._thread.start()
        except RuntimeError as error:  # the system has no thread left; later it may have
            self._end_with(f"{self._address} cannot be received: {error}")
            self._ended.set()

    def stop(self) -> None:
        """Ask it to end; returns at once."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until it has ended; whether it has."""
        return self._ended.wait(seconds)

    @property
    def is_live(self) -> bool:
        """Whether it has given a picture."""
        return self.counts.decoded > 0

    # --- the receiving thread

    def _receive(self) -> None:
        decoding: threading.Thread | None = None
        camera: Camera | None = None
        try:
            camera = Camera(self._address, self._options)
            self.progress, self.opened = time.monotonic(), True
            name = f"{self._thread.name}-decode"
            thread = threading.Thread(target=self._decode, args=(camera,), name=name, daemon=True)
            thread.start()
            decoding = thread
            self._take_in(camera)
            self._end_with(f"{self._address} ended the stream")
        except Exception as error:  # noqa: BLE001 - the next connection may fare better
            self._fail(error)
        finally:
            with self._changed:
                self._received = True
                self._changed.notify_all()
            if decoding is not None:
                decoding.join()
            if camera is not None:
                camera.close()
            self._ended.set()
            self._on_end()

    def _take_in(self, camera: Camera) -> None:
        for packet in camera.packets():
            arrival = _Arrival(packet, time.monotonic(), time.time())
            with self._changed:
                if self._stopped:
                    return
                self.counts.packets += 1
                self._arrivals.append(arrival)
                self._changed.notify_all()

    def _end_with(self, reason: str) -> None:
        if not self.reason:
            self.reason = reason

    def _fail(self, error: Exception) -> None:
        if isinstance(error, VidFaceDeblurError):
            self._end_with(str(error))
            return
        _log.error("camera", exc_info=error)
        self._end_with(f"{self._address}: internal error, {type(error).__name__}: {error}")

    # --- the decoding thread

    def _decode(self, camera: Camera) -> None:
        try:
            last: _Arrival | None = None
            while (arrival := self._next()) is not None:
                self._decode_one(camera, arrival)
                last = arrival
            if last is not None and not self._stopped and not self._awaits_key:
                self._decode_packet(camera, None, last)  # what the decoder held back
        except Exception as error:  # noqa: BLE001 - as in the other thread
            self._fail(error)
            self.stop()

    def _next(self) -> _Arrival | None:
        with self._changed:
            self._changed.wait_for(lambda: self._arrivals or self._received or self._stopped)
            if self._stopped or not self._arrivals:
                return None
            return self._arrivals.popleft()

    def _decode_one(self, camera: Camera, arrival: _Arrival) -> None:
        packet = arrival.packet
        if not self._awaits_key and time.monotonic() - arrival.arrived > self._options.max_lag:
            self._awaits_key = True
            # This one as well: after a key frame that is late, what follows it would be missing.
            self.counts.late += 1 + self._drop_stale()
            return
        if self._awaits_key:
            if not packet.is_keyframe or packet.is_corrupt:
                self.counts.skipped += 1
                return
            camera.forget()
            self._times.clear()
            self._awaits_key = False
        self._note(packet, arrival)
        self._decode_packet(camera, packet, arrival)

    def _decode_packet(
        self, camera: Camera, packet: av.Packet[Any] | None, arrival: _Arrival
    ) -> None:
        try:
            pictures = camera.decode(packet)
        except av.error.FFmpegError:
            self.counts.damaged += 1
            if packet is not None and packet.pts is not None:
                self._times.pop(packet.pts, None)
            return
        for picture, corrupt in pictures:
            self._give(picture, arrival, camera, corrupt=corrupt)

    def _drop_stale(self) -> int:
        """Throw away what waits, up to the last key frame; how much that was."""
        with self._changed:
            waiting = list(self._arrivals)
            keys = [i for i, a in enumerate(waiting) if a.packet.is_keyframe]
            stale = keys[-1] if keys else len(waiting)
            for _ in range(stale):
                self._arrivals.popleft()
            return stale

    def _note(self, packet: av.Packet[Any], arrival: _Arrival) -> None:
        if packet.pts is None:
            return
        self._times[packet.pts] = (arrival.arrived, arrival.wall)
        if len(self._times) > _REORDERED:
            del self._times[next(iter(self._times))]

    def _give(
        self, picture: av.VideoFrame, arrival: _Arrival, camera: Camera, *, corrupt: bool
    ) -> None:
        self.counts.damaged += corrupt
        if corrupt and not self.is_live and self.counts.damaged <= _UNCLEAN:
            self._awaits_key = True  # the key frame was not a clean one
            return
        arrived, wall = arrival.arrived, arrival.wall
        if picture.pts is not None:
            arrived, wall = self._times.pop(picture.pts, (arrived, wall))
            # Pictures come in order: one from before of which nothing came was lost in silence.
            lost = [pts for pts in self._times if pts < picture.pts]
            for pts in lost:
                del self._times[pts]
            self.counts.damaged += len(lost)
        if not self.is_live:
            self._on_first()
        self.counts.decoded += 1
        self.progress = time.monotonic()
        self._deliver(
            LiveFrame(
                picture,
                picture.pts,
                picture.time_base or camera.time_base,
                arrived,
                wall,
                self._epoch,
                corrupt,
            )
        )
