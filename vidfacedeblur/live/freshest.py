"""The newest finished frame, for whoever asks, whenever they ask."""

from __future__ import annotations

import threading

from vidfacedeblur.live.values import LiveResult


class Freshest:
    """Keeps the last frame only; an output of a session, and safe for any number of threads."""

    def __init__(self) -> None:
        self._last: LiveResult | None = None
        self._changed = threading.Condition()
        self._closed = False

    def write(self, result: LiveResult) -> None:
        """Take in the next frame."""
        with self._changed:
            self._last = result
            self._changed.notify_all()

    def gap(self) -> None:
        """The camera is away: the last frame stays, its `frame.wall` says how old it is."""

    def close(self) -> None:
        """Let go of whoever waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def get(
        self, *, after: LiveResult | None = None, timeout: float | None = None
    ) -> LiveResult | None:
        """The last frame; where there is none yet, the first that comes.

        Args:
            after: Wait for another than this one.
            timeout: Seconds to wait; None waits for ever.

        Returns:
            None where none came in time, or none will come.
        """

        def there() -> bool:
            return self._closed or (self._last is not None and self._last is not after)

        with self._changed:
            self._changed.wait_for(there, timeout)
            return self._last if self._last is not after else None
