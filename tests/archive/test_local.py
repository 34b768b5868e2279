"""How a machine is divided between workers, and what happens when its memory ends."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from vidfacedeblur.archive import local
from vidfacedeblur.archive.local import LocalExecutor, Slot, available_memory, slots_for
from vidfacedeblur.archive.tasks import Setup
from vidfacedeblur.config import FaceOptions, ModelOptions, VideoOptions
from vidfacedeblur.errors import OptionError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with 16 cores and 40 GiB, and without a GPU."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    monkeypatch.setattr(local, "usable_cores", lambda: 16)
    monkeypatch.setattr(local, "available_memory", lambda: 40 << 30)
    monkeypatch.setattr(local, "_gpus", list)


def shares(slots: list[Slot]) -> list[int]:
    cores = [core for slot in slots for core in slot.cores]
    assert sorted(cores) == list(range(16))  # each is somebody's, and nobody else's
    return [len(slot.cores) for slot in slots]


@pytest.mark.usefixtures("machine")
def test_all_cores_are_used_whatever_there_is_to_do() -> None:
    assert shares(slots_for(None, "auto", most=1000)) == [1] * 16
    assert shares(slots_for(None, "auto", most=3)) == [5, 5, 6]
    assert shares(slots_for(None, "cpu", most=1)) == [16]
    assert shares(slots_for(4, "cpu", most=1000)) == [4] * 4
    with pytest.raises(OptionError, match="this machine has 16 cores"):
        slots_for(17, "cpu", most=1000)


@pytest.mark.usefixtures("machine")
def test_memory_bounds_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "available_memory", lambda: 5 << 30)
    slots = slots_for(None, "cpu", most=1000)
    assert shares(slots) == [3, 3, 3, 3, 4]
    assert {slot.memory for slot in slots} == {1 << 30}


@pytest.mark.usefixtures("machine")
def test_a_containers_quota_bounds_workers_and_their_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local, "usable_cores", lambda: 4)
    slots = slots_for(None, "cpu", most=1000)
    assert shares(slots) == [4] * 4  # whose time is granted, not which cores
    assert {slot.threads for slot in slots} == {1}
    assert [slot.threads for slot in slots_for(None, "cpu", most=1)] == [4]
    assert {slot.threads for slot in slots_for(8, "cpu", most=1000)} == {1}


@pytest.mark.usefixtures("machine")
def test_gpus_have_a_worker_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_gpus", lambda: ["0", "1", "4", "7"])
    slots = slots_for(None, "auto", most=1000)
    assert [(slot.device, slot.gpu) for slot in slots] == [("auto", gpu) for gpu in "0147"]
    assert shares(slots) == [4] * 4
    assert [slot.gpu for slot in slots_for(8, "cuda", most=1000)] == [*"01470147"]
    (slot,) = slots_for(None, "cuda:2", most=1000)
    assert (slot.device, slot.gpu) == ("cuda:2", None)
    assert {slot.gpu for slot in slots_for(None, "cpu", most=1000)} == {None}
    assert len(slots_for(None, "cpu", most=1000)) == 16


def test_gpus_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2, GPU-8a1")
    assert local._gpus() == ["2", "GPU-8a1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local._gpus() == []


@pytest.mark.parametrize("seen", [None, "5"])
def test_a_worker_sees_its_gpu_only(seen: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    setup = Setup(ModelOptions(device="cpu"), FaceOptions(), VideoOptions())
    executor = LocalExecutor(setup, [Slot((0,), "cpu", 1 << 30, gpu=seen)])
    try:
        (crew,) = executor._crews
        time.sleep(0.5)  # between fork and exec it has ours
        variables = Path(f"/proc/{crew.child.pid}/environ").read_bytes().split(bytes(1))
        expected = [] if seen is None else [b"CUDA_VISIBLE_DEVICES=5"]
        assert [v for v in variables if v.startswith(b"CUDA_VISIBLE")] == expected
    finally:
        executor.close()


def test_the_memory_that_is_left() -> None:
    assert 1 << 20 < available_memory() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_groups_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for left, expected in ((5 << 20, 5 << 20), (-1, 0)):
        monkeypatch.setattr(local, "memory_left", lambda left=left: left)
        assert available_memory() == expected


def test_where_memory_ends_the_worker_that_took_most_is_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setup = Setup(ModelOptions(device="cpu"), FaceOptions(), VideoOptions())
    executor = LocalExecutor(setup, [Slot((0,), "cpu", 1 << 20)])
    try:
        (crew,) = executor._crews
        executor.poll(1.5)
        assert crew.why is None  # it has more than its share, and nobody misses it
        monkeypatch.setattr(local, "available_memory", lambda: 1 << 20)
        executor._looked = 0.0
        first = crew.child.pid
        executor.poll(0)
        assert crew.why is not None
        assert "the machine was out of memory, of which the worker took" in crew.why
        monkeypatch.undo()
        for _ in range(20):
            executor.poll(0.5)
            if crew.child.pid != first:
                break
        assert crew.child.pid != first  # another is in its place
        assert crew.why is None
    finally:
        executor.close()
