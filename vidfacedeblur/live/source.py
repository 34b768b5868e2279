"""A camera that stays: connects, connects again for ever, and hands out the newest pictures."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Self

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.live.connection import Connection, Counts
from vidfacedeblur.live.newest import NewestQueue
from vidfacedeblur.live.values import Health, LiveFrame, State
from vidfacedeblur.video import Address, parse_address

_log = logging.getLogger(__name__)
_TICK = 0.25
"""Seconds from one look of the watchdog to the next."""
_GRACE = 5.0
"""Seconds beyond the timeout after which a connection that does not end is left alone."""
_CLOSE = 4.0
"""Seconds that `close` waits for threads."""
_STEADY = 10.0
"""Seconds of pictures after which the next loss is a new one, and not another failed attempt."""


def waits(options: LiveOptions, failed: int) -> float:
    """Seconds to wait before the next attempt, after so many in a row that failed; drawn anew."""
    longest = min(options.max_backoff, options.backoff * 2.0 ** min(failed, 30))
    # Many cameras that lost the same switch must not come back in step.
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class LiveSource:
    """The pictures of a camera, newest first served; reconnects until it is closed.

    Args:
        address: ``rtsp://``, ``rtsps://``, ``http://``, ``https://``, ``udp://`` (MPEG-TS) or a
            V4L2 device. Names and passwords in it are never logged.
        options: Timeouts and limits.
        queue: Pictures that wait for who asks; older ones are dropped.
        on_health: Told each time the state changes, in a thread of this source. What it raises is
            logged, and changes nothing.

    Raises:
        OptionError: The address is none that may be opened.
    """

    def __init__(
        self,
        address: str | Address,
        options: LiveOptions | None = None,
        *,
        queue: int = 2,
        on_health: Callable[[Health], None] = lambda health: None,
    ) -> None:
        self.address = address if isinstance(address, Address) else parse_address(address)
        self.options = options or LiveOptions()
        self._on_health = on_health
        self._frames: NewestQueue[LiveFrame] = NewestQueue(queue)
        self._lock = threading.Lock()
        self._health = Health("connecting")
        self._past = Counts()  # of connections that are gone
        self._connection: Connection | None = None
        self._delivered = 0
        self._closed = threading.Event()
        self._ended = threading.Event()  # a connection did
        self._thread = threading.Thread(
            target=self._keep_connected, name="vidfacedeblur-camera", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[LiveFrame]:
        """Pictures until the source is closed."""
        while not self._frames.closed:
            frame = self.get()
            if frame is not None:
                yield frame

    def get(self, timeout: float | None = None) -> LiveFrame | None:
        """The next picture; None after so many seconds, or once closed."""
        frame = self._frames.get(timeout)
        self._delivered += frame is not None
        return frame

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def health(self) -> Health:
        """How the camera is doing now."""
        with self._lock:
            counts = self._counts()
            return replace(
                self._health,
                packets=counts.packets,
                decoded=counts.decoded,
                late=counts.late,
                skipped=counts.skipped,
                damaged=counts.damaged,
                delivered=self._delivered,
                dropped=self._frames.dropped,
            )

    def close(self) -> None:
        """End it, within 5 seconds whatever the network does. May be called more than once.

        A connection that the system does not let go of is left to a thread of its own, which ends
        at the latest with the timeout.
        """
        self._closed.set()
        self._frames.close()
        connection = self._connection
        if connection is not None:
            connection.stop()
        self._ended.set()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE)

    # --- the source's own thread

    def _keep_connected(self) -> None:
        failed = 0
        while not self._closed.is_set():
            connection = self._connect()
            began = time.monotonic()
            reason = self._watch(connection)
            steady = connection.is_live and time.monotonic() - began >= _STEADY
            failed = 0 if steady or (connection.is_live and not failed) else failed + 1
            self._let_go(connection)
            if self._closed.is_set():
                break
            self._change("waiting", reason)
            self._closed.wait(waits(self.options, failed))
        self._change("closed", "closed")

    def _connect(self) -> Connection:
        self._change("connecting", attempts=1)
        epoch = self._health.epoch + 1
        connection = Connection(
            self.address,
            self.options,
            epoch=epoch,
            deliver=self._frames.put,
            on_first=lambda: self._first_picture(connection),
            on_end=self._ended.set,
        )
        with self._lock:
            self._connection = connection
        connection.start()
        if self._closed.is_set():
            connection.stop()
        return connection

    def _first_picture(self, connection: Connection) -> None:
        with self._lock:
            current = self._connection is connection
        if current:  # and not one that was given up while its picture was on the way
            self._change("live", epoch=self._health.epoch + 1)

    def _watch(self, connection: Connection) -> str:
        """Wait until the connection ends or gives no pictures; why it did."""
        while not connection.wait(0):
            self._ended.wait(_TICK)
            self._ended.clear()  # it may have been one that was given up long ago
            if self._closed.is_set():
                return "closed"
            idle = time.monotonic() - connection.progress
            # Opening has timeouts of its own, one for each of its two parts.
            opening = 2 * self.options.timeout + _GRACE
            if idle > (self.options.stall if connection.opened else opening):
                return f"{self.address} gave no picture for {idle:.0f} s"
        return connection.reason

    def _let_go(self, connection: Connection) -> None:
        """End a connection and take over its counts."""
        connection.stop()
        begin = time.monotonic()
        while not connection.wait(_TICK):
            # Closing must be quick; otherwise the timeout may take its time.
            patience = _CLOSE / 2 if self._closed.is_set() else self.options.timeout + _GRACE
            if time.monotonic() - begin > patience:
                break
        with self._lock:
            ended = connection.wait(0)
            self._past = self._counts()
            self._connection = None
            self._health = replace(
                self._health,
                reconnects=self._health.reconnects
                + (connection.is_live and not self._closed.is_set()),
                abandoned=self._health.abandoned + (not ended),
            )

    def _counts(self) -> Counts:
        total = Counts()
        for counts in (self._past, self._connection.counts if self._connection else Counts()):
            for name, value in vars(counts).items():
                setattr(total, name, getattr(total, name) + value)
        return total

    def _change(
        self, state: State, reason: str = "", *, attempts: int = 0, epoch: int | None = None
    ) -> None:
        with self._lock:
            self._health = replace(
                self._health,
                state=state,
                reason=reason or self._health.reason,
                attempts=self._health.attempts + attempts,
                epoch=self._health.epoch if epoch is None else epoch,
            )
        _log.info("%s: %s%s", self.address, state, f" ({reason})" if reason else "")
        try:
            self._on_health(self.health())
        except Exception:  # noqa: BLE001 - a host's mistake must not lose it the camera
            _log.exception("on_health failed")
