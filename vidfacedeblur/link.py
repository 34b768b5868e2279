"""Between a program and a process of its own that works for it: JSON messages, both ways.

Nothing that comes from the process can make the program run code, as a pickle could.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from typing import Any

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 10.0


def own_module(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run a module of ours as this process would import it.

    Not from the folder that it is started in, whose files may have our modules' names.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    return command, os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


class Child:
    """A process of our own that runs one of our modules, and the link to it.

    Args:
        module: Runs as ``python -m module HANDLE``.
        first: The first message to it.
        environment: Variables that it has beside those of this process.
    """

    def __init__(
        self, module: str, first: dict[str, Any], *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.link, theirs = Pipe()
        with theirs:
            handle = theirs.fileno()
            command, ours = own_module(module, str(handle), str(os.getpid()))
            self._process = subprocess.Popen(
                command,
                pass_fds=(handle,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**ours, **(environment or {})},
            )
        with suppress(OSError):
            self.send(first)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        """Send a message.

        Raises:
            OSError: The process is gone.
        """
        self.link.send_bytes(json.dumps(message).encode())

    def receive(self) -> dict[str, Any]:
        """The next message.

        Raises:
            EOFError: The process is gone.
        """
        return receive(self.link)

    def ending(self) -> str:
        """How a process that is gone ended, in words."""
        code = self._waited()
        if code >= 0:
            return f"the worker ended with exit code {code}"
        with suppress(ValueError):
            return f"the worker was killed by {signal.Signals(-code).name}"
        return f"the worker was killed by signal {-code}"

    def ask_to_stop(self) -> None:
        """Let it clear up and end; returns at once."""
        self._process.terminate()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def close(self) -> None:
        """Let go of the link, at which an idle process ends, and see it end."""
        self.link.close()
        self._waited()

    def _waited(self) -> int:
        """How a process ends that should; it is killed if it does not."""
        try:
            return self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def receive(link: Connection) -> dict[str, Any]:
    """The next message of a link.

    Raises:
        EOFError: The other side is gone.
    """
    try:
        return dict(json.loads(link.recv_bytes()))
    except OSError as error:
        raise EOFError from error


def parent_link(arguments: Sequence[str]) -> Connection:
    """In the child: the link to its parent, together with whom it dies, from now on."""
    handle, parent = int(arguments[1]), int(arguments[2])
    # A parent that is killed cannot say so, and what is done for it would be done in vain.
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    return Connection(handle)


__all__ = ["Child", "own_module", "parent_link", "receive"]
