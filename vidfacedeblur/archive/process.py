"""A worker process of one machine: python -m vidfacedeblur.archive.process HANDLE PARENT."""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from types import FrameType
from typing import NoReturn

from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.link import parent_link, receive


class _Stopped(BaseException):
    """The driver asked to stop."""


def main() -> None:
    """Work until the driver goes away, or asks to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver hears it too, and decides
    signal.signal(signal.SIGTERM, _stop)
    link = parent_link(sys.argv)

    def tell(heard: Heard) -> None:
        link.send_bytes(json.dumps({"what": heard.what, "values": heard.values}).encode())

    with suppress(EOFError, BrokenPipeError, ConnectionResetError, _Stopped):
        first = receive(link)
        # Before NumPy, torch and FFmpeg are loaded, count the cores, and start threads;
        # on cores of other workers they would make all of them slower.
        os.sched_setaffinity(0, first["cores"])
        from vidfacedeblur.video.wire import error_values

        try:
            from vidfacedeblur.archive.worker import Worker

            worker = Worker(Setup.of(first["setup"]), tell)
        except Exception as error:  # noqa: BLE001 - the driver raises it
            link.send_bytes(json.dumps(error_values(error)).encode())
            return
        link.send_bytes(b'{"what": "ready"}')
        while True:
            tell(worker.perform(Task.of(receive(link))))


def _stop(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


if __name__ == "__main__":
    main()
    os._exit(0)  # a thread that waits for something would keep it alive
