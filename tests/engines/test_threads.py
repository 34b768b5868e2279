"""How many threads a network gets, and what threads and forks must not spoil."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from vidfacedeblur.engines import mtcnn_specs, threads, torch_
from vidfacedeblur.engines.openvino import openvino_problem
from vidfacedeblur.engines.torch_ import TorchNetwork, _float32


@pytest.mark.parametrize(("cores", "expected"), [(1, 1), (2, 2), (8, 8), (64, 16)])
def test_small_networks_get_sixteen_at_most(
    cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(threads, "granted_cores", lambda: None)
    assert threads.usable_cores() == cores
    assert threads.default_threads() == expected


@pytest.mark.parametrize(("granted", "expected"), [(4.0, 4), (0.5, 1), (2.9, 2), (None, 8)])
def test_a_containers_quota_counts(
    granted: float | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(threads, "granted_cores", lambda: granted)
    assert threads.usable_cores() == expected


def test_torch_gets_no_more_than_the_quota_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    spec = mtcnn_specs()[2]
    try:
        torch.set_num_threads(3)
        monkeypatch.setattr(torch_, "default_threads", lambda: 2)
        TorchNetwork(spec, "cpu").close()
        assert torch.get_num_threads() == 2
        TorchNetwork(spec, "cpu", threads=4).close()
        assert torch.get_num_threads() == 4
        torch.set_num_threads(1)  # as the program around it wants
        TorchNetwork(spec, "cpu").close()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


FORKED = """
import os, signal
import torch
from vidfacedeblur import FaceDeblurPipeline
from vidfacedeblur.errors import EngineError
torch.set_num_threads(2)
with FaceDeblurPipeline("deblurganv2", engine="openvino"):
    pass
child = os.fork()
if not child:
    signal.alarm(60)
    try:
        FaceDeblurPipeline("deblurganv2", engine="openvino")
    except EngineError as error:
        os._exit(7 if "spawn" in str(error) else 8)
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_is_told_that_it_cannot_load_networks() -> None:
    if openvino_problem():
        pytest.skip("OpenVINO is not here")
    done = subprocess.run(
        [sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=180
    )
    assert done.stdout.strip() == "7", done.stderr[-2000:]


def test_a_setting_of_the_process_is_left_as_it_was_by_two_threads() -> None:
    before = torch.backends.cudnn.allow_tf32
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first() -> None:
        with _float32():
            first_in.set()
            second_in.wait(0.3)
        first_out.set()

    def second() -> None:
        first_in.wait(5)
        with _float32():
            second_in.set()
            first_out.wait(5)

    both = [threading.Thread(target=work) for work in (first, second)]
    torch.backends.cudnn.allow_tf32 = True
    try:
        for thread in both:
            thread.start()
        for thread in both:
            thread.join(20)
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.backends.cudnn.allow_tf32 = before
