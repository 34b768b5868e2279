"""What the driver of an archive spends on a file, beside the work that is done in workers."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trivial_worker

from vidfacedeblur.archive import local, ray_executor
from vidfacedeblur.archive.driver import Driver
from vidfacedeblur.archive.executor import Executor
from vidfacedeblur.archive.journal import Journal
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions

_SETUP = Setup(ModelOptions(device="cpu"), FaceOptions(), VideoOptions())


@dataclass(frozen=True)
class Overhead:
    """Of one executor, in seconds."""

    per_task: float
    """That the driver's process is at work, in all its threads, for a task handed out and done."""
    per_file: float
    """The same, with all else that the driver does for a file."""
    disk: float
    """That it waits until the journal is on the disk, for a file."""
    turn: float
    """From one task's submission to the next's, of one worker that needs no time for it."""


class _Quiet:
    """Listens to nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: None


def measure(name: str, tasks: int, workers: int) -> Overhead:
    """Hand out trivial tasks, to ``local`` processes or to actors of a ``ray`` of this machine."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        executor = _open(name, workers)
        try:
            while executor.free < workers:
                executor.poll(0.5)
            begun, busy = time.perf_counter(), time.process_time()
            _hand_out(executor, _tasks(folder, tasks))
            turn = (time.perf_counter() - begun) * workers / tasks
            per_task = (time.process_time() - busy) / tasks
            per_file, disk = _drive(executor, _tasks(folder, tasks), folder)
        finally:
            executor.close()
    return Overhead(per_task, per_file, disk, turn)


def _open(name: str, workers: int) -> Executor:
    # What is patched here is which worker is started, and nothing of how it is spoken to.
    local._MODULE = trivial_worker.MODULE
    ray_executor.RayWorker = trivial_worker.TrivialRayWorker  # type: ignore[misc]
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    if name == "local":
        return local.LocalExecutor(_SETUP, local.slots_for(workers, "cpu", most=workers))
    return ray_executor.open_ray(_SETUP, None, workers)


def _tasks(folder: Path, count: int) -> list[Task]:
    names = [str(folder / str(number)) for number in range(count)]
    return [
        Task(number, "file", f"{name}.mp4", f"{name}_out.mp4", f"{name}.work")
        for number, name in enumerate(names, 1)
    ]


def _hand_out(executor: Executor, tasks: list[Task]) -> None:
    waiting, left = iter(tasks), len(tasks)
    while left:
        for task in waiting:
            executor.submit(task)
            if not executor.free:
                break
        left -= sum(heard.what == "done" for heard in executor.poll(1.0))


def _drive(executor: Executor, tasks: list[Task], folder: Path) -> tuple[float, float]:
    with Journal(folder / "archive.sqlite") as journal:
        journal.add((f"{task.file}".encode(), task.source.encode()) for task in tasks)
        timed = _Waits(executor)
        driver = Driver(journal, timed, tasks, options="", listener=_Quiet(), output=folder)
        begun, busy, own = time.perf_counter(), time.process_time(), time.thread_time()
        driver.run(lambda: False)
        passed = time.perf_counter() - begun - timed.waited - (time.thread_time() - own)
        return (time.process_time() - busy) / len(tasks), max(0.0, passed) / len(tasks)


class _Waits:
    """An executor of which is known how long the driver waited for it."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self.waited = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._executor, name)

    def poll(self, seconds: float) -> list[Heard]:
        begun, busy = time.perf_counter(), time.thread_time()
        heard = self._executor.poll(seconds)
        self.waited += time.perf_counter() - begun - (time.thread_time() - busy)
        return heard
