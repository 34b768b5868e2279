"""Sending the finished pictures on to a server, for as long as it takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from fractions import Fraction

import av

from vidfacedeblur.config import LiveOptions
from vidfacedeblur.errors import OptionError, VidFaceDeblurError
from vidfacedeblur.live.newest import NewestQueue
from vidfacedeblur.live.source import waits
from vidfacedeblur.live.values import LiveResult, StreamClock
from vidfacedeblur.video import PUBLISH_SCHEMES, Address, StreamWriter, parse_address, published

_log = logging.getLogger(__name__)
_CLOSE = 3.0
"""Seconds that `close` waits for the last pictures to be sent."""


class Publisher:
    """Encodes and sends in a thread of its own; an output of a session.

    Who gives it frames never waits: where the network is slower the newest win, and where the
    server is away it is connected to again and again, as `LiveSource` does.

    Args:
        address: ``rtsp://`` or ``rtsps://`` of a server that takes what is published (RECORD), or
            ``udp://HOST:PORT`` for MPEG-TS.
        options: How RTSP is carried, how long the server may take, and waits between attempts.
        rate: Frames per second, about.
        crf: Constant rate factor of x264, lower is better.
        preset: x264's.
        tags: Of the stream.

    Raises:
        OptionError: The address is none that may be published to.
    """

    def __init__(
        self,
        address: str | Address,
        options: LiveOptions | None = None,
        *,
        rate: Fraction = Fraction(25),
        crf: float = 20.0,
        preset: str = "veryfast",
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self.address = (
            address if isinstance(address, Address) else parse_address(address, PUBLISH_SCHEMES)
        )
        self.sent = 0
        """Frames that were sent."""
        self.failures = 0
        """Times that the server could not be reached or went away."""
        self.reason = ""
        """The last failure's."""
        self._options = options or LiveOptions()
        self._rate, self._crf, self._preset = rate, crf, preset
        self._tags = dict(tags or {})
        self._refused: OptionError | None = None
        self._queue: NewestQueue[LiveResult] = NewestQueue()
        self._closed = threading.Event()
        self._writer: StreamWriter | None = None
        self._kind: tuple[int, int, int] | None = None
        self._thread = threading.Thread(
            target=self._send_all, name="vidfacedeblur-publish", daemon=True
        )
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Frames that were replaced by newer ones before they could be sent."""
        return self._queue.dropped

    def write(self, result: LiveResult) -> None:
        """Take in the next frame; returns at once.

        Raises:
            OptionError: The preset does not exist; no later attempt could mend that.
        """
        if self._refused is not None:
            raise self._refused
        self._queue.put(result)

    def gap(self) -> None:
        """The camera is away: nothing is sent meanwhile."""

    def close(self) -> None:
        """End it, within 5 seconds whatever the network does."""
        self._queue.close()
        self._thread.join(_CLOSE)
        self._closed.set()
        self._thread.join(1)

    # --- the publisher's own thread

    def _send_all(self) -> None:
        failed = 0
        while not self._closed.is_set():
            result = self._queue.get()
            if result is None:
                break
            try:
                self._send(result)
                failed = 0
            except OptionError as error:
                self._refused = error
                break
            except Exception as error:  # noqa: BLE001 - the next attempt may fare better
                failed += 1
                self._note_failure(error)
                self._pause(waits(self._options, failed))
        self._end()

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._queue.closed and (left := until - time.monotonic()) > 0:
            self._closed.wait(min(left, 0.25))

    def _send(self, result: LiveResult) -> None:
        image, epoch = result.result.image, result.frame.epoch
        kind = (epoch, image.width, image.height)
        if self._writer is not None and kind != self._kind:
            self._end()
        if self._writer is None:
            self._begin(image, kind)
        assert self._writer is not None
        self._writer.write(image, self._clock.time(result))
        self.sent += 1

    def _begin(self, image: av.VideoFrame, kind: tuple[int, int, int]) -> None:
        options = self._options
        self._writer = StreamWriter(
            self.address.url,
            published(self.address.scheme, transport=options.transport, timeout=options.timeout),
            image,
            rate=self._rate,
            crf=self._crf,
            preset=self._preset,
            tags=self._tags,
            timeout=options.timeout,
        )
        self._kind, self._clock = kind, StreamClock()
        _log.info("publishing to %s", self.address)

    def _note_failure(self, error: BaseException) -> None:
        self.failures += 1
        said = str(error) if isinstance(error, VidFaceDeblurError) else None
        self.reason = said or getattr(error, "strerror", None) or type(error).__name__
        _log.warning("%s cannot be published to: %s", self.address, self.reason)
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.finish()
        except (av.error.FFmpegError, OSError):
            writer.abandon()
