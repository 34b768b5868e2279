"""What the driver needs of those who work for it, wherever they run."""

from __future__ import annotations

from typing import Protocol

from vidfacedeblur.archive.tasks import Heard, Task


class Executor(Protocol):
    """Runs tasks in workers that each do one at a time; a worker that is lost is replaced."""

    @property
    def free(self) -> int:
        """Tasks that can be submitted now."""

    def submit(self, task: Task) -> None:
        """Give a task to a worker; only where one is free."""

    def poll(self, seconds: float) -> list[Heard]:
        """What was heard of tasks, in order for each; waits for something up to so long.

        Of every submitted task, one ``done``, ``failed`` or ``lost`` is heard, as the last.

        Raises:
            VidFaceDeblurError: No worker can be made ready.
        """

    def stop(self) -> None:
        """Have all workers clear up and end; tasks that are not done are given up."""

    def close(self) -> None:
        """Free the workers; those that are not idle are given up."""
