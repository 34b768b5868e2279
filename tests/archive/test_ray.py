"""Workers of a Ray cluster, on simulated nodes that listen on loopback only."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests_support import write_portrait_clip

from vidfacedeblur.archive.executor import Executor
from vidfacedeblur.archive.ray_checks import check, folders
from vidfacedeblur.archive.ray_cluster import connect, room_of
from vidfacedeblur.archive.ray_executor import RayExecutor, open_ray
from vidfacedeblur.archive.ray_worker import RayWorker
from vidfacedeblur.archive.tasks import Heard, Setup, Task
from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.errors import EngineError, OptionError, WeightsError

os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # Ray then listens on loopback
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"

_STORE = 80 << 20
_NODE = {"num_cpus": 1, "object_store_memory": _STORE}
_HEAD = {
    "num_cpus": 0,
    "object_store_memory": _STORE,
    "include_dashboard": False,
    # A node that is lost is missed within two seconds.
    "_system_config": {
        "health_check_initial_delay_ms": 1000,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 4,
    },
}
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning:ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without room for workers; nodes are added, and stay."""
    ray = pytest.importorskip("ray", reason="Ray is not installed")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_HEAD)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def with_node(cluster: Any) -> Any:
    """The cluster, which has a node with room for a worker."""
    if not cluster.worker_nodes:
        cluster.add_node(**_NODE)
    return cluster


@pytest.fixture
def setup(small_weights: Path) -> Setup:
    model = ModelOptions(weights=small_weights, engine="torch", device="cpu")
    return Setup(model, FaceOptions(gate="off"), VideoOptions())


def task_of(folder: Path, file: int, source: Path) -> Task:
    target = folder / "out" / f"{file}.mp4"
    return Task(file, "file", str(source), str(target), str(folder / "work" / str(file)))


def clip(folder: Path, frames: int) -> Path:
    write_portrait_clip(folder / "in.mp4", frames=frames)
    return folder / "in.mp4"


def until(
    executor: Executor, seen: Callable[[list[Heard]], bool], seconds: float = 240.0
) -> list[Heard]:
    """What is heard until enough is."""
    end, heard = time.monotonic() + seconds, []
    while not seen(heard):
        assert time.monotonic() < end, heard
        heard += executor.poll(0.2)
    return heard


def raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def store_bytes(node: Any) -> int:
    """Bytes of a node's object store that were ever written to: of its file in shared memory."""
    stores = []
    for handle in Path(f"/proc/{raylet(node)}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            if "plasma" in str(handle.readlink()):
                stores.append(handle)
    files = {stat.st_ino: stat for stat in (handle.stat() for handle in stores)}
    assert files
    return 512 * max(stat.st_blocks for stat in files.values())


def test_a_node_that_is_killed_costs_nothing_and_one_that_joins_is_used(
    tmp_path: Path, setup: Setup, cluster: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    source = clip(tmp_path, 100)
    (tmp_path / "out").mkdir()
    doomed = cluster.add_node(**_NODE)
    executor = open_ray(setup, cluster.address, workers=3)
    tasks = [task_of(tmp_path, number, source) for number in range(5)]
    lost: list[Heard] = []
    done: set[int] = set()
    joined: list[Any] = []
    end = time.monotonic() + 300
    while len(done) < 5:
        assert time.monotonic() < end
        while executor.free and tasks:
            executor.submit(tasks.pop(0))
        for heard in executor.poll(0.2):
            assert heard.what in ("frames", "done", "lost", "note"), heard
            if heard.what == "frames" and not joined:
                doomed.all_processes["raylet"][0].process.kill()
                joined += [cluster.add_node(**_NODE) for _ in range(2)]
            if heard.what == "lost":
                lost.append(heard)
                assert heard.task
                tasks.append(replace(heard.task, overwrite=True))
            if heard.what == "done":
                assert heard.task
                done.add(heard.task.file)
    assert [heard.values["node"] for heard in lost] == [True]
    assert "is gone" in lost[0].values["error"]
    assert len(list((tmp_path / "out").glob("*.mp4"))) == 5
    _check_store([cluster.head_node, *joined])
    executor.close()
    cluster.remove_node(doomed, allow_graceful=False)
    assert capfd.readouterr() == ("", "")


def _check_store(nodes: list[Any]) -> None:
    """No frame went through Ray; and if one had, it would be seen."""
    import numpy as np
    import ray

    assert [store_bytes(node) < 1 << 18 for node in nodes] == [True] * 3
    kept = ray.put(np.ones(4 << 20, np.uint8))
    assert max(store_bytes(node) for node in nodes) > 4 << 20
    del kept


def test_stop_leaves_nothing_behind(tmp_path: Path, setup: Setup, cluster: Any) -> None:
    source = clip(tmp_path, 600)
    executor = open_ray(setup, with_node(cluster).address, workers=9)  # they do not find room
    until(executor, lambda heard: executor.free > 0)
    executor.submit(task_of(tmp_path, 0, source))
    until(executor, lambda heard: any(one.what == "frames" for one in heard))
    assert list((tmp_path / "out").glob(".*.part"))
    begin = time.monotonic()
    executor.stop()
    assert time.monotonic() - begin < 10
    assert not list((tmp_path / "out").iterdir())
    executor.close()


def test_what_keeps_workers_from_beginning_is_raised(
    tmp_path: Path, setup: Setup, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_node(cluster)
    wrong = replace(setup, model=replace(setup.model, weights=tmp_path / "none.safetensors"))
    executor = open_ray(wrong, cluster.address, 1)
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        until(executor, lambda heard: False)
    executor.close()

    monkeypatch.setattr("vidfacedeblur.archive.ray_executor.__version__", "9.9")
    executor = open_ray(setup, cluster.address, 1)
    with pytest.raises(EngineError, match=r"has vidfacedeblur .*, this machine 9\.9; install"):
        until(executor, lambda heard: False)
    executor.close()


def test_a_lone_machine_is_not_open_to_others() -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    script = """
import os, signal, subprocess
from vidfacedeblur.archive.ray_cluster import connect
ray = connect(None)
print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "RAY_AUTH_TOKEN" in os.environ)
print(ray.get_runtime_context().gcs_address)
ray.shutdown()
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY")}
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    first, address = ran.stdout.splitlines()
    assert first == "True False"
    assert address.startswith("127.0.0.1:")
    assert not ran.stderr


def test_what_is_no_cluster_is_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="auto or HOST:PORT"):
        connect("here")
    with pytest.raises(OptionError, match="Ray Client is not served"):
        connect("ray://head:10001")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r"pip install 'vidfacedeblur\[ray\]'"):
        connect(None)
    monkeypatch.undo()
    pytest.importorskip("ray", reason="Ray is not installed")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr("vidfacedeblur.archive.ray_cluster._ANSWER_SECONDS", 3)
        with pytest.raises(EngineError, match="is no Ray cluster"):
            connect(place)
    with pytest.raises(EngineError, match="nothing answers"):
        connect(place)


@pytest.mark.parametrize(
    ("device", "workers", "cores", "gpus", "said"),
    [
        ("cpu", 0, 1, None, "--workers must be 1 or more"),
        ("cpu", None, 0, None, "--ray-cores must be 1 or more"),
        ("cpu", None, 4096, None, "this machine has"),
        ("cpu", None, 1, 1.0, "contradicts --device cpu"),
        ("cuda", None, 1, 0.0, "contradicts --device cuda"),
        ("cuda", None, 1, 1.5, "a share of one, or whole"),
        ("cuda:1", None, 1, None, "use --device cuda"),
    ],
)
def test_wrong_options(
    device: str, workers: int | None, cores: int, gpus: float | None, said: str
) -> None:
    setup = Setup(ModelOptions(device=device), FaceOptions(), VideoOptions())
    with pytest.raises(OptionError, match=said):
        check(setup, workers, cores, gpus, local=True)


def test_room_counts_what_a_worker_needs() -> None:
    node = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0}}
    assert room_of(node, 3, 0) == 2
    assert room_of(node, 1, 0.3333) == 6
    assert room_of(node, 8, 1) == 1
    assert room_of(node | {"Alive": False}, 1, 0) == 0


def test_a_worker_that_does_not_see_a_folder_begins_nothing(tmp_path: Path) -> None:
    task = task_of(tmp_path, 1, tmp_path / "in.mp4")
    assert folders(task) == [str(tmp_path)] * 2
    told = RayWorker().work(task.values(), [str(tmp_path / "none")], 1.0)
    assert told == [{"what": "unseen", "values": {"folder": str(tmp_path / "none")}}]


# What happens between the driver and its workers, with a Ray that does as it is told


class _Actor:
    """Keeps what it is asked, until the test answers."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], Any]] = []

    def __getattr__(self, name: str) -> Any:
        from concurrent.futures import Future
        from types import SimpleNamespace

        def remote(*values: Any) -> Any:
            answer: Future[Any] = Future()
            self.asked.append((name, values, answer))
            return SimpleNamespace(future=lambda: answer)

        return SimpleNamespace(remote=remote)

    def answer(self, told: Any) -> None:
        answer = self.asked[-1][-1]
        if isinstance(told, Exception):
            answer.set_exception(told)
        else:
            answer.set_result(told)


class _LostError(Exception):
    pass


class _Ray:
    def __init__(self, room: int) -> None:
        from types import SimpleNamespace

        self.room = room
        self.actors: list[_Actor] = []
        self.killed: list[_Actor] = []
        self.exceptions = SimpleNamespace(RayError=_LostError)

    def nodes(self) -> list[dict[str, Any]]:
        return [{"NodeID": "n", "Alive": True, "Resources": {"CPU": float(self.room)}}]

    def remote(self, kind: type) -> Any:
        from types import SimpleNamespace

        def make() -> _Actor:
            self.actors.append(_Actor())
            return self.actors[-1]

        made = SimpleNamespace(remote=make)
        return SimpleNamespace(options=lambda **kinds: made)

    def cluster_resources(self) -> dict[str, float]:
        return {}

    def kill(self, actor: _Actor) -> None:
        self.killed.append(actor)

    def shutdown(self) -> None:
        pass


def hello(host: str) -> dict[str, Any]:
    from vidfacedeblur import __version__

    told = {"version": __version__, "node": "n", "host": host, "machine": host}
    return told | {"cores": [4, 5, 6], "memory": 8 << 30}


READY = [{"what": "ready", "values": {}}]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> _Ray:
    fake = _Ray(2)
    monkeypatch.setattr("vidfacedeblur.archive.ray_executor.connect", lambda address: fake)
    monkeypatch.setattr("vidfacedeblur.archive.ray_executor._LOOK_SECONDS", 0.0)
    return fake


def opened(setup: Setup, ray: _Ray) -> RayExecutor:
    """Two workers, a and b, that are ready."""
    executor = open_ray(setup, "head:6379", None)
    for told in (lambda host: hello(host), lambda host: READY):
        for actor, host in zip(ray.actors, "ab", strict=True):
            actor.answer(told(host))
        executor.poll(0)
    assert executor.free == 2
    return executor


def test_workers_share_no_core(setup: Setup, ray: _Ray) -> None:
    open_ray(setup, "head:6379", None)
    executor = open_ray(setup, "head:6379", None)
    for actor in ray.actors[2:]:
        actor.answer(hello("a"))
    executor.poll(0)
    slots = [actor.asked[-1][1][1] for actor in ray.actors[2:]]
    assert [slot["cores"] for slot in slots] == [(4,), (5,)]
    assert slots[0]["memory"] == 4 << 30


def test_a_lost_worker_is_told_of_and_replaced(setup: Setup, ray: _Ray, tmp_path: Path) -> None:
    executor = opened(setup, ray)
    task = task_of(tmp_path, 1, tmp_path / "in.mp4")
    executor.submit(task)
    ray.actors[0].answer(_LostError("The actor died.\nits node has died."))
    (lost,) = executor.poll(0)
    assert (lost.what, lost.task) == ("lost", task)
    assert lost.values == {"error": "the node a is gone", "node": True}
    assert ray.killed == [ray.actors[0]]
    executor.poll(0)
    assert len(ray.actors) == 3
    assert executor.free == 1


def test_what_is_heard_keeps_its_order(setup: Setup, ray: _Ray, tmp_path: Path) -> None:
    executor = opened(setup, ray)
    task = task_of(tmp_path, 1, tmp_path / "in.mp4")
    executor.submit(task)
    pieces = [{"what": "piece", "values": {"number": number}} for number in (0, 1)]
    ray.actors[0].answer(pieces[:1])
    assert [heard.values for heard in executor.poll(0)] == [{"number": 0}]
    assert ray.actors[0].asked[-1][0] == "hear"
    ray.actors[0].answer([pieces[1], {"what": "done", "values": {"pieces": 2}}])
    assert [heard.what for heard in executor.poll(0)] == ["piece", "done"]
    assert executor.free == 2


def test_a_process_that_crashes_is_awaited_again(setup: Setup, ray: _Ray, tmp_path: Path) -> None:
    executor = opened(setup, ray)
    executor.submit(task_of(tmp_path, 1, tmp_path / "in.mp4"))
    ray.actors[0].answer([{"what": "lost", "values": {"error": "killed by SIGSEGV"}}])
    assert [heard.what for heard in executor.poll(0)] == ["lost"]
    assert executor.free == 1
    ray.actors[0].answer(READY)
    executor.poll(0)
    assert executor.free == 2
    assert len(ray.actors) == 2


def test_a_node_without_the_folder_is_left_out(setup: Setup, ray: _Ray, tmp_path: Path) -> None:
    executor = opened(setup, ray)
    task = task_of(tmp_path, 1, tmp_path / "in.mp4")
    executor.submit(task)
    ray.actors[0].answer([{"what": "unseen", "values": {"folder": "/archive"}}])
    (note,) = executor.poll(0)
    assert note.values["text"].startswith("node a does not see /archive; share it")
    assert ray.actors[1].asked[-1][1][0] == task.values()
    assert executor.free == 0
    ray.actors[1].answer([{"what": "unseen", "values": {"folder": "/archive"}}])
    with pytest.raises(OptionError, match="node b does not see /archive"):
        executor.poll(0)


def test_nodes_that_join_are_used(setup: Setup, ray: _Ray) -> None:
    executor = opened(setup, ray)
    ray.room = 5
    executor.poll(0)
    assert len(ray.actors) == 5
    ray.room = 1
    executor.poll(0)
    assert not ray.killed


def test_workers_that_never_begin_are_no_accident(
    setup: Setup, ray: _Ray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vidfacedeblur.archive.ray_executor._REST_SECONDS", 0.0)
    executor = open_ray(setup, "head:6379", 1)
    for _ in range(2):
        ray.actors[-1].answer(_LostError("No module named 'vidfacedeblur'"))
        executor.poll(0)
        executor.poll(0)
    ray.actors[-1].answer(_LostError("No module named 'vidfacedeblur'"))
    with pytest.raises(EngineError, match="cannot be loaded on a node"):
        executor.poll(0)
