"""Looking at files before they are worked on, in a process whose crash costs nothing.

The names of outputs depend on what the inputs are, so that each is opened once to plan. FFmpeg may
crash at a hostile one, or take for ever.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.link import Child, parent_link, receive
from vidfacedeblur.video import glance

_LONGEST_SECONDS = 30.0
_SAID_SECONDS = 5.0
_MOST = 8
_EACH = 20
"""Files for which another process is worth its start."""


@dataclass(frozen=True)
class Look:
    """What is seen of a file."""

    suffix: str
    """With its dot: that of what will be written for it; its own if it cannot be opened."""
    seconds: float | None = None
    """How long it says that it is."""


def look_at(
    paths: Sequence[Path], *, said: Callable[[int], None] = lambda count: None
) -> dict[Path, Look]:
    """Look at files, several at a time; of one that cannot be opened, its own job says why.

    Args:
        paths: The files.
        said: Told now and then how many were looked at.
    """
    count = max(1, min(_MOST, usable_cores(), len(paths) // _EACH))
    probers = [_Prober() for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool, _stopped_early(probers):
            shares = [paths[number::count] for number in range(count)]
            parts = [
                pool.submit(prober.share, share)
                for prober, share in zip(probers, shares, strict=True)
            ]
            while wait(parts, timeout=_SAID_SECONDS).not_done:
                said(sum(prober.count for prober in probers))
    finally:
        for prober in probers:
            prober.close()
    return {path: look for part in parts for path, look in part.result().items()}


@contextmanager
def _stopped_early(probers: Sequence[_Prober]) -> Iterator[None]:
    """At an exception, as of Ctrl-C, look at no more files: the pool would wait for all."""
    try:
        yield
    except BaseException:
        for prober in probers:
            prober.stop()
        raise


class _Prober:
    """Asks one process, and another if that is gone."""

    def __init__(self) -> None:
        self.count = 0
        self._child: Child | None = None
        self._stopped = threading.Event()

    def share(self, paths: Sequence[Path]) -> dict[Path, Look]:
        """What is seen of some of the files, until it is stopped."""
        return {path: self.look(path) for path in paths if not self._stopped.is_set()}

    def stop(self) -> None:
        """Break off; from another thread than that which looks."""
        self._stopped.set()
        child = self._child
        if child is not None:
            child.kill()

    def look(self, path: Path) -> Look:
        self.count += 1
        if self._child is None:
            self._child = Child("vidfacedeblur.archive.probe", {})
        try:
            self._child.send({"path": str(path)})
            if self._child.link.poll(_LONGEST_SECONDS):
                return Look(**self._child.receive())
        except (EOFError, OSError):
            pass
        self._child.kill()  # it crashed, or does not come to an end
        self.close()
        return Look(path.suffix)

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def main() -> None:
    """Answer until the driver goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    link = parent_link(sys.argv)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        receive(link)
        while True:
            path = Path(receive(link)["path"])
            look = Look(path.suffix)
            with suppress(Exception):  # the file's own job says what it is
                look = Look(*glance(path))
            link.send_bytes(json.dumps(asdict(look)).encode())


if __name__ == "__main__":
    main()
    os._exit(0)
