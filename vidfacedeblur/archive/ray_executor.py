"""Workers on the nodes of a Ray cluster, which share the archive's folders under the same paths.

Ray is asked for room and for news of those who have it, and for nothing else: who works on what,
and what happens after a loss, is decided by the driver alone.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Literal

from vidfacedeblur import __version__
from vidfacedeblur.archive.ray_checks import check, folders, node_died, reason, setup_for
from vidfacedeblur.archive.ray_cluster import connect, room_of
from vidfacedeblur.archive.ray_worker import Message, RayWorker
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.errors import EngineError, OptionError
from vidfacedeblur.video.wire import error_of

_LEAST_MEMORY = 1 << 30
"""Bytes that a worker needs, as on one machine."""
_LOOK_SECONDS = 2.0
"""Between two looks at the cluster's nodes."""
_PATIENT_SECONDS = 30.0
"""So long nobody wonders that no node has room."""
_NEWS_PER_SECOND = 100
"""Of all workers together; the more there are, the less often each tells how far it is."""
_STOP_SECONDS = 30.0
_STILLBORN = 3
"""Workers in a row that end before they are ready, after which it is no accident."""
_REST_SECONDS = 10.0
"""Before the next is asked for, after one of those."""

Stage = Literal["asked", "starting", "idle", "working", "parked", "gone"]


@dataclass(eq=False)
class _Crew:
    """A worker: asked for, until there is room; parked, if its node cannot work."""

    actor: Any
    stage: Stage = "asked"
    task: Task | None = None
    host: str = ""
    node: str = ""
    machine: str = ""
    cores: tuple[int, ...] = ()


@dataclass
class RayExecutor:
    """Implements `Executor` with actors of Ray.

    Args:
        setup: What all tasks have in common.
        address: As in `ray_cluster.connect`.
        workers: How many; more than there is room for wait for nodes to join. None: as many as
            there is room for, also on nodes that join.
        cores: For each.
        gpus: For each, or a share of one; None: one if the setup and the cluster have it, else 0.
        most: More have nothing to do.

    Raises:
        OptionError: Ray is not installed, or an option cannot be served.
        EngineError: The cluster cannot be reached or used.
    """

    setup: Setup
    address: str | None = None
    workers: int | None = None
    cores: int = 1
    gpus: float | None = None
    most: int | None = None
    _crews: list[_Crew] = field(default_factory=list)
    _idle: deque[_Crew] = field(default_factory=deque)
    _waiting: deque[Task] = field(default_factory=deque)
    """Tasks that a node sent back, untouched."""
    _heard: deque[Heard] = field(default_factory=deque)
    _inbox: SimpleQueue[tuple[_Crew, Future[Any]]] = field(default_factory=SimpleQueue)
    _taken: dict[str, Counter[int]] = field(default_factory=dict)
    """Workers on each core, by machine."""
    _noted: set[str] = field(default_factory=set)
    _rooms: dict[str, int] = field(default_factory=dict)
    """Workers for which each living node has room, by its id."""
    _proven: bool = False
    """Whether a worker has ever been ready."""
    _stillborn: int = 0
    _looked: float = 0.0
    _rested: float = 0.0

    def __post_init__(self) -> None:
        check(self.setup, self.workers, self.cores, self.gpus, local=self.address is None)
        self._ray = connect(self.address)
        self._began = time.monotonic()
        try:
            self._share = self._gpus()
            self.setup = setup_for(self.setup, self._share)
            self._fill()
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        return max(0, len(self._idle) - len(self._waiting))

    def submit(self, task: Task) -> None:
        crew = self._idle.popleft()
        crew.stage, crew.task = "working", task
        self._ask(crew, "work", task.values(), folders(task), self._patience)

    def poll(self, seconds: float) -> list[Heard]:
        self._fill()
        for crew, answer in self._answers(0.0 if self._heard else seconds):
            if crew.stage != "gone":
                self._take(crew, answer)
        while self._waiting and self._idle:
            self.submit(self._waiting.popleft())
        heard = list(self._heard)
        self._heard.clear()
        return heard

    def stop(self) -> None:
        begun = [crew for crew in self._crews if crew.stage != "asked"]
        answers = [crew.actor.stop.remote() for crew in begun]
        if answers:
            self._ray.wait(answers, num_returns=len(answers), timeout=_STOP_SECONDS)

    def close(self) -> None:
        for crew in self._crews:
            crew.stage = "gone"
            self._ray.kill(crew.actor)
        self._crews.clear()
        self._idle.clear()
        self._ray.shutdown()

    @property
    def _patience(self) -> float:
        """Seconds for which a worker waits for something worth telling."""
        return max(1.0, len(self._crews) / _NEWS_PER_SECOND)

    def _gpus(self) -> float:
        if self.gpus is not None:
            return self.gpus
        device = self.setup.model.device
        has = device == "auto" and self._ray.cluster_resources().get("GPU", 0) >= 1
        return 1.0 if has or device.startswith("cuda") else 0.0

    def _fill(self) -> None:
        """Ask for the workers that are missing, where there is room or may be one day."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS * self._patience:
            return
        self._looked = now
        try:
            nodes = self._ray.nodes()
        except self._ray.exceptions.RayError as error:
            raise EngineError("the Ray cluster cannot be reached any more") from error
        self._rooms = {node["NodeID"]: room_of(node, self.cores, self._share) for node in nodes}
        wanted = self.workers or max(1, sum(self._rooms.values()))
        wanted = min(wanted, self.most or wanted)
        if now >= self._rested:
            for _ in range(wanted - sum(crew.stage != "parked" for crew in self._crews)):
                self._request()
        if now - self._began > _PATIENT_SECONDS and all(c.stage == "asked" for c in self._crews):
            need = f"{self.cores} CPU" + (f" and {self._share:g} GPU" if self._share else "")
            self._note(f"no node of the Ray cluster has {need} free; waiting for one")

    def _request(self) -> None:
        kind = self._ray.remote(RayWorker).options(
            num_cpus=self.cores,
            num_gpus=self._share,
            max_restarts=0,  # what is lost is the driver's to decide
            max_task_retries=0,
            max_concurrency=2,  # one to work, one to stop it
            scheduling_strategy="SPREAD",
        )
        crew = _Crew(kind.remote())
        self._crews.append(crew)
        self._ask(crew, "hello")

    def _ask(self, crew: _Crew, method: str, *values: Any) -> None:
        answer: Future[Any] = getattr(crew.actor, method).remote(*values).future()
        inbox = self._inbox
        answer.add_done_callback(lambda done: inbox.put((crew, done)))

    def _answers(self, seconds: float) -> list[tuple[_Crew, Future[Any]]]:
        answers: list[tuple[_Crew, Future[Any]]] = []
        with suppress(Empty):
            answers.append(self._inbox.get(block=seconds > 0, timeout=seconds))
            while True:
                answers.append(self._inbox.get_nowait())
        return answers

    def _take(self, crew: _Crew, answer: Future[Any]) -> None:
        try:
            told = answer.result()
        except self._ray.exceptions.RayError as error:
            self._lose(crew, error)
            return
        if crew.stage == "asked":
            self._welcome(crew, told)
            return
        for message in told:
            self._listen(crew, message)
        if crew.stage in ("starting", "working"):
            self._ask(crew, "hear", self._patience)

    def _welcome(self, crew: _Crew, told: dict[str, Any]) -> None:
        """There was room for a worker: give it its place."""
        crew.host, crew.node, crew.machine = told["host"], told["node"], told["machine"]
        if told["version"] != __version__:
            text = (
                f"node {crew.host} has vidfacedeblur {told['version']}, this machine {__version__};"
                " install the same on all"
            )
            self._park(crew, EngineError(text))
            return
        crew.stage = "starting"
        crew.cores = self._cores_for(crew.machine, told["cores"])
        share = told["memory"] // max(1, self._rooms.get(crew.node, 1))
        slot = {
            "cores": crew.cores,
            "device": self.setup.model.device,
            "memory": max(_LEAST_MEMORY, share),
        }
        where = str(Path.cwd())
        self._ask(crew, "begin", self.setup.values(), slot, where, self._patience)

    def _cores_for(self, machine: str, cores: list[int]) -> tuple[int, ...]:
        """Those with the fewest workers: what counts cores then counts only its own."""
        taken = self._taken.setdefault(machine, Counter())
        chosen = tuple(sorted(sorted(cores, key=lambda core: (taken[core], core))[: self.cores]))
        taken.update(chosen)
        return chosen

    def _listen(self, crew: _Crew, message: Message) -> None:
        what, values = message["what"], message["values"]
        if what == "note":
            self._note(values["text"])
        elif what == "ready":
            self._proven, self._stillborn = True, 0
            self._rest(crew)
        elif what == "unfit":
            self._park(crew, error_of(values))
        elif what == "unseen":
            text = f"node {crew.host} does not see {values['folder']}; share it under the same path"
            self._park(crew, OptionError(text))
        else:
            self._heard.append(Heard(what, values, crew.task))
            if what in ("done", "failed"):
                self._rest(crew)
            elif what == "lost":
                crew.stage, crew.task = "starting", None

    def _rest(self, crew: _Crew) -> None:
        crew.stage, crew.task = "idle", None
        self._idle.append(crew)

    def _park(self, crew: _Crew, error: Exception) -> None:
        """A node cannot work: its worker stays there, so that no other is sent there.

        Raises:
            VidFaceDeblurError: No other can work either.
        """
        if crew.task is not None:
            self._waiting.append(crew.task)
        crew.stage, crew.task = "parked", None
        others = any(other.stage in ("starting", "idle", "working") for other in self._crews)
        if not self._proven or not others:
            raise error
        self._note(f"{error}; it is left out")

    def _lose(self, crew: _Crew, error: Exception) -> None:
        """A worker is gone: say what it leaves undone, and that another may be asked for."""
        before, task = crew.stage, crew.task
        crew.stage, crew.task = "gone", None
        self._crews.remove(crew)
        if before == "idle":
            self._idle.remove(crew)
        self._taken.get(crew.machine, Counter()).subtract(crew.cores)
        self._ray.kill(crew.actor)  # it may only be out of reach
        why, with_node = reason(error, crew.host), node_died(error)
        if task is not None:
            self._heard.append(Heard("lost", {"error": why, "node": with_node}, task))
        elif before in ("asked", "starting") and not with_node:
            self._stillborn += 1
            self._rested = time.monotonic() + _REST_SECONDS
            if self._stillborn >= _STILLBORN and not self._proven:
                raise EngineError(f"workers end before they begin: {why}")
        self._looked = 0.0

    def _note(self, text: str) -> None:
        """Once: all workers may have the same to tell."""
        if text not in self._noted:
            self._noted.add(text)
            self._heard.append(Heard("note", {"text": text}))


def open_ray(
    setup: Setup,
    address: str | None,
    workers: int | None,
    cores: int = 1,
    gpus: float | None = None,
    *,
    most: int | None = None,
) -> RayExecutor:
    """Workers of a Ray cluster; see `RayExecutor`."""
    return RayExecutor(setup, address, workers, cores, gpus, most)
