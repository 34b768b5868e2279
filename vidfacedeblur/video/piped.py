"""Standard input, read so that whoever waits for it can be stopped."""

from __future__ import annotations

import os
import select

_TICK = 0.2
"""Seconds after which is looked whether to wait on."""
_STDIN = 0


class PipedInput:
    """What FFmpeg reads standard input through.

    Its own way begins a read anew after each signal, so that Python's handlers never run, and
    nothing but an end of the input would end it.
    """

    def __init__(self) -> None:
        self.interrupted = False
        """Set by another thread: the input ends here."""
        self._raised: BaseException | None = None

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        try:
            while not self.interrupted:
                if select.select([_STDIN], [], [], _TICK)[0]:
                    return os.read(_STDIN, size)
        except OSError:
            pass  # it is closed
        except BaseException as error:  # noqa: BLE001 - a signal's; PyAV would swallow it
            self._raised, self.interrupted = error, True
        return b""

    def check(self) -> None:
        """Raise what a signal raised during a read."""
        if self._raised is not None:
            raise self._raised
