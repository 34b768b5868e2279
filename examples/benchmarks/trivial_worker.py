"""A worker that does nothing, at once: what is left is what handing out tasks costs.

``python -m trivial_worker HANDLE PARENT`` in place of `vidfacedeblur.archive.process`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from types import ModuleType

from vidfacedeblur.archive import local, process
from vidfacedeblur.archive.ray_worker import RayWorker
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.types import RunSummary

MODULE = "trivial_worker"


class TrivialWorker:
    """In place of `vidfacedeblur.archive.worker.Worker`."""

    def __init__(self, setup: Setup, tell: Callable[[Heard], None]) -> None:
        pass

    def perform(self, task: Task) -> Heard:
        """Say that it is done."""
        summary = RunSummary(task.source, task.target, "none", "none", "cpu", 1, 0, 0, 0.0)
        return Heard("done", {"summary": asdict(summary)}, task)


class TrivialRayWorker(RayWorker):
    """The same, in an actor of Ray."""

    def __init__(self) -> None:
        local._MODULE = MODULE
        super().__init__()


if __name__ == "__main__":
    fake = ModuleType("vidfacedeblur.archive.worker")
    fake.Worker = TrivialWorker  # type: ignore[attr-defined]
    sys.modules[fake.__name__] = fake
    process.main()
