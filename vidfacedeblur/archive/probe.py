"""Looking at files before they are worked on, in a process whose crash costs nothing.

The names of outputs depend on what the inputs are, so that each is opened once to plan. FFmpeg may
crash at a hostile one, or take for ever.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vidfacedeblur.archive.link import Child, parent_link, receive
from vidfacedeblur.errors import DamagedInputError, InputError
from vidfacedeblur.video import glance

_LONGEST_SECONDS = 30.0


class Prober:
    """Tells the suffix of a file's output; a context manager."""

    def __init__(self) -> None:
        self.seconds: dict[Path, float] = {}
        """How long the files say that they are; those that say nothing are not there."""
        self._child: Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drop()

    def suffix_of(self, path: Path) -> str:
        """The suffix, with its dot, of what will be written for an input.

        Raises:
            InputError: It cannot be opened.
            DamagedInputError: It crashed what opened it, or took too long.
        """
        if self._child is None:
            self._child = Child("vidfacedeblur.archive.probe", {})
        try:
            self._child.send({"path": str(path)})
            if not self._child.link.poll(_LONGEST_SECONDS):
                raise DamagedInputError(f"{path}: opening it takes too long")
            answer = self._child.receive()
        except (EOFError, OSError, DamagedInputError) as error:
            self._drop(at_once=True)
            raise DamagedInputError(f"{path}: it cannot be opened without harm") from error
        if "suffix" not in answer:
            raise InputError(answer["error"])
        if answer["seconds"] is not None:
            self.seconds[path] = float(answer["seconds"])
        return str(answer["suffix"])

    def _drop(self, *, at_once: bool = False) -> None:
        if self._child is not None:
            if at_once:
                self._child.kill()
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
            try:
                suffix, seconds = glance(path)
                answer = {"suffix": suffix, "seconds": seconds}
            except Exception as error:  # noqa: BLE001 - the file's own job says what it is
                answer = {"error": str(error)}
            link.send_bytes(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
    os._exit(0)
