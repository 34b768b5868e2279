"""From a camera's pictures to finished frames, and to everything that is done with them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from vidfacedeblur.live.publish import Publisher
from vidfacedeblur.live.source import LiveSource
from vidfacedeblur.live.values import Health, LiveFrame, LiveResult
from vidfacedeblur.pipeline import FaceDeblurPipeline
from vidfacedeblur.restore import Watcher
from vidfacedeblur.types import FrameResult

_LOOK = 0.2
"""Seconds after which a session looks whether it is to stop."""
_WINDOW = 10.0
"""Seconds over which rates and latencies are told."""


class Output(Protocol):
    """Where finished frames go."""

    def write(self, result: LiveResult) -> None:
        """Take in the next frame, which must not be changed."""

    def gap(self) -> None:
        """The camera is away; what comes next does not follow what came before."""

    def close(self) -> None:
        """Nothing more comes."""


@dataclass(frozen=True)
class LiveStats:
    """How a session is doing; rates and latencies over the last 10 seconds."""

    health: Health
    seconds: float
    """Since the session began."""
    frames: int = 0
    """Frames that were finished."""
    faces: int = 0
    """Faces found, summed over them."""
    deblurred: int = 0
    """Of them, those that were changed."""
    fps_in: float = 0.0
    """Pictures per second that the camera gives."""
    fps_out: float = 0.0
    """Frames per second that are finished."""
    latency_p50: float | None = None
    """Seconds from a picture's arrival until it was finished, in the middle ..."""
    latency_p95: float | None = None
    """... and for all but the slowest twentieth; None where there was none."""
    faces_now: int = 0
    """Faces in the last frame."""
    published: int = 0
    """Frames that its `Publisher`s sent; with the two below, 0 where there is none."""
    publish_dropped: int = 0
    """Frames that newer ones replaced before they could be sent."""
    publish_failures: int = 0
    """Times that a server could not be reached or went away."""


class LiveSession:
    """Deblurs a camera's faces until it is stopped, and gives each frame to the outputs.

    Several sessions may share one pipeline, each run by a thread of its own.

    Args:
        pipeline: Finds and deblurs the faces.
        source: The camera; closed by whoever made it.
        outputs: Given every frame, in order, by the thread that runs the session.
        watcher: Is shown each frame before and after its faces are deblurred.
        on_result: Called with every frame after the outputs have it.
        on_gap: Called when the camera is away, after the outputs were told.
    """

    def __init__(
        self,
        pipeline: FaceDeblurPipeline,
        source: LiveSource,
        outputs: Sequence[Output] = (),
        *,
        watcher: Watcher | None = None,
        on_result: Callable[[LiveResult], None] = lambda result: None,
        on_gap: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._outputs = outputs
        self._publishers = [output for output in outputs if isinstance(output, Publisher)]
        self._on_result = on_result
        self._on_gap = on_gap
        self._stream = pipeline.stream(watcher=watcher)
        self._waiting: deque[LiveFrame] = deque()
        self._stop = threading.Event()
        self._epoch = 0
        self._begin = time.monotonic()
        self._lock = threading.Lock()
        self._last = LiveStats(source.health(), 0.0)
        self._finished: deque[tuple[float, float]] = deque()  # when, and with what latency
        self._decoded: deque[tuple[float, int]] = deque()  # when, and how many until then

    @property
    def waiting(self) -> Sequence[LiveFrame]:
        """The frames that were taken and are not finished, in order."""
        return tuple(self._waiting)

    def run(self, seconds: float | None = None) -> None:
        """Work until `stop` is called or the source is closed, or for so many seconds.

        The outputs are closed at the end, however it comes; the first error of one ends it.

        Raises:
            OutputError: An output cannot be written.
        """
        until = None if seconds is None else time.monotonic() + seconds
        with ExitStack() as stack:
            for output in self._outputs:
                stack.callback(output.close)
            while not (self._stop.is_set() or self._source.closed):
                if until is not None and time.monotonic() >= until:
                    break
                self._step()
            self._flush()

    def stop(self) -> None:
        """Let `run` come to its end; may be called from any thread, or from a signal's handler."""
        self._stop.set()

    def stats(self) -> LiveStats:
        """How it is doing now."""
        now, health = time.monotonic(), self._note_rate()
        with self._lock:
            _forget(self._finished, now)
            latencies = [latency for _, latency in self._finished]
            first, then = self._decoded[0]
            span = max(1e-3, min(_WINDOW, now - self._begin))
            return replace(
                self._last,
                health=health,
                seconds=now - self._begin,
                fps_in=(health.decoded - then) / (now - first) if now - first > 0.05 else 0.0,
                fps_out=len(latencies) / span,
                latency_p50=float(np.percentile(latencies, 50)) if latencies else None,
                latency_p95=float(np.percentile(latencies, 95)) if latencies else None,
                published=sum(to.sent for to in self._publishers),
                publish_dropped=sum(to.dropped for to in self._publishers),
                publish_failures=sum(to.failures for to in self._publishers),
            )

    def _note_rate(self) -> Health:
        """Remember how many pictures there were until now."""
        now, health = time.monotonic(), self._source.health()
        with self._lock:
            self._decoded.append((now, health.decoded))
            _forget(self._decoded, now)
        return health

    def _step(self) -> None:
        frame = self._source.get(_LOOK)
        if not self._decoded or time.monotonic() - self._decoded[-1][0] > _LOOK:
            self._note_rate()
        if frame is None:
            if self._epoch and self._source.health().state != "live":
                self._gap()
            return
        if self._epoch not in (0, frame.epoch):
            self._gap()
        self._epoch = frame.epoch
        self._waiting.append(frame)
        self._give(self._stream.push(frame.picture))

    def _gap(self) -> None:
        """The camera went away: finish what waits for a frame that will not follow."""
        self._flush()
        self._epoch = 0
        for output in self._outputs:
            output.gap()
        self._on_gap()

    def _flush(self) -> None:
        self._give(self._stream.flush())

    def _give(self, results: Iterable[FrameResult]) -> None:
        for result in results:
            frame = self._waiting.popleft()
            done = LiveResult(result, frame, time.monotonic() - frame.arrived)
            for output in self._outputs:
                output.write(done)
            self._count(done)
            self._on_result(done)

    def _count(self, done: LiveResult) -> None:
        now, faces = time.monotonic(), done.result.faces
        with self._lock:
            self._finished.append((now, done.latency))
            _forget(self._finished, now)
            self._last = replace(
                self._last,
                frames=self._last.frames + 1,
                faces=self._last.faces + len(faces),
                deblurred=self._last.deblurred + sum(face.deblurred for face in faces),
                faces_now=len(faces),
            )


def _forget(times: deque[tuple[float, float]] | deque[tuple[float, int]], now: float) -> None:
    while times and now - times[0][0] > _WINDOW:
        times.popleft()
