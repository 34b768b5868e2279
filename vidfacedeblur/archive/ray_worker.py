"""A worker on a node of a Ray cluster: keeps one process at work, and tells the driver of it.

The process opens the files and holds the networks; its crash leaves this standing. What comes and
goes is what JSON can hold, a few hundred bytes: no frame passes through Ray.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vidfacedeblur import __version__
from vidfacedeblur.archive.local import LocalExecutor, Slot, available_memory
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.video.wire import error_values

_POLL_SECONDS = 0.2
"""So soon a worker hears that it is to stop."""
_PRESSING = ("ready", "unfit", "piece", "done", "failed", "lost")
"""What the driver is told at once; the rest when it next asks."""

Message = dict[str, Any]
"""``what`` and ``values``, as in `Heard`; also ``ready``, ``unfit`` (no work can be done here: an
error) and ``unseen`` (a folder is not here)."""


class RayWorker:
    """Runs in an actor, with a thread for its work and one that can stop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._executor: LocalExecutor | None = None
        self._ready = False

    def hello(self) -> dict[str, Any]:
        """Where this is, and with what."""
        import ray

        return {
            "version": __version__,
            "node": ray.get_runtime_context().get_node_id(),
            "host": platform.node(),
            "machine": _machine(),
            "cores": sorted(os.sched_getaffinity(0)),
            "memory": available_memory(),
        }

    def begin(
        self, setup: dict[str, Any], slot: dict[str, Any], folder: str, seconds: float
    ) -> list[Message]:
        """Start the process; then as `hear`.

        Args:
            setup: What all tasks have in common.
            slot: What it has for itself.
            folder: The driver's working folder, to which relative paths refer.
            seconds: As in `hear`.
        """
        with suppress(OSError):
            os.chdir(folder)
        values = slot | {"cores": tuple(slot["cores"])}
        with self._lock:
            self._executor = LocalExecutor(Setup.of(setup), [Slot(**values)])
        return self.hear(seconds)

    def work(self, task: dict[str, Any], folders: Sequence[str], seconds: float) -> list[Message]:
        """Begin a task; then as `hear`. Only where the worker is ready.

        Args:
            task: The task.
            folders: There on the driver's machine; where one is not here, nothing is begun.
            seconds: As in `hear`.
        """
        for folder in folders:
            if not Path(folder).is_dir():
                return [{"what": "unseen", "values": {"folder": folder}}]
        assert self._executor is not None
        with self._lock:
            self._executor.submit(Task.of(task))
        return self.hear(seconds)

    def hear(self, seconds: float) -> list[Message]:
        """What is new; waits for something that presses, up to so long."""
        told: list[Message] = []
        end = time.monotonic() + seconds
        with self._lock:
            while not self._stopping.is_set():
                self._listen(told)
                if (told and told[-1]["what"] in _PRESSING) or time.monotonic() >= end:
                    break
        return told

    def stop(self) -> None:
        """Have the process clear up and end."""
        self._stopping.set()
        with self._lock:
            if self._executor is not None:
                self._executor.stop()
                self._executor.close()

    def _listen(self, told: list[Message]) -> None:
        assert self._executor is not None
        try:
            for heard in self._executor.poll(_POLL_SECONDS):
                _add(told, heard)
                self._ready = self._ready and heard.what != "lost"
        except Exception as error:  # noqa: BLE001 - the driver raises it
            told.append({"what": "unfit", "values": error_values(error)})
            return
        if self._executor.free and not self._ready:
            self._ready = True
            told.append({"what": "ready", "values": {}})


def _add(told: list[Message], heard: Heard) -> None:
    message = {"what": heard.what, "values": heard.values}
    if heard.what == "frames" and told and told[-1]["what"] == "frames":
        told[-1] = message  # it says all that the one before does
    else:
        told.append(message)


def _machine() -> str:
    """The same for all containers of one machine, which share its cores."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return platform.node()
