"""Workers on this machine: a process each, on cores or a GPU of its own, within its memory."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import wait
from pathlib import Path

from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.engines.groups import memory_left
from vidfacedeblur.engines.threads import usable_cores
from vidfacedeblur.errors import EngineError, OptionError
from vidfacedeblur.link import Child
from vidfacedeblur.video.wire import error_of

_MODULE = "vidfacedeblur.archive.process"
_LEAST_MEMORY = 1 << 30
"""Bytes that a worker needs, with its networks and the frames of a large video."""
_RESERVE = 256 << 20
"""Bytes that the machine has left when it is out of memory; then the system would choose a victim,
and it might be the driver."""
_GPUS_SEEN = "CUDA_VISIBLE_DEVICES"
_STOP_SECONDS = 20.0
_STILLBORN = 3
"""Workers in a row that end before they are ready, after which it is no accident."""


@dataclass(frozen=True)
class Slot:
    """What one worker has for itself."""

    cores: tuple[int, ...]
    device: str
    """As in `ModelOptions`."""
    memory: int
    """Bytes; where the machine runs out, a worker that takes more is ended."""
    threads: int | None = None
    """For each of its networks; None: as many as it has cores."""
    gpu: str | None = None
    """The only GPU that it sees, as in ``CUDA_VISIBLE_DEVICES``; None: it sees what there is."""


def slots_for(workers: int | None, device: str, *, most: int) -> list[Slot]:
    """Divide this machine between workers.

    Args:
        workers: How many; None: one for each core or GPU, as far as memory and a container's quota
            of time reach.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        most: More have nothing to do.

    Raises:
        OptionError: So many are not possible.
    """
    cores = sorted(os.sched_getaffinity(0))
    memory = available_memory()
    gpus = _gpus() if device in ("auto", "cuda") else []
    if workers is not None and workers > len(cores):
        raise OptionError(f"--workers {workers}: this machine has {len(cores)} cores for them")
    granted = usable_cores()  # of a container that may be less time than all of its cores have
    usual = min(granted, max(1, memory // _LEAST_MEMORY))
    if device != "cpu" and (gpus or device != "auto"):
        usual = min(granted, max(1, len(gpus)))
    count = workers or max(1, min(usual, most))
    bounds = [number * len(cores) // count for number in range(count + 1)]
    return [
        Slot(
            tuple(cores[bounds[number] : bounds[number + 1]]),
            device,
            max(_LEAST_MEMORY, memory // count),
            threads=max(1, granted // count) if granted < len(cores) else None,
            gpu=gpus[number % len(gpus)] if gpus else None,
        )
        for number in range(count)
    ]


def available_memory() -> int:
    """Bytes that this process and others beside it may still take: of the machine, or its group."""
    numbers = [os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        told = dict(line.split(":") for line in lines)
        numbers = [int(told["MemAvailable"].split()[0]) << 10]
    left = memory_left()
    return max(0, min(numbers if left is None else [*numbers, left]))


def _gpus() -> list[str]:
    """NVIDIA GPUs that this process may use; asks the driver's files, since torch takes seconds."""
    chosen = os.environ.get(_GPUS_SEEN)
    if chosen is not None:
        return [name.strip() for name in chosen.split(",") if name.strip()]
    with suppress(OSError):
        return [str(n) for n, _ in enumerate(Path("/proc/driver/nvidia/gpus").iterdir())]
    return []


@dataclass
class _Crew:
    """A worker's place: the process that has it now."""

    slot: Slot
    child: Child
    ready: bool = False
    task: Task | None = None
    why: str | None = None
    """Why it was ended, if it was."""


@dataclass
class LocalExecutor:
    """Implements `Executor` with processes.

    Args:
        setup: What all tasks have in common.
        slots: One for each worker.
    """

    setup: Setup
    slots: list[Slot]
    _crews: list[_Crew] = field(default_factory=list)
    _heard: deque[Heard] = field(default_factory=deque)
    _stillborn: int = 0
    _looked: float = 0.0

    def __post_init__(self) -> None:
        self._crews = [_Crew(slot, self._start(slot)) for slot in self.slots]

    @property
    def free(self) -> int:
        return sum(crew.ready and crew.task is None for crew in self._crews)

    def submit(self, task: Task) -> None:
        crew = next(crew for crew in self._crews if crew.ready and crew.task is None)
        crew.task = task
        with suppress(OSError):  # it is gone, which is heard at the next poll
            crew.child.send(task.values())

    def poll(self, seconds: float) -> list[Heard]:
        self._watch_memory()
        links = {crew.child.link: crew for crew in self._crews}
        for link in wait(list(links), timeout=0 if self._heard else seconds):
            self._listen(links[link])  # type: ignore[index]
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def stop(self) -> None:
        for crew in self._crews:
            crew.child.ask_to_stop()
        end = time.monotonic() + _STOP_SECONDS
        links = [crew.child.link for crew in self._crews]
        while links and time.monotonic() < end:
            for link in wait(links, timeout=0.5):
                try:
                    link.recv_bytes()  # type: ignore[union-attr]
                except (EOFError, OSError):
                    links.remove(link)  # type: ignore[arg-type]

    def close(self) -> None:
        for crew in self._crews:
            if crew.task is not None or not crew.ready:
                crew.child.kill()
        for crew in self._crews:
            crew.child.close()

    def _start(self, slot: Slot) -> Child:
        model = self.setup.model
        model = replace(
            model, device=slot.device, threads=model.threads or slot.threads or len(slot.cores)
        )
        setup = replace(self.setup, model=model)
        seen = {} if slot.gpu is None else {_GPUS_SEEN: slot.gpu}
        return Child(_MODULE, {"cores": slot.cores, "setup": setup.values()}, environment=seen)

    def _listen(self, crew: _Crew) -> None:
        try:
            message = crew.child.receive()
        except EOFError:
            self._replace(crew)
            return
        if "error" in message:
            raise error_of(message)
        if message["what"] == "ready":
            crew.ready, self._stillborn = True, 0
            return
        heard = Heard(message["what"], message["values"], crew.task)
        if heard.what in ("done", "failed"):
            crew.task = None
        self._heard.append(heard)

    def _replace(self, crew: _Crew) -> None:
        """A worker is gone: say what it leaves undone, and start another in its place."""
        why = crew.why or crew.child.ending()
        crew.child.close()
        if crew.task is not None:
            self._heard.append(Heard("lost", {"error": why}, crew.task))
        elif not crew.ready:
            self._stillborn += 1
            if self._stillborn >= _STILLBORN:
                raise EngineError(f"workers end before they begin: {why}")
        crew.ready, crew.task, crew.why = False, None, None
        crew.child = self._start(crew.slot)

    def _watch_memory(self) -> None:
        now = time.monotonic()
        if now - self._looked < 1.0:
            return
        self._looked = now
        if available_memory() > _RESERVE:
            return
        sizes = [(_resident(crew.child.pid), crew) for crew in self._crews if crew.why is None]
        size, crew = max(sizes, key=lambda pair: pair[0], default=(0, None))
        if crew is not None and size > crew.slot.memory:
            crew.why = f"the machine was out of memory, of which the worker took {size >> 20} MiB"
            crew.child.kill()


def _resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 if it is gone."""
    with suppress(OSError, IndexError):
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")
    return 0
