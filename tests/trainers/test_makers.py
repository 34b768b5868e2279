"""Processes that make pairs: what they make, and how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import torch

from vidfacedeblur.trainers.makers import Makers, open_maker
from vidfacedeblur.trainers.pairs import PairMaker
from vidfacedeblur.trainers.recipe import BlurMix


def makers_of(pack: Path, processes: int) -> Makers:
    return Makers(pack, BlurMix(), seed=3, device="cpu", processes=processes)


def pids(makers: Makers) -> list[int]:
    return [child.pid for child in makers._children]


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def makers(pack: Path) -> Iterator[Makers]:
    with closing(makers_of(pack, 2)) as made:
        yield made


def test_they_make_what_one_would(makers: Makers, pack: Path) -> None:
    with closing(open_maker(pack, BlurMix(), seed=3, device="cpu")) as alone:
        assert isinstance(alone, PairMaker)
        wishes = [(number, 2 + number % 2, 64) for number in range(5)]
        with ThreadPoolExecutor(3) as threads:
            found = list(threads.map(lambda wish: makers.batch(*wish), wishes))
        for wish, pairs in zip(wishes, found, strict=True):
            for ours, theirs in zip(pairs, alone.batch(*wish), strict=True):
                assert ours.shape == theirs.shape
                # Torch's sums depend on its threads, so a codec may round one pixel otherwise.
                assert (ours - theirs).abs().mean() < 1e-3
                assert torch.equal(ours, 2 * (((ours + 1) * 127.5).round() / 255) - 1)


def test_errors_are_told_and_ended_processes_too(makers: Makers) -> None:
    with pytest.raises(RuntimeError, match="not enough values"):
        makers.batch(0, 0, 64)
    makers.batch(0, 1, 64)  # an error ends no process
    for pid in pids(makers):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(RuntimeError, match="makes pairs is gone: the worker was killed by SIGKILL"):
        makers.batch(0, 1, 64)


def test_a_pack_that_is_gone_is_named(tmp_path: Path) -> None:
    with (
        closing(makers_of(tmp_path / "faces.npz", 1)) as makers,
        pytest.raises(RuntimeError, match=r"there is no pack of faces .*faces\.npz"),
    ):
        makers.batch(0, 1, 64)


def test_they_end_with_what_asked_for_them(pack: Path) -> None:
    makers = makers_of(pack, 2)
    makers.close()
    assert not any(runs(pid) for pid in pids(makers))
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from vidfacedeblur.trainers.makers import Makers\n"
        "from vidfacedeblur.trainers.recipe import BlurMix\n"
        "makers = Makers(Path(sys.argv[1]), BlurMix(), seed=0, device='cpu', processes=2)\n"
        "makers.batch(0, 1, 64)\n"
        "print(*[child.pid for child in makers._children], flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(pack)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        children = [int(pid) for pid in parent.stdout.readline().split()]
        parent.send_signal(signal.SIGKILL)
    assert len(children) == 2
    deadline = time.monotonic() + 30
    while any(runs(pid) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
